"""The values of a rule's terms while it is applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.diagnostics import Declined
from vggc.graph import Graph
from vggc.pattern.numbers import Numbers


@dataclass(frozen=True)
class Value:
    """A value of the graph; `name` is how the rule calls it."""

    tensor: gs.Tensor
    name: str


@dataclass(frozen=True)
class Matched:
    """A node of the match; `output` is the one the pattern stands for."""

    node: gs.Node
    name: str
    output: int

    @property
    def value(self) -> Value:
        return Value(self.node.outputs[self.output], self.name)


@dataclass(frozen=True)
class Values:
    """What `rest...` captured."""

    tensors: tuple[gs.Tensor, ...]
    name: str


@dataclass(frozen=True)
class Absent:
    """An optional input or attribute that is not there."""

    name: str


@dataclass(frozen=True)
class UnknownDimension:
    """A dimension that is not a number at compile time: `symbol` is its name in the model, "" where it has none."""

    symbol: str
    reason: str


Scalar = bool | int | float | str
Item = Scalar | UnknownDimension
Content = Scalar | UnknownDimension | Numbers | Value | Matched | Values | Absent | tuple[Any, ...]
"""What a term can stand for. A tuple is a list: of `shape(x)`, of an attribute, or written in brackets."""

_LARGEST = 1 << 63


def dimensions(graph: Graph, value: Value) -> tuple[Item, ...]:
    """The shape of a value. Raises Declined when not even its rank is known."""
    shape = graph.shape(value.tensor)
    if shape is None:
        raise Declined(f"the shape of `{value.name}` is not known")
    return tuple(_dimension(each, axis, value.name) for axis, each in enumerate(shape))


def _dimension(size: Any, axis: int, name: str) -> Item:
    if isinstance(size, int | np.integer) and size >= 0:
        return int(size)
    return UnknownDimension(size if isinstance(size, str) else "", f"dimension {axis} of `{name}` is not known")


def known(value: Content) -> Content:
    """The value itself. Raises Declined for what is absent or not known."""
    if isinstance(value, Absent):
        raise Declined(f"`{value.name}` is absent")
    if isinstance(value, UnknownDimension):
        raise Declined(value.reason)
    return value


def number(value: Content, what: str = "the number") -> int | float:
    """One number of a rule's arithmetic. Raises Declined for anything else."""
    value = known(value)
    if isinstance(value, Numbers) and value.size == 1 and value.kind != "b":
        value = value.exact().reshape(()).item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Declined(f"{what} is {describe(value)}, not a number")
    return value


def whole(value: Content, what: str = "the number") -> int:
    """One whole number. Raises Declined for a fraction, and for one that has no place in 64 bits."""
    found = number(value, what)
    if isinstance(found, float) and not found.is_integer():
        raise Declined(f"{what} is {found:g}, not a whole number")
    if not -_LARGEST <= found < _LARGEST:
        raise Declined(f"{what} is too large")
    return int(found)


def whole_numbers(value: Content, what: str = "the list") -> tuple[int, ...]:
    """A list of whole numbers; a single one counts as a list of one."""
    value = known(value)
    if isinstance(value, Numbers) and value.ndim == 1 and value.kind == "i":
        return tuple(value.exact().tolist())
    if isinstance(value, tuple):
        return tuple(whole(each, f"an item of {what}") for each in value)
    return (whole(value, what),)


def scalars(items: Sequence[Content]) -> tuple[Item, ...]:
    """The items of a list: numbers, texts, truth values, and dimensions that are not known."""
    found: list[Item] = []
    for each in items:
        single = isinstance(each, Numbers) and each.size == 1
        item = each.exact().reshape(()).item() if isinstance(each, Numbers) and single else each
        if isinstance(item, Absent):
            known(item)
        if not isinstance(item, bool | int | float | str | UnknownDimension):
            raise Declined(f"a list cannot hold {describe(item)}")
        found.append(item)
    return tuple(found)


def equal(left: Item, right: Item) -> bool:
    """Whether two items are equal. Raises Declined when one is not known."""
    if isinstance(left, UnknownDimension) or isinstance(right, UnknownDimension):
        if (
            isinstance(left, UnknownDimension)
            and isinstance(right, UnknownDimension)
            and left.symbol
            and left.symbol == right.symbol
        ):
            return True
        raise Declined(left.reason if isinstance(left, UnknownDimension) else right.reason)  # type: ignore[union-attr]
    return left == right


def equal_lists(left: tuple[Item, ...], right: tuple[Item, ...]) -> bool:
    """Whether two lists are equal: two known items that differ decide, whatever the others are."""
    if len(left) != len(right):
        return False
    reason: Declined | None = None
    for one, other in zip(left, right, strict=True):
        try:
            if not equal(one, other):
                return False
        except Declined as declined:
            reason = reason or declined
    if reason:
        raise reason
    return True


def describe(value: Content) -> str:
    """What a value is, in reasons."""
    match value:
        case bool():
            return "a truth value"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case tuple():
            return "a list"
        case Numbers():
            return f"an array of shape {list(value.shape)}"
        case Value() | Matched():
            return f"the value `{value.name}`"
        case Values():
            return f"the values `{value.name}`"
        case Absent():
            return f"`{value.name}`, which is absent"
        case UnknownDimension():
            return "a dimension that is not known"
