"""Convert a value of a recipe to the type of an annotation, or say what to write instead."""

from __future__ import annotations

import math
import types
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from vggc.diagnostics import Code, CompileError, Diagnostic, Diagnostics, fail, nearest, spelling_help
from vggc.options.given import BareWord, Given, Reference, describe, spell
from vggc.options.type_text import Name, advice, bound, items, members, wanted
from vggc.values import Bytes, Declared, Dimension, File, Folder, Interval, Names, Ratio, Seconds, Within

LARGEST = 2**63
"""Numbers must be below it: ONNX has no integers beyond 64 bits."""

_OWN_LIMITS: dict[Any, Within] = {
    Ratio: Within(0.0, 1.0),
    Bytes: Within(0, math.inf),
    Seconds: Within(0.0, math.inf),
}


class _Mismatch(Exception):
    """The value is of another kind than the annotation; another member of a union may still accept it."""


def convert(value: Given, annotation: Any, what: str = "the value", declared: Iterable[str] | None = None) -> Any:
    """The Python value of an option. `what` names the option in messages; `declared` are the names it may refer to.

    Lists become list or tuple, mappings dict; the name of a `data` statement becomes its data set. Raises CompileError
    with every problem of a list or mapping at once: a value of another kind or unit, a value out of its limits, a word
    that is not allowed, each at the characters it was read from.
    """
    return _Conversion(None if declared is None else tuple(declared)).convert(value, annotation, what)


def at_use(diagnostic: Diagnostic, value: Given) -> Diagnostic:
    """The same message where the user should look, since a parameter is given in one place and used in another."""
    origin = value.origin
    if origin is None:
        return diagnostic
    if origin.by_call:
        note = ("note", f"it is used as `{origin.name}` at {value.span.place}")
        return replace(diagnostic, span=origin.span, facts=(*diagnostic.facts, note))
    note = ("note", f"`{origin.name}` is {spell(value)}, given at {origin.span.place}")
    return replace(diagnostic, span=value.span, facts=(*diagnostic.facts, note))


class _Conversion:
    def __init__(self, declared: tuple[str, ...] | None) -> None:
        self.declared = declared

    def convert(self, given: Given, annotation: Any, what: str) -> Any:
        try:
            return self._as(given, annotation, what, None)
        except _Mismatch:
            message = f"{what} must be {wanted(annotation)}, not {describe(given.value)}"
            wrong = Diagnostic(message, given.span, help=self._advice(given, annotation), code=Code.OPTION_TYPE)
            raise CompileError(at_use(wrong, given)) from None
        except CompileError as error:
            raise CompileError(*(at_use(each, given) for each in error.diagnostics)) from None

    def _advice(self, given: Given, annotation: Any) -> str:
        """The help for a value of another kind: what to write instead."""
        name = given.value.name if isinstance(given.value, BareWord) else None
        if name is not None and (close := nearest(name, self.declared or ())):
            return f"a similar name exists: `{close}`"
        if any(self._takes(given, item) for item in items(annotation)):
            return f"write it in brackets: [{spell(given)}]"
        help = advice(annotation, given.value)
        if name is None or self.declared is None or help.startswith("write it"):
            return help
        example = f"; write a value, {help}" if help.startswith("for example") else ""
        return f"nothing named `{name}` is declared{example}"

    def _takes(self, given: Given, annotation: Any) -> bool:
        try:
            self._as(given, annotation, "", None)
        except (_Mismatch, CompileError):
            return False
        return True

    def _as(self, given: Given, annotation: Any, what: str, limits: Within | None) -> Any:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if annotation == Dimension:
            return _dimension(given, what)
        if origin is Annotated:
            limits = next((each for each in arguments[1:] if isinstance(each, Within)), limits)
            return self._as(given, arguments[0], what, limits)
        if origin in (Union, types.UnionType):
            return self._union(given, arguments, what, limits)
        if origin is Literal:
            return _allowed(given, arguments, what)
        if origin in (list, tuple):
            return self._list(given, origin, arguments, what)
        if origin is dict:
            return self._mapping(given, arguments[1], what)
        if annotation is Names:
            return self._names(given, what)
        return _scalar(given, annotation, what, limits)

    def _union(self, given: Given, arguments: tuple[Any, ...], what: str, limits: Within | None) -> Any:
        problem: CompileError | None = None
        for member in members(arguments):
            try:
                return self._as(given, member, what, limits)
            except _Mismatch:
                continue
            except CompileError as error:
                problem = problem or error
        raise problem or _Mismatch

    def _list(self, given: Given, kind: Any, arguments: tuple[Any, ...], what: str) -> Any:
        if not isinstance(given.value, tuple):
            raise _Mismatch
        one = f"an item of {what}"
        if kind is list or arguments[-1] is ...:
            return kind(self._each([(each, arguments[0], one) for each in given.value]))
        if len(given.value) != len(arguments):
            raise fail(
                f"{what} must have {len(arguments)} items, not {len(given.value)}", given.span, code=Code.OPTION_TYPE
            )
        paired = zip(given.value, arguments, strict=True)
        return tuple(self._each([(each, annotation, one) for each, annotation in paired]))

    def _mapping(self, given: Given, annotation: Any, what: str) -> dict[str, Any]:
        if not isinstance(given.value, dict):
            raise _Mismatch
        entries = [(each, annotation, f"`{name}` in {what}") for name, each in given.value.items()]
        return dict(zip(given.value, self._each(entries), strict=True))

    def _names(self, given: Given, what: str) -> Names:
        if isinstance(given.value, tuple):
            return Names(self._each([(each, Name, f"a name in {what}") for each in given.value]))
        return Names([_scalar(given, Name, what, None)])

    def _each(self, entries: list[tuple[Given, Any, str]]) -> list[Any]:
        diagnostics = Diagnostics()
        values = []
        for given, annotation, what in entries:
            with diagnostics.collect():
                values.append(self.convert(given, annotation, what))
        diagnostics.raise_errors()
        return values


