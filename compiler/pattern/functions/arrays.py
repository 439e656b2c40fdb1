"""Arrays of compile-time numbers: their shape, their parts, and new ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from vggc.diagnostics import Declined
from vggc.graph.arrays import Array
from vggc.pattern.functions.arithmetic import normal_axes
from vggc.pattern.functions.function import Integers, Like, function
from vggc.pattern.numbers import Numbers, promoted, rounded, within
from vggc.pattern.values import Content, UnknownDimension, Value, dimensions, number

if TYPE_CHECKING:
    from vggc.pattern.evaluate import Evaluator

_TYPES = ("float64", "float32", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


@function
def along(rule: Evaluator, x: Numbers, axis: int, like: Like) -> Content:
    """A list of numbers along one axis of `like`, in a shape that broadcasts with it: (1, .., n, .., 1)."""
    sizes = _shape_of(rule, like)
    (at,) = normal_axes((axis,), len(sizes))
    if x.size != 1 and (isinstance(sizes[at], UnknownDimension) or x.size != sizes[at]):
        raise Declined(f"{x.size} numbers do not fit axis {axis} of a value of shape {_text(sizes)}")
    return _as(x, _view(x).reshape([-1 if each == at else 1 for each in range(len(sizes))]))


@function
def reshape(rule: Evaluator, x: Numbers, shape: Integers) -> Content:
    """The same numbers in another shape; one dimension may be -1."""
    try:
        return _as(x, _view(x).reshape(shape))
    except ValueError:
        raise Declined(f"{x.size} numbers do not fill the shape {list(shape)}") from None


@function
def transpose(rule: Evaluator, x: Numbers, perm: Integers | None = None) -> Content:
    """The array with its axes in another order; without `perm`, in reverse order."""
    order = tuple(reversed(range(x.ndim))) if perm is None else perm
    if sorted(order) != list(range(x.ndim)):
        raise Declined(f"{list(order)} is not a permutation of {x.ndim} axes")
    return _as(x, _view(x).transpose(order))


@function
def squeeze(rule: Evaluator, x: Numbers, axes: Integers | None = None) -> Content:
    """The array without the given axes of length 1, or without all of them."""
    chosen = [at for at, each in enumerate(x.shape) if each == 1] if axes is None else normal_axes(axes, x.ndim)
    if any(x.shape[at] != 1 for at in chosen):
        raise Declined(f"an axis of {list(x.shape)} cannot be removed: its length is not 1")
    return _as(x, _view(x).reshape([each for at, each in enumerate(x.shape) if at not in chosen]))


@function
def unsqueeze(rule: Evaluator, x: Numbers, axes: Integers) -> Content:
    """The array with new axes of length 1; `axes` are positions in the result."""
    chosen = normal_axes(axes, x.ndim + len(axes))
    rest = iter(x.shape)
    return _as(x, _view(x).reshape([1 if at in chosen else next(rest) for at in range(x.ndim + len(axes))]))


@function
def concat(rule: Evaluator, *x: Content, axis: int = 0) -> Content:
    """The concatenation of lists, or of arrays along an axis."""
    if x and all(isinstance(each, tuple) for each in x):
        return tuple(item for each in x for item in each)  # type: ignore[union-attr]
    parts = tuple(rule.numbers(each) for each in x)
    if not parts:
        raise Declined("nothing is given")
    within(sum(each.size for each in parts), rule.limit)
    (at,) = normal_axes((axis,), parts[0].ndim)
    try:
        return Numbers(np.concatenate([each.exact() for each in parts], at), promoted(parts))
    except ValueError:
        listed = " and ".join(str(list(each.shape)) for each in parts)
        raise Declined(f"arrays of shapes {listed} cannot be joined along axis {axis}") from None


@function
def slice_(
    rule: Evaluator, x: Content, start: int, stop: int | None = None, *, axis: int = 0, step: int = 1
) -> Content:
    """The part of a list, or of an array along an axis, from `start` up to, not including, `stop`."""
    if step == 0:
        raise Declined("the step is 0")
    part = slice(start, stop, step)
    if isinstance(x, tuple):
        return x[part]
    found = rule.numbers(x)
    (at,) = normal_axes((axis,), found.ndim)
    return _as(found, _view(found)[(slice(None),) * at + (part,)])


@function
def take(rule: Evaluator, x: Content, indices: Integers, axis: int = 0) -> Content:
    """The elements of a list, or of an array along an axis, at the given positions: `take(p, q)` is p after q."""
    length = len(x) if isinstance(x, tuple) else None
    found = None if isinstance(x, tuple) else rule.numbers(x)
    if found is not None:
        (axis,) = normal_axes((axis,), found.ndim)
        length = found.shape[axis]
    assert length is not None
    if any(not -length <= each < length for each in indices):
        raise Declined(f"an index in {list(indices)} is out of range: the axis has length {length}")
    if isinstance(x, tuple):
        return tuple(x[each] for each in indices)
    assert found is not None
    within(found.size // max(1, length) * len(indices), rule.limit)
    return _as(found, np.take(_view(found), indices, axis))


@function
def argsort(rule: Evaluator, x: Integers) -> Content:
    """The positions of a list's numbers in increasing order; for a `perm`, the inverse `perm`."""
    return tuple(sorted(range(len(x)), key=lambda each: x[each]))


