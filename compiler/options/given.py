"""A value as a recipe gives it: with its unit resolved, and not yet checked against a type."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from vggc.diagnostics.source import Span
from vggc.values import Bytes, Decibels, Interval, Ratio, Seconds

UNITS: dict[str, int] = {"KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
"""Bytes in each unit of size."""


@dataclass(frozen=True)
class BareWord:
    """A bare word that the recipe does not declare: one of the words an option allows, or a misspelling."""

    name: str


@dataclass(frozen=True)
class Reference:
    """The name of something that the recipe declares with `statement`; `target` is the thing itself."""

    statement: str
    name: str
    target: object


Content = bool | int | float | str | BareWord | Interval | Reference | tuple["Given", ...] | dict[str, "Given"]
"""Numbers with units are Ratio, Bytes, Seconds and Decibels; quoted texts are str."""


@dataclass(frozen=True)
class Origin:
    """Where the value of a parameter was given, when it is used elsewhere.

    `by_call` says that it is a parameter of a `define`, whose value the caller gives, and not one of the recipe.
    """

    name: str
    span: Span
    by_call: bool = False


@dataclass(frozen=True)
class Given:
    """A value and the characters it was read from; for the value of a parameter, those of its use."""

    value: Content
    span: Span
    origin: Origin | None = None


def describe(value: Content) -> str:
    """A value with its kind, for messages: "the ratio `50%`", "the word `int8`"."""
    match value:
        case bool():
            return f"`{spell(value)}`"
        case Ratio():
            return f"the ratio `{spell(value)}`"
        case Bytes():
            return f"the size `{spell(value)}`"
        case Decibels():
            return f"the level `{spell(value)}`"
        case Seconds():
            return f"the time `{spell(value)}`"
        case int() | float():
            return f"`{spell(value)}`"
        case str():
            return f"the text `{spell(value)}`"
        case BareWord():
            return f"the word `{value.name}`"
        case Interval():
            return f"the range `{spell(value)}`"
        case Reference():
            return f"the {value.statement} `{value.name}`"
        case tuple():
            return "a list"
        case dict():
            return "a mapping"


def spell(value: object) -> str:
    """A value as a recipe writes it: `50%`, `4GiB`, `[1, 2]`, `"text"`."""
    match value:
        case Given():
            return spell(value.value)
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case Ratio():
            return f"{_plain(Decimal(repr(float(value))) * 100)}%"
        case Bytes():
            return _bytes(int(value))
        case Decibels():
            return f"{_plain(Decimal(repr(float(value))))}dB"
        case Seconds():
            return _seconds(float(value))
        case float():
            return _plain(Decimal(repr(value))) if 1e-4 <= abs(value) < 1e16 or value == 0 else repr(value)
        case str():
            escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
            return '"' + "".join(escapes.get(each, each) for each in value) + '"'
        case BareWord() | Reference():
            return value.name
        case Interval():
            return "..".join(spell(each) for each in value.points)
        case list() | tuple():
            return f"[{', '.join(spell(each) for each in value)}]"
        case dict():
            return "{" + ", ".join(f"{spell(name)}: {spell(each)}" for name, each in value.items()) + "}"
        case _:
            return str(value)


def _plain(number: Decimal) -> str:
    """A number as text, without an exponent and without trailing zeros."""
    if not number.is_finite():
        return str(number).lower()
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _bytes(size: int) -> str:
    for unit in ("GiB", "GB", "MiB", "MB", "KiB", "KB"):
        if size and size % UNITS[unit] == 0:
            return f"{size // UNITS[unit]}{unit}"
    return _plain(Decimal(size) / 1000) + "KB"


def _seconds(time: float) -> str:
    exact = Decimal(repr(time))
    for unit, scale in (("s", 1), ("ms", 1000), ("us", 1_000_000)):
        if abs(exact) * scale >= 1 or unit == "us":
            return f"{_plain(exact * scale)}{unit}"
    raise AssertionError("the last unit takes every time")
