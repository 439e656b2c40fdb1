"""`param` statements: their types, their limits, and the overrides that `--set` gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

from vggc.binding.evaluate import evaluate
from vggc.binding.loader_values import LOADER, is_path, loader_call, loader_of_path
from vggc.binding.scope import Declaration, Scope, Undetermined, UnknownValue
from vggc.diagnostics import Code, CompileError, Diagnostic, Diagnostics, fail, spelling_help
from vggc.diagnostics.source import Source, Span
from vggc.grammar import syntax
from vggc.options import BareWord, Content, Given, Origin, Reference, convert, describe, spell
from vggc.values import Bytes, Decibels, Interval, Names, Ratio, Seconds, Within

TYPES: dict[str, Any] = {
    "int": int,
    "float": float,
    "ratio": Ratio,
    "bytes": Bytes,
    "seconds": Seconds,
    "decibels": Decibels,
    "string": str,
    "bool": bool,
    "range": Interval,
    "names": Names,
    "word": BareWord,
    "list": tuple,
    "mapping": dict,
    LOADER: Reference,
}
"""The types that may stand behind `param NAME:`. A word, list or mapping is checked where it is used."""

_ARTICLES = {"word": "a word", "list": "a list", "mapping": "a mapping"}
_NO_LIMITS = Within(-math.inf, math.inf)
_LIMITED = ("int", "float", "ratio", "bytes", "seconds", "range")

COMMAND_LINE = "command line"
"""Where diagnostics place a `--set`."""


@dataclass(frozen=True)
class Override(Source):
    """The value of a `--set NAME=VALUE`; messages show it with the text before it."""

    name: str

    @property
    def before(self) -> str:
        return f"--set {self.name}="

    @cached_property
    def lines(self) -> list[str]:
        return (self.before + self.text).split("\n")

    def position(self, offset: int) -> tuple[int, int]:
        return super().position(len(self.before) + offset)


class Overrides:
    """The `--set` options of a command; each must belong to a `param`."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)
        self._claimed: set[str] = set()

    def claim(self, name: str) -> str | None:
        """The override of a parameter, if there is one."""
        self._claimed.add(name)
        return self._texts.get(name)

    def unclaimed(self, params: list[str]) -> list[Diagnostic]:
        """Errors for overrides of parameters that the recipe, which has `params`, does not declare."""
        errors = []
        for name, text in self._texts.items():
            if name not in self._claimed:
                source = Source(COMMAND_LINE, f"--set {name}={text}")
                help = spelling_help(name, params, "its parameters") or "it declares no parameters"
                span = Span(source, len("--set "), len("--set ") + len(name))
                errors.append(
                    Diagnostic(f"the recipe has no parameter `{name}`", span, help=help, code=Code.UNKNOWN_PARAM)
                )
        return errors


Limits = Interval | tuple[Any, ...]
"""What a parameter may be: from a low to a high value, or one of some values."""


def bind_param(statement: syntax.ParamStatement, scope: Scope, overrides: Overrides) -> Limits | None:
    """Declare a parameter with its value, or with the value `--set` gives it.

    Returns what a search may give it, None when the recipe or `--set` decides it. Raises CompileError with everything
    wrong in the statement and in the override. The name is declared then too.
    """
    name = statement.name
    declaration = Declaration(name.name, "param", UnknownValue(), name.span, name.span.source.path)
    text = overrides.claim(name.name)
    diagnostics = Diagnostics()
    value: Given | None = None
    space: Limits | None = None
    try:
        with diagnostics.collect():
            # Before the name is declared: a parameter cannot be made of itself.
            written = loader_call(statement.value) or evaluate(statement.value, scope)
            type_ = _type(statement, written)
            limits = _limits(statement, type_, scope)
            space = _space(type_, limits) if text is None else None
            with diagnostics.collect():
                value = _checked(written, type_, limits, f"`{name.name}`")
            if text is not None:
                value = _override(name, text, type_, limits, scope)
    except Undetermined:
        value = None
    with diagnostics.collect():
        scope.add(declaration, name.span)
    diagnostics.raise_errors()
    if value:
        declaration.meaning = replace(value, origin=Origin(name.name, value.span))
    return space


def plain(value: Content | Given) -> Any:
    """A parameter's value for reports: lists and mappings with their contents, words as texts."""
    match value:
        case Given():
            return plain(value.value)
        case tuple():
            return [plain(each) for each in value]
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case BareWord() | Reference():
            return value.name
        case _:
            return value


