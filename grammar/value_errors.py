"""The syntax errors of values: rows for the table of messages."""

from __future__ import annotations

from dataclasses import replace

from vggc.diagnostics import Code
from vggc.grammar import suggestions as suggest
from vggc.grammar.situation import COMPARE, VALUE, WORD, Row

OPERATORS = rf"[-+*/]|\.\.|\?\?|{COMPARE}|\b(?:of|and|or|not|in)\b"

# fmt: off
_SIGN_ROWS: tuple[Row, ...] = (
    # --- signs of other languages
    Row(r".*", "=", "`=<` is spelled `<=`", "write `<=`", ahead="=<"),
    Row(r"<", ">", "`<>` is spelled `!=`", "write `!=`"),
    Row(r"==", "=", "`===` is spelled `==`", "write `==`"),
    Row(r"\*", r"\*", "there is no power operator", "write a product, such as `x * x`", at="both"),
    Row(r".*", "/", "a comment starts with `#`", "write `#`", ahead=r"/[/*]"),
    Row(r"/", r"[/*]", "a comment starts with `#`", "write `#`; division is a single `/`", at="both"),
    # --- numbers
    Row(r"(?:^|[^\w.])(?P<number>\d[\d.]*)", r"[A-Za-z]{1,4}",
        "there must be no space between a number and its unit", suggest.unit, ahead=r"\w+(?!\s*[\w:=(])", at="both"),
    # --- operators
    Row(r"\bnot", "not", "`not not` has no effect", "leave both out"),
    Row(r"(?:^|[(\[{,=:<>+*/-]|\b(?:of|and|or|not|in|when|require)) ?-", r"[A-Za-z_(\[{\"].*",
        "a minus sign can stand before a number only", "write `0 - {found}`"),
    Row(rf"(?P<sign>{OPERATORS})", rf"|[,)\]}}:=]|else|of|and|or|{COMPARE}|[*/+]|\.\.|=>|let",
        "a value is missing after `{sign}`", "write a number, a name or a call there"),
    Row(rf"(?:{COMPARE}).*", COMPARE, "comparisons cannot be chained", "write two `require` lines", head="require"),
    Row(rf"(?:{COMPARE}).*", COMPARE, "comparisons cannot be chained", "write two comparisons, joined by `and`"),
    Row(r".*", "=", "`=` assigns a value; `==` compares", "write `==`", head="require|when", inside="."),
)

_FIRST_ROWS: tuple[Row, ...] = (
    Row(r".*", "=>", "`=>` is spelled `>=`", "write `>=`"),
    Row(r".*", r"\|", "`|` has no meaning here", "write `or`"),
    Row(r".*", r"\?\??", "`{found}` has no meaning here", "leave it out: only rules have optional inputs"),
)

_OTHER_ROWS: tuple[Row, ...] = (
    # --- arguments, list items, entries
    Row(r"(?P<name>[A-Z]\w*)", r"\(", "operators can be built in rules only", "write `{name}` alone"),
    Row(r"(?:^|[(\[{,=:])", "and|or|of|in|else",
        "`{found}` is a keyword, not a value", "choose another name"),
    Row(r"(?:^|[(\[{,=:])", rf"\.\.|[*/]|{COMPARE}", "a value is missing before `{found}`", "write it there"),
    Row(r"(?:^|[(\[{,=:+*/-])", r"\+", "a plus sign can stand between two values only", "leave it out"),
    Row(r"[=,:(\[] ?\(", r"\)", "these parentheses are empty", "write a value between them, or `[]` for an empty list"),
    Row(r"\(", ",", "this argument is empty", suggest.EMPTY, inside="("),
    Row(r"\[", ",", "this list item is empty", suggest.EMPTY, inside="["),
    Row(r"\{", ",", "this entry is empty", suggest.EMPTY, inside="{"),
    Row(r",", ",", "there are two commas in a row", suggest.EMPTY, inside="([{"),
    Row(rf"(?P<name>{WORD}) ?=", r"[,)]", "`{name}` has no value", "write it after the `=`", inside="("),
    Row(rf"(?P<name>{WORD}|\".*\") ?:", r"[,}}]",
        "the entry {name} has no value", "write it after the `:`", inside="{"),
    Row(rf"\"(?P<name>{WORD})\"", "=", "the name of an option is not quoted", "write `{name}=`", inside="("),
    Row(r"\w+-[\w-]*", "=", "a name cannot contain `-`", suggest.joined, inside="(", at="word"),
    Row(r"[(,]", "=", "the name of the option is missing", "write it before the `=`", inside="("),
    Row(r"[(,] ?(?P<name>\d[^ (,]*)", "=",
        "`{name}` is not the name of an option", "a name starts with a letter", inside="(", at="last"),
    Row(r"= ?(?P<name>[\w.%]+|\"[^\"]*\")", "=",
        "`{name}` is given a value inside another value", "write a `,` between options, or `==`", inside="("),
    Row(rf"(?P<name>{WORD})", ":", "an option is written with `=`", "write `{name}=`", inside="("),
    Row(rf"(?P<name>{WORD}|\"[^\"]*\")", "=", "an entry is written with `:`", "write `{name}: ...`", inside="{"),
    Row(r"[{,]", WORD, "an entry is written with `:`", "write `{found}: ...`", inside="{", ahead=r"\w+\s*="),
    Row(r"[{,]", WORD, "an entry consists of a name, `:` and a value", "write `{found}: ...`", inside="{"),
    Row(r"[{,]", r"\d.*", "the name of an entry must be a word or a string", 'write `"{found}": ...`', inside="{"),
    Row(rf"[{{,] ?(?P<name>{WORD}|\"[^\"]*\")", r"[^:].*",
        "an entry consists of a name, `:` and a value", "write `{name}: ...`", inside="{"),
    Row(r".*", "=",
        "the items of a list have no names", "write a mapping, `{{name: value}}`, or leave out the name", inside="["),
    Row(r".*[\w%\"\])}]", ",", "a list is written in square brackets", "write `[...]`", inside="("),
    Row(r".*[\w%\"\])}]", rf"(?!(?:in|else)$){VALUE}",
        "a comma is missing", "write `,` before `{found}`", inside="([{"),
)
# fmt: on

SIGN_ROWS = tuple(replace(row, code=Code.VALUE) for row in _SIGN_ROWS)
VALUE_ROWS = (
    *(replace(row, code=Code.VALUE) for row in _FIRST_ROWS),
    *SIGN_ROWS,
    *(replace(row, code=Code.VALUE) for row in _OTHER_ROWS),
)
