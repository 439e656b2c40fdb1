"""Functions that compute the help of syntax errors: what to write instead of what was written."""

from __future__ import annotations

import re

from vggc.diagnostics import nearest
from vggc.grammar.keywords import KEYWORDS
from vggc.grammar.situation import Situation
from vggc.grammar.tree import ACTIONS, UNITS

ACTION = "|".join(ACTIONS)
EMPTY = "remove the comma, or write what is missing before it"

# What other languages call our statements.
FOREIGN = {
    **dict.fromkeys(("if", "elif", "unless"), "when"),
    **dict.fromkeys(("import", "include", "from"), "use"),
    **dict.fromkeys(("set", "var", "const"), "param"),
    **dict.fromkeys(("assert", "expect", "ensure"), "require"),
    **dict.fromkeys(("minimise", "min", "objective"), "minimize"),
    **dict.fromkeys(("maximise", "max"), "maximize"),
    **dict.fromkeys(("loop", "while", "for", "until"), "repeat"),
    **dict.fromkeys(("def", "func", "fn", "function", "macro"), "define"),
    **dict.fromkeys(("output", "emit", "export"), "target"),
}

_TERMINALS = {
    "LPAR": "`(`", "RPAR": "`)`", "LSQB": "`[`", "RSQB": "`]`", "LBRACE": "`{`", "RBRACE": "`}`", "COMMA": "`,`",
    "COLON": "`:`", "_EQUALS": "`=`", "__ANON_0": "`..`", "COMPARE": "a comparison", "NAME": "a name",
    "OPERATOR": "an operator", "OPTION": "an option", "NUMBER": "a number", "STRING": "a string", "KEY": "a name",
    "$END": "the end of the line", "_ELSE": "`else`", "_IN": "`in`",
}  # fmt: skip
# A list of everything that could follow helps nobody; these are left out when something shorter can be said.
_ARITHMETIC = {"PLUS", "MINUS", "TIMES", "OVER", "OF", "_AND", "_OR", "_NOT", "_TRUE", "_FALSE"}


def snake(name: str) -> str:
    """`FoldBatchNorm` as the language spells names: `fold_batch_norm`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _rest(situation: Situation) -> str:
    """The rest of the line without a comment behind it."""
    return re.sub(r'("[^"]*")|\s*#.*', r"\1", situation.after).strip()


def lower_case(situation: Situation, words: dict[str, str]) -> str:
    name = snake(situation.found)
    return f"write `my_{name}`" if name in KEYWORDS and situation.before else f"write `{name}`"


def our_word(situation: Situation, words: dict[str, str]) -> str:
    return f"write `{FOREIGN[situation.head]}`"


def declaration(situation: Situation, words: dict[str, str]) -> str:
    kind, name = words["kind"], words["name"]
    value = _rest(situation) or ("50%" if kind == "param" else 'npz("calib.npz")')
    return f"write `{kind} {name} = {value}`"


def parameter(situation: Situation, words: dict[str, str]) -> str:
    return f"write `param {words['name']} {_rest(situation)}`, or `{words['name']}(...)` to run a pass"


def loader(situation: Situation, words: dict[str, str]) -> str:
    return f"write `npz({situation.found})`"


def quoted_path(situation: Situation, words: dict[str, str]) -> str:
    path = _rest(situation).strip('()"')
    return f'write `use "{path}"`'


def operator(situation: Situation, words: dict[str, str]) -> str:
    """`batch_normalization` as ONNX spells operators: `BatchNormalization`."""
    return "write `{}(...)`".format("".join(part.capitalize() for part in words["name"].split("_")))


def bare_name(situation: Situation, words: dict[str, str]) -> str:
    name = re.sub(r"\W+", "_", situation.found).strip("_").lower()
    return f"write `{name or 'x'}`"


def arithmetic(situation: Situation, words: dict[str, str]) -> str:
    names = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div"}
    return f"write `{names[situation.found]}(..., ...)`" if situation.found in names else "compute it after `let`"


def requirement(situation: Situation, words: dict[str, str]) -> str:
    return f"write `require {situation.before} {_rest(situation)}`"


def unquoted(situation: Situation, words: dict[str, str]) -> str:
    return "write `{}`".format(situation.found.strip('"'))


def action(situation: Situation, words: dict[str, str]) -> str:
    return f"write `else {situation.found}`"


def joined(situation: Situation, words: dict[str, str]) -> str:
    return f"write `{situation.word.text.replace('-', '_')}`"


def in_parentheses(situation: Situation, words: dict[str, str]) -> str:
    return f"write `{words['name']}({_rest(situation)})`"


def unit(situation: Situation, words: dict[str, str]) -> str | None:
    close = situation.found if situation.found in UNITS else nearest(situation.found, UNITS)
    if close and len(situation.found) < len(close):
        return None
    return f"write `{words['number']}{close}`" if close else None


def expected(situation: Situation, words: dict[str, str]) -> str:
    """What the grammar expected at the error."""
    names = {_TERMINALS.get(each, "") for each in situation.expected - _ARITHMETIC} - {""}
    ordered = sorted(names, key=lambda each: (not each.startswith("`"), each))
    if not ordered:
        return "start a new line"
    return f"expected: {' or '.join(filter(None, (', '.join(ordered[:-1]), ordered[-1])))}"