def _type(statement: syntax.ParamStatement, value: Given) -> str:
    """The word for the parameter's type: the one written, else that of its value."""
    if statement.type is not None:
        word = statement.type.name
        if word not in TYPES:
            help = spelling_help(word, TYPES, "the types")
            raise fail(f"there is no type `{word}`", statement.type.span, help=help, code=Code.PARAM)
        return word
    match value.value:
        case bool():
            return "bool"
        case Ratio():
            return "ratio"
        case Bytes():
            return "bytes"
        case Decibels():
            return "decibels"
        case Seconds():
            return "seconds"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "string"
        case Interval():
            return "range"
        case BareWord():
            return "word"
        case tuple():
            return "list"
        case dict():
            return "mapping"
        case Reference() if value.value.statement == LOADER:
            return LOADER
        case Reference():
            raise fail(
                "a parameter cannot be a data set",
                value.span,
                help=f"write `{value.value.name}` where it is used",
                code=Code.PARAM,
            )


def _space(type_: str, limits: Within | tuple[Given, ...] | None) -> Limits | None:
    """What a search may give a parameter. A range is not searched: its limits are those of its ends."""
    if isinstance(limits, tuple):
        return tuple(each.value for each in limits)
    return None if limits is None or type_ == "range" else Interval((limits.low, limits.high))


def _limits(statement: syntax.ParamStatement, type_: str, scope: Scope) -> Within | tuple[Given, ...] | None:
    if statement.bounds is None:
        return None
    if isinstance(statement.bounds, syntax.Sequence):
        return _choices(statement, type_, statement.bounds, scope)
    if type_ not in _LIMITED:
        help = "only numbers and ranges can have limits"
        raise fail(f"a {type_} cannot have limits", statement.bounds.span, help=help, code=Code.PARAM)
    given = evaluate(statement.bounds, scope)
    assert isinstance(given.value, Interval)
    if len(given.value.points) != 2:
        low, _, high = (spell(each) for each in given.value.points)
        raise fail("the limits must be two numbers", given.span, help=f"write `in {low}..{high}`", code=Code.PARAM)
    unlimited: Any = float if type_ == "range" else Annotated[TYPES[type_], _NO_LIMITS]
    low, high = (
        convert(Given(each, given.span), unlimited, f"a limit of `{statement.name.name}`")
        for each in given.value.points
    )
    return Within(low, high)


def _choices(statement: syntax.ParamStatement, type_: str, written: syntax.Sequence, scope: Scope) -> tuple[Given, ...]:
    """The values that a parameter may have."""
    what = f"a value of `{statement.name.name}`"
    given = evaluate(written, scope)
    assert isinstance(given.value, tuple)
    diagnostics = Diagnostics()
    choices: list[Given] = []
    for each in given.value:
        with diagnostics.collect():
            checked = _checked(each, type_, None, what)
            if any(_same(checked, other) for other in choices):
                raise fail(
                    f"the list contains `{each.span.text}` twice",
                    each.span,
                    help="remove one of the two",
                    code=Code.PARAM,
                )
            choices.append(checked)
    diagnostics.raise_errors()
    if not choices:
        help = "write the values that the parameter may have"
        raise fail("the list of values is empty", written.span, help=help, code=Code.PARAM)
    return tuple(choices)


def _same(first: Given, second: Given) -> bool:
    return bool(plain(first) == plain(second))


def _checked(given: Given, type_: str, limits: Within | tuple[Given, ...] | None, what: str) -> Given:
    if isinstance(limits, tuple):
        checked = _checked(given, type_, None, what)
        if not any(_same(checked, each) for each in limits):
            allowed = ", ".join(f"`{spell(each.value)}`" for each in limits)
            raise fail(
                f"{what} cannot be {describe(given.value)}", given.span, help=f"it is one of {allowed}", code=Code.PARAM
            )
        return checked
    annotation = TYPES[type_]
    if type_ == LOADER:
        return loader_of_path(given, what)
    if type_ in _ARTICLES:
        if not isinstance(given.value, annotation):
            quoted = type_ == "word" and isinstance(given.value, str)
            help = f"write it without quotes: {given.value}" if quoted else ""
            raise fail(
                f"{what} must be {_ARTICLES[type_]}, not {describe(given.value)}",
                given.span,
                help=help,
                code=Code.PARAM,
            )
        return given
    if limits or type_ == "ratio":
        # A parameter may be any ratio; the option it is used for has limits of its own.
        annotation = Annotated[annotation, limits or _NO_LIMITS]
    value = convert(given, annotation, what)
    return given if type_ == "names" else replace(given, value=value)


def _override(
    name: syntax.Word, text: str, type_: str, limits: Within | tuple[Given, ...] | None, scope: Scope
) -> Given:
    from vggc.grammar.parser import parse_value

    source = Override(COMMAND_LINE, text, name.name)
    as_text = not text.startswith(('"', "[")) if type_ in ("string", "names") else type_ == LOADER and is_path(text)
    if as_text:
        given = Given(text, Span(source, 0, len(text)))
    else:
        value = parse_value(source)
        given = loader_call(value) or evaluate(value, scope)
    try:
        return _checked(given, type_, limits, f"`{name.name}`")
    except CompileError as error:
        note = ("note", f"`{name.name}` is declared at {name.span.place}")
        raise CompileError(*(replace(each, facts=(*each.facts, note)) for each in error.diagnostics)) from None
