"""Nodes that scale and shift each channel by constants: y = scale * x + shift.

An inference batch norm is one, and so are Mul, Div, Add and Sub by a constant shaped (C, 1, 1), (1, C, 1, 1) or ().
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64, is_float
from vggc.graph.domains import is_standard
from vggc.operators.elementwise import ARITHMETIC

_DEFAULT_EPSILON = float(np.float32(1e-5))


@dataclass(frozen=True)
class ChannelAxis:
    """Where a value has its channels: `count` of them along `axis`, counted from the end (-1 is the last).

    `rank` is the value's; None, and for `axis` too, where it is not known.
    """

    count: int
    rank: int | None
    axis: int | None

    @property
    def is_second_axis(self) -> bool:
        """Whether they are where a batch norm has them."""
        return self.rank is not None and self.axis == 1 - self.rank


@dataclass(frozen=True)
class Affine:
    """y = scale * x + shift, each (channels,) in float64."""

    scale: Float64
    shift: Float64

    @classmethod
    def identity(cls, channels: int) -> Self:
        return cls(np.ones(channels), np.zeros(channels))

    def then(self, after: Affine) -> Affine:
        """This one first, `after` applied to its result."""
        return Affine(self.scale * after.scale, self.shift * after.scale + after.shift)

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.scale).all() and np.isfinite(self.shift).all())

    @property
    def scales(self) -> bool:
        """Whether it does more than shift."""
        return bool((self.scale != 1).any())


def batch_norm(graph: Graph, node: gs.Node) -> Affine | str:
    """What an inference BatchNormalization does to each channel, or why that is not known at compile time."""
    if _is_training(graph, node):
        return "it is in training mode"
    if not node.attrs.get("spatial", 1):
        return "it normalises each position by itself (spatial=0)"
    parameters = [graph.array(value) for value in node.inputs[1:5]]
    if len(parameters) < 4 or any(each is None for each in parameters):
        return "its parameters are computed at run time"
    scale, shift, mean, variance = (np.asarray(each, np.float64).reshape(-1) for each in parameters)
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + node.attrs.get("epsilon", _DEFAULT_EPSILON))
        affine = Affine(factor, shift - mean * factor)
    return affine if affine.is_finite else "its parameters give no finite scale and shift"


def _is_training(graph: Graph, node: gs.Node) -> bool:
    if graph.opset < 7:
        return not node.attrs.get("is_test", 0)
    # Before opset 14 a node said that it trains by computing the running statistics.
    return bool(node.attrs.get("training_mode", 0)) or any(value.name for value in node.outputs[1:])


def elementwise(graph: Graph, node: gs.Node, value: gs.Tensor, channels: ChannelAxis) -> Affine | None:
    """What a Mul, Div, Add, Sub or Sum of `value` and a constant does to each of its channels.

    None where the node does anything else: where the constant varies along another axis, or makes the result larger
    than `value`.
    """
    # Before opset 7 these operators broadcast by an attribute instead of from the right.
    if node.op not in ARITHMETIC or len(node.inputs) != 2 or not is_standard(node) or graph.opset < 7:
        return None
    first = node.inputs[0] is value
    other = node.inputs[1] if first else node.inputs[0]
    # A constant as large as an image is no scale: it stays on disk.
    if other.shape is None or math.prod(each for each in other.shape if isinstance(each, int)) > channels.count:
        return None
    array = graph.array(other)
    if array is None or not is_float(array.dtype):
        return None
    constant = _per_channel(array, channels)
    if constant is None:
        return None
    one, zero = np.ones(channels.count), np.zeros(channels.count)
    with np.errstate(all="ignore"):
        if node.op == "Mul":
            affine = Affine(constant, zero)
        elif node.op in ("Add", "Sum"):
            affine = Affine(one, constant)
        elif node.op == "Sub":
            affine = Affine(one, -constant) if first else Affine(-one, constant)
        elif node.op == "Div" and first:
            affine = Affine(one / constant, zero)
        else:
            return None
    return affine if affine.is_finite else None


def _per_channel(array: Array, channels: ChannelAxis) -> Float64 | None:
    if channels.axis is None:
        return None
    # Of a value of unknown rank only so much is known: it has the axis.
    if array.ndim > (-channels.axis if channels.rank is None else channels.rank):
        return None
    shape = [1] * max(-channels.axis - array.ndim, 0) + list(array.shape)
    along = shape.pop(len(shape) + channels.axis)
    if any(each != 1 for each in shape) or along not in (1, channels.count):
        return None
    return np.broadcast_to(np.asarray(array, np.float64).reshape(-1), (channels.count,))
