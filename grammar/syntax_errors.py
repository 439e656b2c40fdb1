"""The syntax errors of statements: a table from malformed situations to messages.

The rows are tried from top to bottom, and the first one that applies gives the message. `situation.Row` explains the
columns.
"""

from __future__ import annotations

from dataclasses import replace

from lark.exceptions import UnexpectedInput

from vggc.diagnostics import Code, Diagnostic
from vggc.diagnostics.source import Span
from vggc.grammar import suggestions as suggest
from vggc.grammar.characters import diagnose_character
from vggc.grammar.rule_errors import RULE_ROWS
from vggc.grammar.situation import COMPARE, END, KEYWORD, NAME, VALUE, WORD, Row, Situation
from vggc.grammar.value_errors import VALUE_ROWS

STEP = rf"(?!(?:{KEYWORD})\b)\w*"

# fmt: off
_STATEMENT_ROWS: tuple[Row, ...] = (
    # --- how a statement starts
    Row("^", rf"(?:{KEYWORD})", "`{found}` is a keyword, not a pass", "name a pass"),
    Row("^", r"[A-Z]\w*", "`{found}` is capitalised, but only ONNX operators are", suggest.lower_case),
    Row("^", r".+", "a statement cannot start with `{found}`", "start it with a pass or a keyword such as `param`"),
    Row("^.*", r".*",
        "`{head}` is not a keyword", suggest.our_word, head="|".join(suggest.FOREIGN), at="head"),
    Row("^.*", r".*",
        "`{head}` belongs inside a rule", "outside rules, name a value with `param`", head="let|where|like", at="head"),
    # --- param and data
    Row("^param", END, "`param` needs a name and a value", "write, for example, `param keep = 50%`"),
    Row("^data", END, "`data` needs a name and a loader", 'write, for example, `data calib = npz("calib.npz")`'),
    Row(r"^(?:param|data|define)", r"[A-Z]\w*",
        "`{found}` is capitalised, but only ONNX operators are", suggest.lower_case),
    Row(r"^(?:param|data|define)", rf"(?:{KEYWORD})", "`{found}` is a keyword", "choose another name"),
    Row(r"^(?:param|data|define|target) [\w-]*", "-",
        "a name cannot contain `-`", suggest.joined, ahead=r"-\w", at="word"),
    Row(rf"^(?P<kind>param|data) {NAME}", ",",
        "a `{kind}` declares one name only", "write another `{kind}` on a line of its own"),
    Row(r"^(?P<kind>param|data)", "=", "`{kind}` needs a name", "write it before the `=`"),
    Row(r"^(?P<kind>param|data|define)", r".+", "`{found}` is not a name", "a name starts with a lower-case letter"),
    Row(r"^(?:param|data) \w+(?: ?: ?\w+)?", "==", "`==` compares values; a single `=` assigns one", "write `=`"),
    Row(rf"^(?P<kind>param|data) (?P<name>{NAME})", END, "`{name}` has no value", suggest.declaration),
    Row(rf"^(?P<kind>param|data) (?P<name>{NAME})", r"(?!:|=$).*",
        "`=` is missing after `{name}`", suggest.declaration),
    Row(r"^data (?P<name>\w+)", ":", "`data` takes no type", "remove it: `data {name} = ...`"),
    Row(r"^param \w+ ?:", r".*", "a type is missing after `:`", "write a type such as `ratio`, or leave out the `:`"),
    Row(r"^param \w+ ?: ?\w+", r"(?!=$).*", "the value is missing", "write `= VALUE` after the type"),
    Row(r"^param \w+(?: ?: ?\w+)? ?=", END, "the value is missing", "write it after the `=`"),
    Row(r"^data \w+ ?=", r"\".*", "`data` needs a loader around the file name", suggest.loader),
    Row(r"^data \w+ ?=", r"[A-Z]\w*", "`{found}` is capitalised, but only ONNX operators are", suggest.lower_case),
    Row(rf"^data \w+ ?= ?(?P<name>{NAME})", r"[\"\d\[{].*",
        "options must stand in parentheses", suggest.in_parentheses),
    Row(r"^data \w+ ?=", r".*", "the loader is missing", 'write, for example, `npz("calib.npz")` after the `=`'),
    Row(r"\bin", r".*", "bounds are missing after `in`", "write them as LOW..HIGH, or a list such as [1, 2]",
        head="param", inside="."),
    Row(r"\bin [^ ]+", r"(?!\.\.).*",
        "the bounds are neither a range nor a list", "write them as LOW..HIGH, or a list such as [1, 2]",
        head="param", inside=".", at="last"),
    # --- use
    Row("^use", END, "`use` needs a file", 'write, for example, `use "my_passes.py"`'),
    Row("^use", r".+", "`use` takes a file name in double quotes", suggest.quoted_path),
    Row(r"^use \".*\"", r".+", "a `use` takes one file only", "write another `use` on a line of its own"),
    # --- define, repeat, when, else
    Row("^define", END, "`define` needs a name", "write, for example, `define shrink(keep) {{ ... }}`"),
    Row(r"^define \w+ ?\(.*", "=",
        "a parameter of a `define` cannot have a default", "write the name alone", inside="("),
    Row(r"^define \w+ ?\(.*", r"(?!\)$).*",
        "the parameters of a `define` must be names", "write names, separated by commas", inside="("),
    Row(r"^define \w+", r".+",
        "the parameters of a `define` must stand in parentheses", "write, for example, `(keep, calib)`"),
    Row(r"^define \w+ ?\(.*\)", r".+", "`{found}` cannot follow the parameters", "write the `{{` of the block"),
    Row("^repeat", r".+",
        "`repeat` takes neither a count nor a condition", "it runs its steps until the graph stops changing"),
    Row("^when", END, "`when` needs a condition", "write, for example, `when has(BatchNormalization)`"),
    Row("^when .*", "then|do|:", "`{found}` is not needed", "write the `{{` of the block"),
    Row("^else", "if|when", "`else` takes no condition", "write `else {{`, and a `when` inside the block"),
    Row("^else", r".+",
        "`else` must follow a `require` or the `}}` of a `when`", "write it on the same line"),
    # --- require
    Row("^require", END, "`require` needs a comparison", "write, for example, `require accuracy(test) >= 95%`"),
    Row("^require", "not", "`require` takes a comparison", "a condition with `not` belongs to a `when`"),
    Row("^require.*", "and|or|not",
        "a `require` takes one comparison only", "write another `require` for the second one", inside="."),
    Row(r"\belse", r".*",
        "`else` needs an action", "write `else fail`, `else rollback` or `else warn`", head="require"),
    Row(rf"(?:{COMPARE}) .*[^-+*/=<>]", suggest.ACTION,
        "`else` is missing", suggest.action, head="require", inside="."),
    Row(rf"^(?!.*(?:{COMPARE})).+[^-+*/=<>]", r"else|",
        "`require` needs a comparison", "write `>=`, `<=`, `==` and a value", head="require", inside="."),
    Row(rf"\(.*(?:{COMPARE}).*\)", "else|",
        "the comparison of a `require` takes no parentheses", "leave them out", head="require", inside="."),
    # --- minimize and maximize
    Row("^minimize", END, "`minimize` needs a measure", "write, for example, `minimize latency(batch=8)`"),
    Row("^maximize", END, "`maximize` needs a measure", "write, for example, `maximize agreement(test)`"),
    Row(r"^(?P<way>minimize|maximize) .*", rf"(?:{COMPARE})",
        "`{way}` takes a measure without a limit", "write a limit as a `require`", inside="."),
    Row(r"^(?P<way>minimize|maximize) .*", ",|and",
        "`{way}` takes one measure only", "write another `{way}` on a line of its own", inside="."),
    # --- target
    Row("^target", END, "`target` needs a name", "write, for example, `target onnx`"),
    Row("^target", r"[A-Z]\w*", "`{found}` is capitalised, but only ONNX operators are", suggest.lower_case),
    Row("^target", r"\"[a-z_]\w*\"", "`target` takes a name without quotes", suggest.unquoted),
    Row("^target", r".+", "`target` takes a name without quotes", "write, for example, `target onnx`"),
    Row(r"^target \w+", r",|and|[a-z_]\w*",
        "there is more than one target on this line", "write another `target` on a line of its own"),
    Row(rf"^target (?P<name>{NAME})", r"[\"\d\[{].*", "options must stand in parentheses", suggest.in_parentheses),
    # --- steps
    Row(".*", COMPARE, "a comparison is not a step", suggest.requirement, head=STEP, inside="."),
    Row(rf"^(?P<name>{NAME})", "=", "`{name}` is not declared", suggest.parameter, head=STEP),
    Row(r"^[\w-]*", "-", "a name cannot contain `-`", suggest.joined, head=STEP, ahead=r"-\w", at="word"),
    Row(rf"^(?P<name>{NAME})", r"[\"\d\[{].*",
        "options must stand in parentheses", suggest.in_parentheses, head=STEP, inside="."),
    Row(rf"^(?P<name>{NAME})", WORD,
        "options must stand in parentheses", suggest.in_parentheses, head=STEP, ahead=r"\w+\s*=(?!=)"),
)

