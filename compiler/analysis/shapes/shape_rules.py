"""Shapes of results that ONNX's inference loses where a dimension is known by its name alone.

It multiplies and divides numbers only, so the -1 of a Reshape of [batch, 4, 8] to [-1, 8] gets a name that it invents;
and where an invented name meets another one in an Add, the result gets a third.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_graphsurgeon as gs

from vggc.analysis.shapes.integer_values import TO_THE_END, IntegerValues
from vggc.analysis.shapes.multiples import is_known, product, quotient, total
from vggc.graph.arrays import Dimensions
from vggc.operators.elementwise import BROADCASTING

Rule = Callable[[IntegerValues, gs.Node], Dimensions | None]
"""The shape of a node's first output, as far as it follows from what the node reads; None where nothing does."""


def _reshape(values: IntegerValues, node: gs.Node) -> Dimensions | None:
    source, inferred = values.dimensions(node.inputs[0]), values.dimensions(node.outputs[0])
    target = node.attrs.get("shape") or values.listed(node, 1) or inferred
    if source is None or target is None or (inferred is not None and len(inferred) != len(target)):
        return None
    shape: Dimensions = []
    for at, entry in enumerate(target):
        if inferred is not None and is_known(inferred[at]):
            shape.append(inferred[at])
        elif entry == 0 and not node.attrs.get("allowzero", 0):
            shape.append(source[at] if at < len(source) else None)
        else:
            shape.append(None if entry == -1 or target is inferred else entry)
    if shape.count(None) == 1:
        rest = product(each for each in shape if each is not None)
        shape[shape.index(None)] = quotient(product(source), rest)
    return shape


def _flatten(values: IntegerValues, node: gs.Node) -> Dimensions | None:
    source, axis = values.dimensions(node.inputs[0]), int(node.attrs.get("axis", 1))
    return None if source is None else [product(source[:axis]), product(source[axis:])]


def _concat(values: IntegerValues, node: gs.Node) -> Dimensions | None:
    shapes = _all_known(values, node)
    if shapes is None or len({len(shape) for shape in shapes}) != 1:
        return None
    result: Dimensions = [next(filter(is_known, sizes), None) for sizes in zip(*shapes, strict=True)]
    axis = int(node.attrs["axis"])
    result[axis] = total(shape[axis] for shape in shapes)
    return result


def _tile(values: IntegerValues, node: gs.Node) -> Dimensions | None:
    source, repeats = values.dimensions(node.inputs[0]), values.listed(node, 1)
    if source is None or repeats is None or len(source) != len(repeats):
        return None
    return [product(each) for each in zip(source, repeats, strict=True)]


def _resize(values: IntegerValues, node: gs.Node) -> Dimensions | None:
    """Axes that are scaled by whole numbers, or not at all, are multiples of what they were."""
    source = values.dimensions(node.inputs[0])
    if source is None:
        return None
    scales = node.attrs.get("scales") or values.numbers(node, 1 if len(node.inputs) == 2 else 2)
    sizes = values.listed(node, 3) if node.attrs.get("keep_aspect_ratio_policy", "stretch") == "stretch" else None
    result = list(source)
    axes = list(node.attrs.get("axes") or range(len(source)))
    if len(axes) != len(scales or sizes or axes) or not all(-len(source) <= axis < len(source) for axis in axes):
        return None
    for at, axis in enumerate(axes):
        if scales:
            result[axis] = product([source[axis], int(scales[at])]) if float(scales[at]).is_integer() else None
        else:
            result[axis] = sizes[at] if sizes else None
    return result


def _slice(values: IntegerValues, node: gs.Node) -> Dimensions | None:
    """Axes that are taken whole keep their names."""
    source, slices = values.dimensions(node.inputs[0]), values.slices(node)
    # A declared shape of another rank is an error of the model, which is found elsewhere.
    if source is None or slices is None or not all(-len(source) <= each[0] < len(source) for each in slices):
        return None
    result = list(source)
    for axis, start, end, step in slices:
        result[axis] = source[axis] if (start, step) == (0, 1) and end >= TO_THE_END else None
    return result


def _elementwise(values: IntegerValues, node: gs.Node) -> Dimensions | None:
    shapes = _all_known(values, node)
    return None if shapes is None else _broadcast(shapes)


def _matmul(values: IntegerValues, node: gs.Node) -> Dimensions | None:
    shapes, inferred = _all_known(values, node), values.dimensions(node.outputs[0])
    if shapes is None or inferred is None or min(map(len, shapes)) < 2:
        return None
    return [*_broadcast([shape[:-2] for shape in shapes]), *inferred[-2:]]


def _expand(values: IntegerValues, node: gs.Node) -> Dimensions | None:
    source, target = values.dimensions(node.inputs[0]), values.listed(node, 1)
    return None if source is None or target is None else _broadcast([source, target])


def _all_known(values: IntegerValues, node: gs.Node) -> list[Dimensions] | None:
    """The shapes of all inputs, when the rank of each is known."""
    shapes = [values.dimensions(value) for value in node.inputs]
    known = [shape for shape in shapes if shape is not None]
    return known if len(known) == len(shapes) else None


def _broadcast(shapes: Sequence[Dimensions]) -> Dimensions:
    result: Dimensions = []
    for back in range(max(map(len, shapes)), 0, -1):
        lengths = {shape[-back] for shape in shapes if len(shape) >= back} - {1}
        numbers = [each for each in lengths if isinstance(each, int)]
        # A number is what everything else has here, too, or 1.
        result.append(numbers[0] if numbers else (lengths.pop() if len(lengths) == 1 else None if lengths else 1))
    return result


RULES: dict[str, Rule] = {
    **dict.fromkeys(BROADCASTING, _elementwise),
    "Concat": _concat,
    "Expand": _expand,
    "Flatten": _flatten,
    "MatMul": _matmul,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Tile": _tile,
    "Upsample": _resize,
}
