"""The names of option types in messages and in the catalogue of passes."""

from __future__ import annotations

import math
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from vggc.options.given import BareWord, Content, spell
from vggc.values import Bytes, Decibels, Declared, Dimension, File, Folder, Interval, Names, Ratio, Seconds, Within


class Name(str):
    """One of Names, for messages about it."""


_SCALARS: dict[Any, tuple[str, str, str]] = {
    # For a type: (one of it, several of it, how it is written)
    bool: ("`true` or `false`", "`true` or `false`", ""),
    int: ("a whole number", "whole numbers", "`8`"),
    float: ("a number", "numbers", "`0.5`"),
    str: ("a quoted text", "quoted texts", '`"text"`'),
    Name: ("a quoted name", "quoted names", '`"features.7"`'),
    File: ("a quoted file name", "quoted file names", '`"data.npz"`'),
    Folder: ("a quoted folder name", "quoted folder names", '`"images"`'),
    Path: ("a quoted path", "quoted paths", '`"names.txt"`'),
    Ratio: ("a ratio", "ratios", "`50%`"),
    Bytes: ("a size", "sizes", "`4GiB`"),
    Seconds: ("a time", "times", "`2.5ms`"),
    Decibels: ("a level", "levels", "`30dB`"),
    Names: ("a quoted name or a list of them", "lists of quoted names", '`["features.*", "head"]`'),
    Interval: ("a range", "ranges", "`1..8..32`"),
    Dimension: ("a dimension", "dimensions", "`3`, or `1..8..32` where it varies"),
}


def wanted(annotation: Any) -> str:
    """A type in messages: "a whole number", "one of `entropy`, `minmax`", "a list of ratios"."""
    if annotation in _SCALARS:
        return _SCALARS[annotation][0]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return wanted(arguments[0])
    if origin is Literal:
        words = [f"`{each}`" for each in arguments]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if origin in (Union, types.UnionType):
        return " or ".join(wanted(each) for each in members(arguments))
    if origin is list or (origin is tuple and arguments[-1] is ...):
        return f"a list of {_several(arguments[0])}"
    if origin is tuple and len(set(arguments)) == 1:
        return f"a list of {len(arguments)} {_several(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}: {', '.join(wanted(each) for each in arguments)}"
    if origin is dict:
        return f"a mapping from names to {_several(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Declared):
        return f"the name of a `{annotation.statement}` statement"
    raise TypeError(f"recipes cannot write the type {annotation!r}")


def catalogue_text(annotation: Any) -> str:
    """A type in the pass catalogue: `ratio`, `entropy | minmax`, `[string, ...]`, `int in 1..8`."""
    if annotation == Dimension:
        return "dimension"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        within = limits(annotation)
        suffix = f" in {bound(within.low, float)}..{bound(within.high, float)}" if within else ""
        return catalogue_text(arguments[0]) + suffix
    if origin is Literal:
        return " | ".join(str(each) for each in arguments)
    if origin in (list, tuple):
        return f"[{catalogue_text(arguments[0])}, ...]"
    if origin is dict:
        return f'{{"name": {catalogue_text(arguments[1])}}}'
    if origin in (Union, types.UnionType):
        return " | ".join(catalogue_text(each) for each in arguments if each is not type(None))
    name: str = annotation.__name__
    return {"str": "string", "bool": "true | false", "Interval": "range"}.get(name, name.lower())


def members(arguments: tuple[Any, ...]) -> list[Any]:
    """The members of a union that a recipe can write; a whole number or a range together are a dimension."""
    found = [each for each in arguments if each is not type(None)]
    if int in found and Interval in found:
        found = [Dimension, *(each for each in found if each not in (int, Interval))]
    return found


def limits(annotation: Any) -> Within | None:
    """The limits that an annotation sets for its numbers."""
    if get_origin(annotation) is not Annotated:
        return None
    return next((each for each in get_args(annotation)[1:] if isinstance(each, Within)), None)


def _several(annotation: Any) -> str:
    if annotation in _SCALARS:
        return _SCALARS[annotation][1]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _several(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    if origin is list or (origin is tuple and arguments[-1] is ...):
        return f"lists of {_several(arguments[0])}"
    if origin in (Union, types.UnionType):
        return " or ".join(_several(each) for each in members(arguments))
    return f"values, each {wanted(annotation)}"


def advice(annotation: Any, value: Content) -> str:
    """The help for a value of another kind than the annotation: what to write instead."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return advice(arguments[0], value)
    if origin in (Union, types.UnionType) and annotation != Dimension:
        advices = [advice(each, value) for each in members(arguments)]
        return next((each for each in advices if each.startswith("write it")), next(filter(None, advices), ""))
    if isinstance(value, str) and ((origin is Literal and value in arguments) or _is_truth(annotation, value)):
        return f"write it without quotes: {value}"
    if isinstance(value, BareWord) and annotation in (str, Name, File, Folder, Path, Names):
        return f'write it in quotes: "{value.name}"'
    if annotation in (Bytes, Seconds) and type(value) in (int, float):
        units = "KB, MB, GB, KiB, MiB or GiB" if annotation is Bytes else "s, ms or us"
        return f"add a unit: {units}"
    if annotation in (int, float) and isinstance(value, Ratio | Bytes | Seconds | Decibels):
        return f"write a number without a unit, for example {_SCALARS[annotation][2]}"
    if origin is dict:
        return "write it as {name: value}"
    if isinstance(annotation, type) and issubclass(annotation, Declared):
        return f"declare it before with `{annotation.statement} NAME = ...`, and write NAME here"
    how = _SCALARS[annotation][2] if annotation in _SCALARS else ""
    return f"for example {how}" if how else ""


def _is_truth(annotation: Any, value: str) -> bool:
    """Whether a quoted text was written for `true` or `false`."""
    return annotation is bool and value in ("true", "false")


def items(annotation: Any) -> list[Any]:
    """The types of the items of the lists that a type allows, of any length."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return [item for each in arguments for item in items(each)]
    return [arguments[0]] if origin is list or (origin is tuple and arguments[-1] is ...) else []


def bound(limit: float, kind: type) -> str:
    """A limit as a recipe would write it for numbers of this kind."""
    if kind in (Ratio, Bytes, Seconds) and math.isfinite(limit):
        return spell(kind(limit))
    return spell(int(limit) if float(limit).is_integer() else limit)