STATEMENT_ROWS = (*_STATEMENT_ROWS, *VALUE_ROWS)

_LAST_ROWS: tuple[Row, ...] = (
    Row(r".*[\w%\"\])}]", rf"(?!(?:{KEYWORD})$){WORD}",
        "there are two statements on one line", "write `{found}` on a line of its own", inside=".", head="(?!when).*"),
    Row(r".*[\w%\"\])}]", VALUE,
        "a comparison, `and` or `or` is missing", "write it before `{found}`", inside=".", head="when"),
    Row("^", END, "the value is missing", "write one, such as `50%`"),
    Row(r".*", END, "the statement is incomplete", suggest.expected),
    Row(r".*", r".+", "`{found}` cannot stand here", suggest.expected),
)
# fmt: on

LAST_ROWS = tuple(replace(row, code=Code.INCOMPLETE) for row in _LAST_ROWS)


def diagnose(error: UnexpectedInput, text: Span, rows: tuple[Row, ...]) -> Diagnostic:
    """The message for a syntax error. `rows` are tried before the rows that apply to every text."""
    situation = Situation.of(error, text)
    character = diagnose_character(situation)
    if character is not None:
        return character
    if situation.head == "rule":
        rows = RULE_ROWS
    return next(found for row in (*rows, *LAST_ROWS) if (found := row.diagnose(situation)) is not None)
