"""The syntax errors of rules and patterns: rows for the table of messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vggc.diagnostics import Code
from vggc.grammar import suggestions as suggest
from vggc.grammar.situation import COMPARE, END, NAME, VALUE, WORD, Row
from vggc.grammar.value_errors import SIGN_ROWS

EXAMPLE = "write, for example, `rule drop_relu {{ Relu(Relu(x)) => Relu(x) }}`"
SIGN = r"[-+*/]|\?\?"

# fmt: off
_PATTERN_ROWS: tuple[Row, ...] = (
    Row("^", END, "the pattern is missing", "write, for example, `Relu(x)`"),
    Row(rf"(?:^|[{{,]) ?(?P<name>{NAME})", r"(?![.(|]).*",
        "a pattern must start with an operator", "write, for example, `Relu({name})`", inside=".{", at="last"),
    Row(r"(?:^|[{,]) ?", rf"(?!(?:where|let)$){NAME}|\d.*|\".*|[-\[(_].*",
        "a pattern must start with an operator", "write, for example, `Relu(x)`", inside=".{"),
    Row(rf"(?P<name>{NAME})", r"\(",
        "`{name}(...)` is not an operator: operators are capitalised", suggest.operator, at="last"),
    Row(rf"(?P<name>{WORD}) ?:", r".*", "a label must stand before an operator", "write `{name}: Conv(...)`"),
    Row(r"\|", r".*", "alternatives must be operators", "write, for example, `Add|Sub(x, y)`"),
    Row(NAME, r"\|", "alternatives must be operators", "write, for example, `Add|Sub(x, y)`"),
    Row(r"\b(?P<name>[A-Z]\w*)", r"(?![|(]).*", "`{name}` is written without inputs", "write `{name}(x)`"),
    Row(r"\)", r"\?", "an operator cannot be optional; only a captured input can", "write a name, such as `b?`"),
    Row(r"[(,\w]", r"\".*", "an input is written as a name without quotes", suggest.bare_name, inside="("),
    Row(WORD, "==", "an attribute is matched with a single `=`", "write `=`", inside="("),
    Row(rf"(?P<name>{WORD}) ?=", r"[,)]", "`{name}` has no value", "write it after the `=`", inside="("),
    Row(rf"= ?(?:{NAME}\??|[\d.]+)", SIGN,
        "an attribute can be matched with a value or a name only", "capture it, and compute after `where`", inside="("),
    Row(r"[\[,]", WORD,
        "a list in a pattern can hold numbers and strings only",
        "capture the attribute, and test it after `where`", inside="["),
    Row(r"[\w)]", SIGN, "a pattern cannot contain arithmetic", suggest.arithmetic, inside="("),
    Row(r"[\w)]", rf"{COMPARE}|and|or", "a pattern cannot contain a condition", "write it after `where`", inside="("),
    Row(NAME, r"\.\.", "the remaining inputs are written with three dots", "write `...`", inside="("),
    Row(r"[(,]", ",", "this input is empty", "write `_` for any input", inside="("),
    Row(r"[\w%\"\])}?]", rf"(?!(?:where|let|like|in|of|else)$){VALUE}",
        "a comma is missing", "write `,` before `{found}`", inside="([{."),
)

_HEAD_ROWS: tuple[Row, ...] = (
    Row("^rule", r"[A-Z]\w*", "`{found}` is capitalised, but only ONNX operators are", suggest.lower_case),
    Row("^rule", r"\{|", "`rule` needs a name", EXAMPLE),
    Row("^rule", r".+", "`{found}` is not a name", "a name starts with a lower-case letter"),
    Row(r"^rule [\w-]*", "-", "a name cannot contain `-`", suggest.joined, ahead=r"-\w", at="word"),
    Row(r"^rule \w+", r"\(", "a rule takes no parameters", "leave them out: the pattern captures what the rule needs"),
    Row(r"^rule \w+ \w+ ?=", r".*", "a tolerance must be a number", "write, for example, `tolerance=1e-5`"),
    Row(r"^rule \w+(?: \w+ ?= ?[^ ]+)?", r"(?!\{).*", "the rule has no body", "write `{{` before its pattern"),
    Row(r"^rule .*\}", r".+",
        "there are two statements on one line", "write the second one on a line of its own", inside="."),
)

_BODY_ROWS: tuple[Row, ...] = (
    # --- what divides a rule
    Row(r"\{", r"\}", "the rule is empty", EXAMPLE),
    Row(r"[{,]", r"=>|where|let",
        "a pattern is missing before `{found}`", "write, for example, `Relu(x)`", part="pattern"),
    Row(r"[{,] ?(?P<word>where|let)", r".*",
        "a pattern is missing before `{word}`", "write, for example, `Relu(x)`", at="last"),
    Row(r"=> ?(?P<word>where|let)", r".*", "`{word}` must stand before `=>`", "move it before the `=>`", at="last"),
    Row(r"\bwhere", r"=>|\}|let|where|,", "a condition is missing", "write it after `where`: `rank(x) == 4`"),
    Row(r"\blet \w+ ?=", r"=>|\}|let|where|,", "the value is missing", "write it after the `=`"),
    Row(r"=>", r"\}", "the replacement is missing", "write it after `=>`; a captured name alone removes the operators"),
    Row(r"\)(?:\.\d+)?", r"\}",
        "the rule has no `=>`", "write `=>` and what replaces the pattern", part="pattern"),
    Row(r".*", r"\}", "the rule has no `=>`", "write `=>` and what replaces the pattern", part="term"),
    Row(r".*", "-", "`->` is spelled `=>`", "write `=>`", inside="{", ahead="->"),
    Row(r".*", "=>", "a rule has only one `=>`", "write all replacements after it, separated by commas", part="result"),
    Row(r".*\bwhere\b(?!.*\blet\b).*", "where",
        "a rule has only one `where`", "join the conditions with `and`", part="term"),
    Row(r".*", "where", "`where` must stand before `let`", "move it before the `let`", part="term"),
    Row(r".*", "where|let", "`{found}` must stand before `=>`", "move it before the `=>`", part="result"),
    Row(r"\blet", r".*", "`let` needs a name", "write, for example, `let k = scale * 2`"),
    Row(r"(?:\blet|,) ?\w+", "==",
        "`==` compares values; a single `=` assigns one", "write `=`", inside="{", part="term"),
    Row(r"(?:\blet|,) (?P<name>\w+)", r".*",
        "`{name}` has no value", "write `{name} = ...`", inside="{", part="term"),
    Row(r".*", "[=:<>]|<=|>=", "the replacement must stand after `=>`", "write `=>`", inside="{", part="pattern"),
)

_TERM_ROWS: tuple[Row, ...] = (
    Row(r"\blike", r".*", "`like` needs a label", "label the operator it copies: `conv: Conv(...)`"),
    Row(r".*", "like", "`like` must follow a new operator", "write it after the operator's `)`"),
    Row(rf"(?P<name>{WORD}) ?:", r".*", "a label must stand before an operator", "write `{name}: Conv(...)`"),
    Row(r".*", r"\?",
        "`?` marks an optional input, and only in a pattern", "write the name alone, or with a default: `b ?? 0`"),
    Row(r".*", r"\|", "`|` separates the operators of a pattern", "write `or`"),
    Row(r".*", "and|or|of|in|else", "`{found}` is a keyword, not a value", "choose another name"),
    Row(r"\)", SIGN,
        "arithmetic works on constants, not on the results of operators", suggest.arithmetic, part="result"),
    Row(r"(?P<name>[A-Z]\w*)", r"(?!\().*", "`{name}` is written without inputs", "write `{name}(x)`"),
    Row(rf"(?:{SIGN}|{COMPARE}|[(\[]|\bnot)", r"[A-Z][\w.]*",
        "arithmetic works on constants, not on the results of operators",
        "write it as an operator's input", part="result"),
    Row(r".*", r"[A-Z][\w.]*",
        "operators belong in patterns and replacements", "capture the value in the pattern", part="term"),
    Row(r"[(,]", ",", "this argument is empty", suggest.EMPTY, inside="(", part="term"),
    Row(r"[(,]", ",", "this input is empty", "write `_` for an input that is left out", inside="("),
    Row(rf"(?P<name>{NAME})", NAME,
        "arguments must stand in parentheses", "write `{name}({found})`", inside="{", part="term"),
    Row(r"\[", r"\]", "an index is missing", "write, for example, `shape(x)[1]`", inside="["),
    Row(r"\(", r"\)", "these parentheses are empty", "write a value between them", inside="("),
    Row(r"[,\[]", ",", "this list item is empty", suggest.EMPTY, inside="["),
    Row(rf"(?P<name>{WORD}) ?=", r"[,)]", "`{name}` has no value", "write it after the `=`", inside="("),
    Row(r".*", "=", "`=` assigns a value; `==` compares", "write `==`"),
    Row(r"[\w%\"\])}?]", rf"(?!(?:where|let|like|in|of|else)$){VALUE}",
        "a comma is missing", "write `,` before `{found}`", inside="([{"),
)
# fmt: on


def _of_rules(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(replace(row, code=Code.RULE_TEXT) for row in rows)


_SIGN_ROWS = tuple(row for row in SIGN_ROWS if not row.head)

PATTERN_ROWS = (*_of_rules(replace(row, part="pattern") for row in _PATTERN_ROWS), *_SIGN_ROWS)
RULE_ROWS = (*_of_rules((*_HEAD_ROWS, *_BODY_ROWS)), *PATTERN_ROWS, *_of_rules(_TERM_ROWS))