def _scalar(given: Given, annotation: Any, what: str, limits: Within | None) -> Any:
    value = given.value
    if isinstance(annotation, type) and issubclass(annotation, Declared):
        if isinstance(value, Reference) and value.statement == annotation.statement:
            return value.target
        raise _Mismatch
    if annotation is bool:
        if isinstance(value, bool):
            return value
        raise _Mismatch
    if annotation in (str, Name, File, Folder, Path):
        if not isinstance(value, str):
            raise _Mismatch
        if not value and annotation is not str:
            raise fail(f"{what} is empty", given.span, code=Code.OPTION_TYPE)
        return value if annotation is Name else annotation(value)
    if annotation is Interval:
        if not isinstance(value, Interval):
            raise _Mismatch
        for point in value.points:
            _stay_within(point, limits, given, what)
        return value
    return _number(given, annotation, what, limits)


def _number(given: Given, annotation: Any, what: str, limits: Within | None) -> Any:
    value = given.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Mismatch
    plain = type(value) in (int, float)
    if annotation is int:
        fits = type(value) is int
    elif annotation in (float, Ratio):
        fits = plain or type(value) is annotation
    else:
        fits = type(value) is annotation
    if not fits:
        raise _Mismatch
    if not abs(value) < LARGEST:
        raise fail(f"{what} is too large", given.span, code=Code.OPTION_LIMITS)
    _stay_within(value, limits or _OWN_LIMITS.get(annotation), given, what)
    return annotation(value)


def _stay_within(value: float, limits: Within | None, given: Given, what: str) -> None:
    if limits is None or limits.low <= value <= limits.high:
        return
    low, high = bound(limits.low, type(value)), bound(limits.high, type(value))
    if limits.high == math.inf:
        allowed = "must not be negative" if limits.low == 0 else f"must be at least {low}"
    elif limits.low == -math.inf:
        allowed = f"must be at most {high}"
    else:
        allowed = f"must be between {low} and {high}"
    percent = limits == _OWN_LIMITS[Ratio] and type(value) in (int, float) and 1 < value <= 100
    help = f"write {spell(value)}%" if percent else ""
    raise fail(f"{what} {allowed}, but is {spell(given)}", given.span, help=help, code=Code.OPTION_LIMITS)


def _dimension(given: Given, what: str) -> int | Interval:
    value = given.value
    points = value.points if isinstance(value, Interval) else (value,)
    if any(type(each) not in (int, float) for each in points):
        raise _Mismatch
    for each in points:
        if type(each) is not int or not 1 <= each < LARGEST:
            raise fail(
                f"{what} must be a whole number of at least 1, but is {spell(value)}", given.span, code=Code.OPTION_TYPE
            )
    assert isinstance(value, int | Interval)
    return value


def _allowed(given: Given, words: tuple[Any, ...], what: str) -> Any:
    value = given.value
    if isinstance(value, BareWord):
        if value.name in words:
            return value.name
        help = spelling_help(value.name, [str(each) for each in words])
        raise fail(f"{what} cannot be `{value.name}`", given.span, help=help, code=Code.OPTION_LIMITS)
    if type(value) is int and value in [each for each in words if type(each) is int]:
        return value
    raise _Mismatch
