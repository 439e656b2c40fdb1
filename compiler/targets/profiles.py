"""The ranges of shapes an engine is built for: optimisation profiles from the options `shapes` and `batch`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

from vggc.diagnostics import Code, CompileError, Diagnostic, spelling_help
from vggc.graph.arrays import Size
from vggc.graph.signature import ValueType, shape_text
from vggc.targets.engine_process import Profile
from vggc.values import Dimension, Interval

Shapes = Mapping[str, Sequence[Dimension]]
ShapesOption = Shapes | Sequence[Shapes] | None
BatchOption = Dimension | Sequence[Dimension] | None
"""Options of a target: a value for one profile, or a list with one entry for each profile."""

_BATCH = Interval((1, 8, 32))
_OTHER = Interval((1, 128, 512))
"""Ranges that help texts propose. They are never used unless the user writes them."""


def profiles(inputs: Sequence[ValueType], shapes: ShapesOption, batch: BatchOption) -> list[Profile]:
    """The optimisation profiles that the options ask for; none when no input varies.

    When `shapes` or `batch` is a list, each of its entries makes one profile; an option that is not a list holds for
    all profiles. Raises CompileError with everything that is wrong or missing.
    """
    problems = profiles_problems(inputs, shapes, batch)
    if problems:
        raise CompileError(*problems)
    made = [profile(inputs, *each) for each in _entries(shapes, batch)]
    return [each for each in made if each]


def profiles_problems(inputs: Sequence[ValueType], shapes: ShapesOption, batch: BatchOption) -> list[Diagnostic]:
    """What is wrong with the options for these inputs, each problem with the number of its profile."""
    lists = {name: len(each) for name, each in (("shapes", shapes), ("batch", batch)) if _is_list(each)}
    if empty := [name for name, count in lists.items() if count == 0]:
        return [
            Diagnostic(f"{name}=[] contains no profile", help="remove it, or write a range", code=Code.PROFILE)
            for name in empty
        ]
    if len(set(lists.values())) > 1:
        text = f"shapes gives {lists['shapes']} profiles, but batch gives {lists['batch']}"
        return [
            Diagnostic(
                text,
                help="give both the same number of profiles, or one of them once for all profiles",
                code=Code.PROFILE,
            )
        ]
    entries = _entries(shapes, batch)
    problems = []
    for number, each in enumerate(entries, 1):
        place = (("profile", f"{number} of {len(entries)}"),) if len(entries) > 1 else ()
        problems += [replace(problem, facts=(*place, *problem.facts)) for problem in profile_problems(inputs, *each)]
    return problems


def _is_list(option: ShapesOption | BatchOption) -> TypeGuard[Sequence[Any]]:
    return isinstance(option, Sequence)


def _entries(shapes: ShapesOption, batch: BatchOption) -> list[tuple[Shapes | None, Dimension | None]]:
    count = max((len(each) for each in (shapes, batch) if _is_list(each)), default=1)
    all_shapes: Sequence[Any] = shapes if _is_list(shapes) else [shapes] * count
    all_batches: Sequence[Any] = batch if _is_list(batch) else [batch] * count
    return list(zip(all_shapes, all_batches, strict=True))


def profile(inputs: Sequence[ValueType], shapes: Shapes | None, batch: Dimension | None) -> Profile:
    """Min, opt and max shape of every input with a dimension that varies; empty when there is none.

    `shapes` gives all dimensions of an input. `batch` gives the first dimension of every other input whose remaining
    dimensions are fixed.
    Raises CompileError with everything that is wrong or missing.
    """
    problems = profile_problems(inputs, shapes, batch)
    if problems:
        raise CompileError(*problems)
    ranges = {each.name: _ranges(each, shapes, batch) for each in inputs if _varies(each)}
    return {
        name: ([each[0] for each in limits], [each[1] for each in limits], [each[2] for each in limits])
        for name, limits in ranges.items()
    }


def profile_problems(inputs: Sequence[ValueType], shapes: Shapes | None, batch: Dimension | None) -> list[Diagnostic]:
    """What is wrong with the options for these inputs, a missing range included."""
    names = [each.name for each in inputs]
    problems = [
        Diagnostic(f"the model has no input `{name}`", help=spelling_help(name, names, "its inputs"), code=Code.PROFILE)
        for name in shapes or {}
        if name not in names
    ]
    if batch is not None and (wrong := _wrong_range(batch)):
        problems.append(Diagnostic(f"batch={batch}: {wrong}", code=Code.PROFILE))
        return problems
    for each in inputs:
        if shapes and each.name in shapes:
            problems += _mismatches(each, shapes[each.name])
    missing = [each for each in inputs if _varies(each) and not _given(each, shapes, batch)]
    if missing:
        problems.append(_missing(missing, inputs, shapes))
    return problems or _unequal_names(inputs, shapes, batch)


def _fixed(size: Size) -> TypeGuard[int]:
    # Some exporters write -1 where they mean an unnamed dimension.
    return isinstance(size, int) and size >= 0


def _varies(each: ValueType) -> bool:
    return each.shape is None or not all(_fixed(size) for size in each.shape)


def _takes_batch(each: ValueType) -> bool:
    """Whether only the first dimension varies."""
    return bool(each.shape) and _varies(each) and all(_fixed(size) for size in (each.shape or ())[1:])


def _given(each: ValueType, shapes: Shapes | None, batch: Dimension | None) -> bool:
    return bool(shapes and each.name in shapes) or (batch is not None and _takes_batch(each))


def _ranges(each: ValueType, shapes: Shapes | None, batch: Dimension | None) -> list[tuple[int, int, int]]:
    if shapes and each.name in shapes:
        return [limits(size) for size in shapes[each.name]]
    assert each.shape is not None and batch is not None, "profile_problems lets no other input pass"
    return [limits(size if _fixed(size) else batch) for size in each.shape]


def limits(size: Dimension) -> tuple[int, int, int]:
    """Min, opt and max of a dimension: `8`, `1..32` (optimised for the high end) or `1..8..32`."""
    if isinstance(size, Interval):
        return int(size.low), int(size.middle), int(size.high)
    return size, size, size


def _wrong_range(size: Dimension) -> str:
    points = size.points if isinstance(size, Interval) else (size,)
    if any(int(each) != each for each in points):
        return "a dimension must be a whole number"
    if any(each < 0 for each in points) or points[-1] == 0:
        return "a dimension must be at least 1; only the low end of a range may be 0"
    if list(points) != sorted(points):
        return "a range must increase: smallest size, most frequent size, largest size (min..opt..max)"
    return ""


def _mismatches(each: ValueType, shape: Sequence[Dimension]) -> list[Diagnostic]:
    if each.shape is None:
        return [_unknown_rank(each)]
    fact = (("note", f"the model declares `{each.name}` {shape_text(each.shape)}"),)
    if len(shape) != len(each.shape):
        message = f"shapes gives `{each.name}` {len(shape)} dimensions, but it has {len(each.shape)}"
        return [Diagnostic(message, facts=fact, help=f"write shapes={{{_entry(each, None)}}}", code=Code.PROFILE)]
    problems = []
    for index, (size, declared) in enumerate(zip(shape, each.shape, strict=True)):
        if wrong := _wrong_range(size):
            problems.append(
                Diagnostic(f"shapes gives dimension {index} of `{each.name}` as {size}: {wrong}", code=Code.PROFILE)
            )
        elif _fixed(declared) and limits(size) != (declared, declared, declared):
            message = f"shapes gives dimension {index} of `{each.name}` as {size}, but it is always {declared}"
            problems.append(
                Diagnostic(message, facts=fact, help=f"write shapes={{{_entry(each, None)}}}", code=Code.PROFILE)
            )
    return problems


def _missing(missing: Sequence[ValueType], inputs: Sequence[ValueType], shapes: Shapes | None) -> Diagnostic:
    unknown = [each for each in missing if each.shape is None]
    if unknown:
        return _unknown_rank(unknown[0])
    several = len(missing) > 1
    names = ", ".join(f"`{each.name}`" for each in missing)
    given = {each: shapes[each.name] for each in inputs if shapes and each.name in shapes}
    # The proposal for a named dimension is the range that the user wrote for this name elsewhere.
    known = {
        symbol: size
        for each, shape in given.items()
        for symbol, size in zip(each.shape or (), shape, strict=False)
        if isinstance(symbol, str)
    }
    entries = [_entry(each, shape) for each, shape in given.items()] + [_entry(each, None, known) for each in missing]
    text = f"shapes={{{', '.join(entries)}}}"
    if not given and all(_takes_batch(each) for each in missing):
        text = f"batch={_BATCH}, or {text}"
    return Diagnostic(
        f"the input{'s' * several} {names} {'have' if several else 'has'} no fixed shape: "
        "an engine is built for a range of sizes",
        facts=tuple(("input", str(each)) for each in missing),
        help=f"write the range (min..opt..max): {text}",
        code=Code.PROFILE,
    )


def _unknown_rank(each: ValueType) -> Diagnostic:
    return Diagnostic(
        f"the input `{each.name}` has no declared number of dimensions; TensorRT would treat it as a single number",
        help="export the model with the input's shape",
        code=Code.PROFILE,
    )


def _entry(each: ValueType, given: Sequence[Dimension] | None, known: Mapping[str, Dimension] | None = None) -> str:
    """`"input": [1..8..32, 3, 224, 224]`: the given sizes, or proposals for the dimensions that vary."""
    shape: Sequence[Dimension] = given or [
        size if _fixed(size) else (known or {}).get(str(size), _OTHER if index else _BATCH)
        for index, size in enumerate(each.shape or ())
    ]
    return f'"{each.name}": [{", ".join(str(size) for size in shape)}]'


def _unequal_names(inputs: Sequence[ValueType], shapes: Shapes | None, batch: Dimension | None) -> list[Diagnostic]:
    """Dimensions with the same name have the same size at run time, so their ranges must be the same."""
    first: dict[str, tuple[str, tuple[int, int, int]]] = {}
    problems = []
    for value in inputs:
        if not _varies(value):
            continue
        for symbol, size in zip(value.shape or (), _ranges(value, shapes, batch), strict=True):
            if not isinstance(symbol, str):
                continue
            name, other = first.setdefault(symbol, (value.name, size))
            if other != size:
                message = (
                    f"the dimension `{symbol}` is {_text(other)} in the input `{name}`, "
                    f"but {_text(size)} in the input `{value.name}`"
                )
                problems.append(
                    Diagnostic(
                        message,
                        help="dimensions with the same name have the same size: give both the same range",
                        code=Code.PROFILE,
                    )
                )
    return problems


def _text(size: tuple[int, int, int]) -> str:
    return str(size[0]) if len(set(size)) == 1 else "..".join(str(each) for each in size)