@function
def flip(rule: Evaluator, x: Numbers, axes: Integers) -> Content:
    """The array with the elements along some axes in reverse order."""
    return _as(x, np.flip(_view(x), tuple(normal_axes(axes, x.ndim))))


@function
def pad(rule: Evaluator, x: Numbers, pads: Integers, value: Numbers | None = None) -> Content:
    """The array with numbers added around it: `pads` as in ONNX, all begins and then all ends."""
    if len(pads) != 2 * x.ndim or any(each < 0 for each in pads):
        raise Declined(f"pads {list(pads)} do not fit a value of {x.ndim} axes")
    widths = list(zip(pads[: x.ndim], pads[x.ndim :], strict=True))
    within(math.prod(size + sum(each) for size, each in zip(x.shape, widths, strict=True)), rule.limit)
    filled = 0 if value is None else number(value)
    return Numbers(np.pad(x.exact(), widths, constant_values=filled), x.dtype)


@function
def broadcast(rule: Evaluator, x: Numbers, shape: Integers) -> Content:
    """The array, repeated along axes of length 1 to the given shape."""
    within(math.prod(shape), rule.limit)
    try:
        return _as(x, np.broadcast_to(_view(x), shape))
    except ValueError:
        raise Declined(f"an array of shape {list(x.shape)} does not broadcast to {list(shape)}") from None


@function
def repeat(rule: Evaluator, x: Numbers, times: int, axis: int = 0) -> Content:
    """The array with each element along an axis repeated: turns a scale for each group into one for each channel."""
    (at,) = normal_axes((axis,), x.ndim)
    if times < 0:
        raise Declined("the number of repetitions is negative")
    within(x.size * times, rule.limit)
    return _as(x, np.repeat(_view(x), times, at))


@function
def cast(rule: Evaluator, x: Numbers, to: str | None = None, like: Like | None = None) -> Content:
    """The array, rounded to another type: the name of the type, or the type of another value."""
    dtype = _type_of(rule, like) if to is None else _named_type(to)
    if dtype is None:
        raise Declined("no type is given")
    return Numbers.of(rounded(x, dtype))


@function
def full(rule: Evaluator, shape: Integers, value: Numbers, like: Like | None = None) -> Content:
    """An array filled with one number, with the type of `like`."""
    if any(each < 0 for each in shape):
        raise Declined(f"there is no array of shape {list(shape)}")
    within(math.prod(shape), rule.limit)
    if value.size != 1:
        raise Declined("it takes one number")
    return Numbers(np.broadcast_to(value.exact().reshape(()), shape), _type_of(rule, like) or value.dtype)


@function
def zeros(rule: Evaluator, shape: Integers, like: Like | None = None) -> Content:
    """An array of zeros, with the type of `like`."""
    return full.function(rule, shape, Numbers.written(0.0), like)


@function
def ones(rule: Evaluator, shape: Integers, like: Like | None = None) -> Content:
    """An array of ones, with the type of `like`."""
    return full.function(rule, shape, Numbers.written(1.0), like)


@function
def range_(rule: Evaluator, start: int, stop: int | None = None) -> Content:
    """The list of whole numbers from 0, or `start`, up to and not including the end."""
    first, last = (0, start) if stop is None else (start, stop)
    within(last - first, rule.limit)
    return tuple(range(first, last))


@function
def list_(rule: Evaluator, x: Integers) -> Content:
    """The whole numbers in a constant with one dimension, such as the shape that a Reshape reads."""
    return tuple(x)


def _view(x: Numbers) -> Array:
    """The array in its own type where nothing is left to compute: reordering needs no float64."""
    leaf = x.leaf
    return x.exact() if leaf is None else leaf


def _as(x: Numbers, array: Array) -> Numbers:
    return Numbers(array, x.dtype)


def _shape_of(rule: Evaluator, like: object) -> Sequence[object]:
    if isinstance(like, Value):
        return dimensions(rule.graph, like)
    assert isinstance(like, Numbers)
    return like.shape


def _type_of(rule: Evaluator, like: object) -> np.dtype[Any] | None:
    if like is None:
        return None
    if isinstance(like, Numbers):
        return like.dtype
    assert isinstance(like, Value)
    found = rule.graph.dtype(like.tensor)
    if found is None:
        raise Declined(f"the type of `{like.name}` is not known")
    return found


def _named_type(name: str) -> np.dtype[Any]:
    if name in _TYPES:
        return np.dtype(name)
    if name == "bool":
        return np.dtype(np.bool_)
    found: np.dtype[Any] | None = None
    if name == "bfloat16" or name.startswith("float8_"):
        found = np.dtype(getattr(ml_dtypes, name)) if hasattr(ml_dtypes, name) else None
    if found is None:
        raise Declined(f"there is no type `{name}`")
    return found


def _text(sizes: Sequence[object]) -> str:
    return f"[{', '.join((each.symbol or '?') if isinstance(each, UnknownDimension) else str(each) for each in sizes)}]"
