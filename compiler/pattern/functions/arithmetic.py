"""Arithmetic on compile-time numbers beyond + - * /."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vggc.diagnostics import Declined
from vggc.graph.arrays import Array
from vggc.pattern.functions.function import Function, Integers, function
from vggc.pattern.numbers import Elementwise, Numbers, elementwise
from vggc.pattern.values import Content

if TYPE_CHECKING:
    from vggc.pattern.evaluate import Evaluator

_RELATIVE = 1e-5


def _of_one(name: str, doc: str, make: Elementwise, *, floats: bool) -> Function:
    def compute(rule: Evaluator, x: Numbers) -> Content:
        if x.kind == "b":
            raise Declined("arithmetic does not work on truth values")
        kind = "f" if floats else x.kind
        return elementwise(make, x, kind=kind, limit=rule.limit)

    compute.__name__, compute.__doc__ = name, doc
    return function(compute)


def _of_two(name: str, doc: str, make: Elementwise) -> Function:
    def compute(rule: Evaluator, a: Numbers, b: Numbers) -> Content:
        _no_truth(a, b)
        kind = "f" if "f" in (a.kind, b.kind) else "i"
        if kind == "i" and name != "pow" and not b.exact().all():
            raise Declined("it divides by zero")
        if kind == "i" and name == "pow" and (b.exact() < 0).any():
            raise Declined("a whole number cannot have a negative power")
        return elementwise(make, a, b, kind=kind, limit=rule.limit)

    compute.__name__, compute.__doc__ = name, doc
    return function(compute)


sqrt = _of_one("sqrt", "The square root.", np.sqrt, floats=True)
exp = _of_one("exp", "e to the power of x.", np.exp, floats=True)
log = _of_one("log", "The natural logarithm.", np.log, floats=True)
tanh = _of_one("tanh", "The hyperbolic tangent.", np.tanh, floats=True)
abs_ = _of_one("abs", "The magnitude.", np.abs, floats=False)
sign = _of_one("sign", "-1, 0 or 1.", np.sign, floats=False)
round_ = _of_one("round", "The nearest whole number; the even one when two are equally near.", np.rint, floats=False)
floor = _of_one("floor", "The largest whole number that is not larger.", np.floor, floats=False)
ceil = _of_one("ceil", "The smallest whole number that is not smaller.", np.ceil, floats=False)
pow_ = _of_two("pow", "a to the power of b.", np.power)
mod = _of_two("mod", "The remainder of a divided by b, with the sign of b.", np.mod)
floordiv = _of_two("floordiv", "a divided by b, rounded down.", np.floor_divide)


@function
def min_(rule: Evaluator, *x: Numbers, axis: Integers | None = None, keepdims: bool = False) -> Content:
    """The smallest number of one array (along `axis`), or the elementwise minimum of several arrays."""
    return _extreme(rule, x, np.minimum, np.min, axis=axis, keepdims=keepdims)


@function
def max_(rule: Evaluator, *x: Numbers, axis: Integers | None = None, keepdims: bool = False) -> Content:
    """The largest number of one array (along `axis`), or the elementwise maximum of several arrays."""
    return _extreme(rule, x, np.maximum, np.max, axis=axis, keepdims=keepdims)


@function
def sum_(rule: Evaluator, x: Numbers, axis: Integers | None = None, keepdims: bool = False) -> Content:
    """The sum, of all numbers or along axes."""
    return _reduced(x, np.sum, axis, keepdims)


@function
def prod(rule: Evaluator, x: Numbers, axis: Integers | None = None, keepdims: bool = False) -> Content:
    """The product, of all numbers or along axes."""
    return _reduced(x, np.prod, axis, keepdims)


@function
def mean(rule: Evaluator, x: Numbers, axis: Integers | None = None, keepdims: bool = False) -> Content:
    """The mean, of all numbers or along axes."""
    return _reduced(x, np.mean, axis, keepdims)


@function
def all_(rule: Evaluator, x: Numbers) -> Content:
    """Whether a condition holds for every element."""
    return bool(_truths(x).all())


@function
def any_(rule: Evaluator, x: Numbers) -> Content:
    """Whether a condition holds for at least one element."""
    return bool(_truths(x).any())


@function
def finite(rule: Evaluator, x: Numbers) -> Content:
    """Whether no number is infinite or NaN."""
    return bool(np.isfinite(x.exact()).all())


@function
def close(rule: Evaluator, a: Numbers, b: Numbers, relative: Numbers | None = None) -> Content:
    """Whether all numbers of `a` equal those of `b`, up to `relative` (1e-5) of the larger magnitude."""
    _no_truth(a, b)
    share = _RELATIVE if relative is None else float(relative.exact())

    def near(first: Array, second: Array) -> Array:
        return np.asarray(np.abs(first - second) <= share * np.maximum(np.abs(first), np.abs(second)))

    found = elementwise(near, a, b, kind="b", limit=rule.limit)
    return bool(found.exact().all())


@function
def select(rule: Evaluator, condition: Numbers, a: Numbers, b: Numbers) -> Content:
    """Elements of `a` where the condition holds, and of `b` elsewhere."""
    _truths(condition)
    kind = "f" if "f" in (a.kind, b.kind) else a.kind
    return elementwise(np.where, condition, a, b, kind=kind, limit=rule.limit)


@function
def matmul(rule: Evaluator, a: Numbers, b: Numbers) -> Content:
    """The matrix product, like numpy's for more than two dimensions."""
    from vggc.pattern.numbers import promoted, within

    _no_truth(a, b)
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise Declined(f"matrices of shapes {list(a.shape)} and {list(b.shape)} cannot be multiplied")
    within(a.size * (b.shape[-1] if b.ndim > 1 else 1) // max(1, a.shape[-1]), rule.limit)
    try:
        with np.errstate(all="ignore"):
            return Numbers(np.asarray(np.matmul(a.exact(), b.exact())), promoted((a, b)))
    except ValueError:
        raise Declined(f"matrices of shapes {list(a.shape)} and {list(b.shape)} cannot be multiplied") from None


def _extreme(
    rule: Evaluator,
    values: tuple[Numbers, ...],
    between: Elementwise,
    within_one: Any,
    *,
    axis: Integers | None,
    keepdims: bool,
) -> Content:
    _no_truth(*values)
    if not values:
        raise Declined("no numbers are given")
    if len(values) == 1:
        if not values[0].size:
            raise Declined("an empty array has neither a maximum nor a minimum")
        return _reduced(values[0], within_one, axis, keepdims)
    if axis is not None:
        raise Declined("`axis` works with one array only")
    kind = "f" if any(each.kind == "f" for each in values) else "i"
    found = values[0]
    for each in values[1:]:
        found = elementwise(between, found, each, kind=kind, limit=rule.limit)
    return found


def _reduced(x: Numbers, reduce: Any, axis: Integers | None, keepdims: bool) -> Content:
    _no_truth(x)
    axes = None if axis is None else tuple(normal_axes(axis, x.ndim))
    with np.errstate(all="ignore"):
        return Numbers(np.asarray(reduce(x.exact(), axis=axes, keepdims=keepdims)), x.dtype)


def normal_axes(axes: Integers | tuple[int, ...], rank: int) -> list[int]:
    """Axes counted from the front. Raises Declined for one that is not there, or there twice."""
    found = []
    for each in axes:
        if not -rank <= each < rank:
            raise Declined(f"there is no axis {each}: there are {rank}")
        found.append(each % rank)
    if len(set(found)) != len(found):
        raise Declined("an axis appears twice in a list of axes")
    return found


def _truths(x: Numbers) -> Array:
    if x.kind != "b":
        raise Declined("numbers are not a condition")
    return x.exact()


def _no_truth(*values: Numbers) -> None:
    if any(each.kind == "b" for each in values):
        raise Declined("arithmetic does not work on truth values")
