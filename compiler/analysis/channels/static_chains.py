"""Static values that are better cut at their source than evaluated: quantized weights, weights shared through Identity.

A chain runs from initializers through nodes that keep the axes of what they read apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import onnx_graphsurgeon as gs

from vggc.analysis.shapes.static_values import Statics

T = TypeVar("T")


def operands(statics: Statics, node: gs.Node, axes: Mapping[int, T]) -> dict[int, dict[int, T]] | None:
    """For each input of a node the axes along which to cut it so that the node's output is cut along `axes`.

    None when the node is none of those that a chain runs through.
    """
    match node.op:
        case "Identity" | "Cast":
            return {0: dict(axes)}
        case "Transpose":
            rank = len(statics.shape(node.inputs[0]) or ())
            order = node.attrs.get("perm") or list(range(rank))[::-1]
            return {0: {int(order[axis]): each for axis, each in axes.items()}}
        case "Unsqueeze":
            return _unsqueeze(statics, node, axes)
        case "DequantizeLinear" | "QuantizeLinear" if not node.attrs.get("block_size", 0):
            found: dict[int, dict[int, T]] = {0: dict(axes)}
            at = int(node.attrs.get("axis", 1)) % max(1, len(statics.shape(node.inputs[0]) or ()))
            for index in range(1, len(node.inputs)):
                along = statics.shape(node.inputs[index]) not in ([], [1]) and at in axes
                found[index] = {0: axes[at]} if along else {}
            return found
        case _:
            return None


def _unsqueeze(statics: Statics, node: gs.Node, axes: Mapping[int, T]) -> dict[int, dict[int, T]] | None:
    listed = node.attrs.get("axes")
    if listed is None:
        numbers = statics.small(node.inputs[1])
        if numbers is None:
            return None
        listed = numbers.reshape(-1).tolist()
    rank = len(statics.shape(node.inputs[0]) or ()) + len(listed)
    new = {int(each) % rank for each in listed}
    kept = [axis for axis in range(rank) if axis not in new]
    if any(axis in new for axis in axes):
        return None
    return {0: {kept.index(axis): each for axis, each in axes.items()}, **({1: {}} if len(node.inputs) > 1 else {})}


def producer(statics: Statics, value: gs.Tensor) -> gs.Node | None:
    """The node that computes a static value; None for an initializer."""
    return None if isinstance(value, gs.Constant) else statics.graph.producer(value)


def blocked(statics: Statics, value: gs.Tensor) -> bool:
    """Whether a static value is dequantized in blocks, which cannot be cut without quantizing anew."""
    node = producer(statics, value)
    while node is not None and node.op in ("Identity", "Cast", "Transpose", "DequantizeLinear"):
        if node.op == "DequantizeLinear" and node.attrs.get("block_size", 0):
            return True
        node = producer(statics, node.inputs[0])
    return False
