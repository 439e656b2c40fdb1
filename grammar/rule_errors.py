"""What to say about a rule or a pattern that the grammar refuses: rows of the table of syntax errors."""

from __future__ import annotations

from dataclasses import replace

from vggc.grammar import suggestions as suggest
from vggc.grammar.situation import COMPARE, END, NAME, VALUE, WORD, Row
from vggc.grammar.value_errors import SIGN_ROWS

EXAMPLE = "write, for example, `rule drop_relu {{ Relu(Relu(x)) => Relu(x) }}`"
SIGN = r"[-+*/]|\?\?"

# fmt: off
_PATTERN_ROWS: tuple[Row, ...] = (
    Row("^", END, "the pattern is missing", "write, for example, `Relu(x)`"),
    Row(rf"(?:^|[{{,]) ?(?P<name>{NAME})", r"(?![.(|]).*",
        "a pattern starts with an operator", "write, for example, `Relu({name})`", inside=".{", at="last"),
    Row(r"(?:^|[{,]) ?", rf"(?!(?:where|let)$){NAME}|\d.*|\".*|[-\[(_].*",
        "a pattern starts with an operator", "write, for example, `Relu(x)`", inside=".{"),
    Row(rf"(?P<name>{NAME})", r"\(",
        "`{name}(...)` is no operator: those are capitalised", suggest.operator, at="last"),
    Row(rf"(?P<name>{WORD}) ?:", r".*", "a label stands before an operator", "write `{name}: Conv(...)`"),
    Row(r"\|", r".*", "alternatives are operators", "write, for example, `Add|Sub(x, y)`"),
    Row(NAME, r"\|", "alternatives are operators", "write, for example, `Add|Sub(x, y)`"),
    Row(r"\b(?P<name>[A-Z]\w*)", r"(?![|(]).*", "`{name}` has no inputs", "write `{name}(x)`"),
    Row(r"\)", r"\?", "an operator is not optional, a captured input may be", "write a name, such as `b?`"),
    Row(r"[(,\w]", r"\".*", "the pattern of an input is a bare name", suggest.bare_name, inside="("),
    Row(WORD, "==", "an attribute is matched with one `=`", "write `=`", inside="("),
    Row(rf"(?P<name>{WORD}) ?=", r"[,)]", "`{name}` is given no value", "write it after the `=`", inside="("),
    Row(rf"= ?(?:{NAME}\??|[\d.]+)", SIGN,
        "an attribute is matched with a value or a name", "capture it, and compute after `where`", inside="("),
    Row(r"[\[,]", WORD,
        "a list in a pattern holds numbers and strings", "capture the attribute, and ask after `where`", inside="["),
    Row(r"[\w)]", SIGN, "a pattern holds no arithmetic", suggest.arithmetic, inside="("),
    Row(r"[\w)]", rf"{COMPARE}|and|or", "a pattern holds no condition", "write it after `where`", inside="("),
    Row(NAME, r"\.\.", "the remaining inputs have three dots", "write `...`", inside="("),
    Row(r"[(,]", ",", "an empty input", "write `_` for any", inside="("),
    Row(r"[\w%\"\])}?]", rf"(?!(?:where|let|like|in|of|else)$){VALUE}",
        "a comma is missing", "write `,` before `{found}`", inside="([{."),
)

_HEAD_ROWS: tuple[Row, ...] = (
    Row("^rule", r"[A-Z]\w*", "`{found}` is capitalised, as only ONNX operators are", suggest.lower_case),
    Row("^rule", r"\{|", "`rule` needs a name", EXAMPLE),
    Row("^rule", r".+", "`{found}` is not a name", "names are lower-case words"),
    Row(r"^rule [\w-]*", "-", "a name has no `-`", suggest.joined, ahead=r"-\w", at="word"),
    Row(r"^rule \w+", r"\(", "a rule has no parameters", "its pattern captures what it needs: leave them out"),
    Row(r"^rule \w+ \w+ ?=", r".*", "a tolerance is a number", "write, for example, `tolerance=1e-5`"),
    Row(r"^rule \w+(?: \w+ ?= ?[^ ]+)?", r"(?!\{).*", "the rule has no body", "write `{{` before its pattern"),
    Row(r"^rule .*\}", r".+", "two statements on one line", "write the second one on a line of its own", inside="."),
)

