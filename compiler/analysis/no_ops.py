"""Nodes that hand on one of their inputs unchanged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.shapes.integer_values import TO_THE_END, IntegerValues
from vggc.graph import Graph
from vggc.graph.domains import is_standard
from vggc.operators.roles import RECURRENT


def passed_on(graph: Graph, node: gs.Node, values: IntegerValues) -> gs.Tensor | None:
    """The input that the first output of a node always equals, or None, also where another output is read.

    `values` must have visited the nodes that compute the node's inputs.
    """
    if not is_standard(node):
        return None
    if node.op in _NEUTRAL:
        return _operand(graph, node, values) if graph.opset >= 7 else None
    rule = _RULES.get(node.op)
    if rule is None or not rule(graph, node, values):
        return None
    others = [value for value in node.outputs[1:] if value.name]
    if any(graph.readers(value) or graph.is_output(value) for value in others):
        return None
    return node.inputs[0]


def zero_states(graph: Graph, node: gs.Node) -> list[int]:
    """The inputs of a recurrent node that hold an initial state of zeros, which is what an omitted one means."""
    if node.op not in RECURRENT or not is_standard(node):
        return []
    return [index for index, value in enumerate(node.inputs[5:7], 5) if value.name and _is_zero(graph, value)]


def _is_zero(graph: Graph, value: gs.Tensor) -> bool:
    array = graph.array(value)
    source = graph.producer(value) if array is None else None
    if source is not None and source.op == "ConstantOfShape":
        filling = source.attrs.get("value")
        return filling is None or bool((np.asarray(filling.values) == 0).all())
    if source is not None and source.op == "Expand":
        array = graph.array(source.inputs[0])
    return array is not None and array.size <= _FEW and bool((array == 0).all())


def _always(graph: Graph, node: gs.Node, values: IntegerValues) -> bool:
    return True


def _dropout(graph: Graph, node: gs.Node, values: IntegerValues) -> bool:
    if graph.opset < 7:
        return bool(node.attrs.get("is_test", 0))
    if graph.opset < 12:
        return True
    return values.numbers(node, 2, False) is False or values.numbers(node, 1, 0.5) == 0


def _same_type(graph: Graph, node: gs.Node, values: IntegerValues) -> bool:
    source = graph.dtype(node.inputs[0])
    target = graph.dtype(node.inputs[1] if node.op == "CastLike" else node.outputs[0])
    return source is not None and source == target


def _single(graph: Graph, node: gs.Node, values: IntegerValues) -> bool:
    return len(node.inputs) == 1


def _unsplit(graph: Graph, node: gs.Node, values: IntegerValues) -> bool:
    return len(node.outputs) == 1


def _transpose(graph: Graph, node: gs.Node, values: IntegerValues) -> bool:
    permutation = node.attrs.get("perm")
    if permutation is None:
        rank = graph.rank(node.inputs[0])
        return rank is not None and rank < 2
    return list(permutation) == sorted(permutation)


def _flatten(graph: Graph, node: gs.Node, values: IntegerValues) -> bool:
    return graph.rank(node.inputs[0]) == 2 and node.attrs.get("axis", 1) in (1, -1)


def _reshape(graph: Graph, node: gs.Node, values: IntegerValues) -> bool:
    shape = values.shape(node.inputs[0])
    if graph.opset < 5:
        return False
    target = values.entries(node.inputs[1])
    if shape is None or target is None or len(shape) != target.size:
        return False
    copies = not node.attrs.get("allowzero", 0)
    kept = [
        (want is not None and want == have) or (copies and want == 0) for want, have in zip(target, shape, strict=True)
    ]
    # One dimension may be left to -1: the number of elements fixes it, unless another one is zero.
    left = [want for want, same in zip(target, kept, strict=True) if not same]
    return not left or (left == [-1] and all(have != 0 for have in shape))


def _expand(graph: Graph, node: gs.Node, values: IntegerValues) -> bool:
    shape, target = values.shape(node.inputs[0]), values.entries(node.inputs[1])
    if shape is None or target is None or target.size > len(shape):
        return False
    behind = shape[len(shape) - target.size :]
    return all(want is not None and want in (1, have) for want, have in zip(target, behind, strict=True))


def _tile(graph: Graph, node: gs.Node, values: IntegerValues) -> bool:
    repeats = values.numbers(node, 1) if graph.opset >= 6 else None
    return repeats is not None and all(each == 1 for each in repeats)


def _squeeze(graph: Graph, node: gs.Node, values: IntegerValues) -> bool:
    return (axes := _axes(graph, node, values)) is not None and not axes


def _axes(graph: Graph, node: gs.Node, values: IntegerValues) -> list[int] | None:
    """The axes of a Squeeze or Unsqueeze; None when they are not known, or when they are left out."""
    axes: list[int] | None = node.attrs.get("axes") if graph.opset < 13 else values.numbers(node, 1)
    return axes


def _pad(graph: Graph, node: gs.Node, values: IntegerValues) -> bool:
    if graph.opset < 2:
        return False
    pads = node.attrs.get("pads") if graph.opset < 11 else values.numbers(node, 1)
    return pads is not None and all(each == 0 for each in pads)


def _slice(graph: Graph, node: gs.Node, values: IntegerValues) -> bool:
    shape, slices = values.shape(node.inputs[0]), values.slices(node)
    if slices is None:
        return False
    for axis, start, end, step in slices:
        size = shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None
        if (start, step) != (0, 1) or not (end >= TO_THE_END or (isinstance(size, int) and end >= size)):
            return False
    return True


def _operand(graph: Graph, node: gs.Node, values: IntegerValues) -> gs.Tensor | None:
    """The operand that arithmetic with a constant full of ones (in a product) or zeros (in a sum) hands on."""
    neutral, commutes = _NEUTRAL[node.op]
    for value, other in (node.inputs, node.inputs[::-1])[: 1 + commutes]:
        constant, shape = graph.array(other), values.shape(value)
        if constant is None or shape is None or constant.size > _FEW or constant.ndim > len(shape):
            continue
        behind = shape[len(shape) - constant.ndim :]
        fits = all(size in (1, have) for size, have in zip(constant.shape, behind, strict=True))
        if fits and constant.dtype.kind != "O" and (constant == neutral).all():
            return value
    return None


_NEUTRAL = {"Add": (0, True), "Div": (1, False), "Mul": (1, True), "Sub": (0, False)}
_FEW = 1 << 16
"""Constants with more numbers are not looked at."""

_RULES: dict[str, Callable[[Graph, gs.Node, IntegerValues], bool]] = {
    "Identity": _always,
    "Dropout": _dropout,
    "Cast": _same_type,
    "CastLike": _same_type,
    "Concat": _single,
    "Sum": _single,
    "Mean": _single,
    "Max": _single,
    "Min": _single,
    "Split": _unsplit,
    "Transpose": _transpose,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Expand": _expand,
    "Tile": _tile,
    "Squeeze": _squeeze,
    "Pad": _pad,
    "Slice": _slice,
}
