"""Messages about characters that no recipe has outside strings, with what was probably meant."""

from __future__ import annotations

import re
import unicodedata

from vggc.diagnostics import Code, Diagnostic
from vggc.grammar.situation import Situation

# What word processors, chats and other keyboards put in place of ASCII.
_MEANT = {
    **dict.fromkeys("“”„‟«»‘’‚‛＂", '"'),  # noqa: RUF001
    **dict.fromkeys("‐‑‒–—―−﹣－", "-"),  # noqa: RUF001
    **dict.fromkeys("×∗＊", "*"),  # noqa: RUF001
    **dict.fromkeys("÷∕⁄／", "/"),  # noqa: RUF001
    **dict.fromkeys("≥⩾", ">="),
    **dict.fromkeys("≤⩽", "<="),
    **dict.fromkeys("≠", "!="),
    **dict.fromkeys("→⇒", "=>"),
    **dict.fromkeys("…‥", ".."),
    **dict.fromkeys("％", "%"),  # noqa: RUF001
    **dict.fromkeys("，、", ","),  # noqa: RUF001
    **dict.fromkeys("：", ":"),  # noqa: RUF001
    **dict.fromkeys("（", "("),  # noqa: RUF001
    **dict.fromkeys("）", ")"),  # noqa: RUF001
    **dict.fromkeys("＝", "="),  # noqa: RUF001
    **dict.fromkeys("＃", "#"),  # noqa: RUF001
    **dict.fromkeys("µμ", "u"),
}

_HELP = {
    "'": 'write strings in double quotes: `"`',
    ";": "end the line instead: write one statement on each line",
    "\\": "remove it: a statement continues on the next line while a bracket is open",
    "&": "write `and`",
    "!": "write `not`",
    "^": "there is no power operator: write a product",
    "~": "write `not`",
    "$": "write a parameter's name alone, without `$`",
    "`": 'write names alone, and strings in double quotes: `"`',
    "@": "remove it",
    "%": "a percentage is a number and `%` without a space: `50%`",
}


def diagnose_character(situation: Situation) -> Diagnostic | None:
    """The message about a character that the grammar never uses; None for one that it uses."""
    character = situation.found
    if character in _MEANT:
        what = f"`{character}` (U+{ord(character):04X}) is not `{_MEANT[character]}`"
        return Diagnostic(
            what, situation.span, help=f"write `{_MEANT[character]}`, the ASCII sign", code=Code.CHARACTER
        )
    if re.fullmatch(r"\.\d*", character):
        return _diagnose_point(situation)
    if character == "%" and (digits := re.search(r"\d[\d.]*\Z", situation.before)):
        span = situation.last.to(situation.span)
        return Diagnostic(
            "there must be no space between a number and its unit", span, help=f"write `{digits[0]}%`", code=Code.UNIT
        )
    if character in _HELP:
        return Diagnostic(
            f"`{character}` has no meaning here", situation.span, help=_HELP[character], code=Code.CHARACTER
        )
    if len(character) != 1 or (character.isascii() and (character.isalnum() or character in '_"#()[]{}+-*/=<>:,|?')):
        return None
    name = unicodedata.name(character, "a control character").lower()
    shown = (
        f"`{character}` (U+{ord(character):04X}, {name})"
        if character.isprintable()
        else f"U+{ord(character):04X} ({name})"
    )
    if character.isalpha():
        help = "names consist of the letters a to z, digits and `_`; other letters are allowed in strings and comments"
    else:
        help = "remove it; outside strings and comments a recipe is plain ASCII"
    return Diagnostic(f"unknown character {shown}", situation.span, help=help, code=Code.CHARACTER)


def _diagnose_point(situation: Situation) -> Diagnostic:
    before, after = situation.before, situation.after
    touching = situation.last.end == situation.offset
    follows_digit = touching and re.search(r"\b\d+\Z", before)
    follows_word = touching and re.search(r"[A-Za-z_]\w*\Z", before)
    if before.endswith(".."):
        message, help = "a range is written with two dots", "write LOW..HIGH"
    elif follows_digit:
        message, help = "a number cannot end with a point", "write a digit after it, such as `5.0`, or leave it out"
    elif follows_word and situation.head == "rule":
        message = "a name cannot contain a dot"
        help = "`split.1` is output 1 of the node labelled `split`; `shape(x)` and the like are calls"
    elif follows_word:
        name = situation.last.text + _dotted(after)
        help = f"write `{name.replace('.', '_')}`"
        if situation.inside and situation.head != "define":
            help = f'write a name of the model in double quotes: `"{name}"`'
        message = "a name cannot contain a dot"
    elif digits := re.match(r"\.\d+", after):
        message, help = "a number must start with a digit", f"write `0{digits[0]}`"
    else:
        message, help = "`.` has no meaning here", "remove it"
    return Diagnostic(message, situation.span, help=help, code=Code.CHARACTER)


def _dotted(text: str) -> str:
    found = re.match(r"[\w.]*", text)
    return found[0] if found else ""