_BODY_ROWS: tuple[Row, ...] = (
    # --- what parts a rule
    Row(r"\{", r"\}", "the rule is empty", EXAMPLE),
    Row(r"[{,]", r"=>|where|let",
        "a pattern is missing before `{found}`", "write, for example, `Relu(x)`", part="pattern"),
    Row(r"[{,] ?(?P<word>where|let)", r".*",
        "a pattern is missing before `{word}`", "write, for example, `Relu(x)`", at="last"),
    Row(r"=> ?(?P<word>where|let)", r".*", "`{word}` stands before `=>`", "move it there", at="last"),
    Row(r"\bwhere", r"=>|\}|let|where|,", "a condition is missing", "write it after `where`: `rank(x) == 4`"),
    Row(r"\blet \w+ ?=", r"=>|\}|let|where|,", "the value is missing", "write it after the `=`"),
    Row(r"=>", r"\}", "the replacement is missing", "write it after `=>`; a capture alone removes the operators"),
    Row(r"\)(?:\.\d+)?", r"\}",
        "the rule has no `=>`", "write `=>` and what comes in the pattern's place", part="pattern"),
    Row(r".*", r"\}", "the rule has no `=>`", "write `=>` and what comes in the pattern's place", part="term"),
    Row(r".*", "-", "`->` is spelled `=>`", "write `=>`", inside="{", ahead="->"),
    Row(r".*", "=>", "one `=>` a rule", "several replacements stand after it, with commas between", part="result"),
    Row(r".*\bwhere\b(?!.*\blet\b).*", "where", "one `where` a rule", "join the conditions with `and`", part="term"),
    Row(r".*", "where", "`where` stands before `let`", "move it there", part="term"),
    Row(r".*", "where|let", "`{found}` stands before `=>`", "move it there", part="result"),
    Row(r"\blet", r".*", "`let` needs a name", "write, for example, `let k = scale * 2`"),
    Row(r"(?:\blet|,) ?\w+", "==", "`==` compares; one `=` gives a value", "write `=`", inside="{", part="term"),
    Row(r"(?:\blet|,) (?P<name>\w+)", r".*",
        "`{name}` is given no value", "write `{name} = ...`", inside="{", part="term"),
    Row(r".*", "[=:<>]|<=|>=", "the replacement stands after `=>`", "write `=>`", inside="{", part="pattern"),
)

_TERM_ROWS: tuple[Row, ...] = (
    Row(r"\blike", r".*", "`like` needs a label", "label the operator it copies: `conv: Conv(...)`"),
    Row(r".*", "like", "`like` stands after a new operator", "write it after the `)` of one"),
    Row(rf"(?P<name>{WORD}) ?:", r".*", "a label stands before an operator", "write `{name}: Conv(...)`"),
    Row(r".*", r"\?", "`?` marks what may be absent in a pattern", "here the name alone is enough, or `b ?? 0`"),
    Row(r".*", r"\|", "`|` parts the operators of a pattern", "write `or`"),
    Row(r".*", "and|or|of|in|else", "`{found}` is a word of the language, not a value", "take another name"),
    Row(r"\)", SIGN, "arithmetic is for constants, not for what operators give", suggest.arithmetic, part="result"),
    Row(r"(?P<name>[A-Z]\w*)", r"(?!\().*", "`{name}` has no inputs", "write `{name}(x)`"),
    Row(rf"(?:{SIGN}|{COMPARE}|[(\[]|\bnot)", r"[A-Z][\w.]*",
        "arithmetic is for constants, not for what operators give", "write it as an operator's input", part="result"),
    Row(r".*", r"[A-Z][\w.]*",
        "operators stand in patterns and replacements", "capture the value in the pattern", part="term"),
    Row(r"[(,]", ",", "an empty argument", suggest.EMPTY, inside="(", part="term"),
    Row(r"[(,]", ",", "an empty input", "write `_` for one that is left out", inside="("),
    Row(rf"(?P<name>{NAME})", NAME,
        "arguments stand in parentheses", "write `{name}({found})`", inside="{", part="term"),
    Row(r"\[", r"\]", "an index is missing", "write, for example, `shape(x)[1]`", inside="["),
    Row(r"\(", r"\)", "parentheses hold a value", "write it between them", inside="("),
    Row(r"[,\[]", ",", "an empty list item", suggest.EMPTY, inside="["),
    Row(rf"(?P<name>{WORD}) ?=", r"[,)]", "`{name}` is given no value", "write it after the `=`", inside="("),
    Row(r".*", "=", "`=` gives a value; comparing is `==`", "write `==`"),
    Row(r"[\w%\"\])}?]", rf"(?!(?:where|let|like|in|of|else)$){VALUE}",
        "a comma is missing", "write `,` before `{found}`", inside="([{"),
)
# fmt: on

_SIGN_ROWS = tuple(row for row in SIGN_ROWS if not row.head)

PATTERN_ROWS = (*(replace(row, part="pattern") for row in _PATTERN_ROWS), *_SIGN_ROWS)
RULE_ROWS = (*_HEAD_ROWS, *_BODY_ROWS, *PATTERN_ROWS, *_TERM_ROWS)
