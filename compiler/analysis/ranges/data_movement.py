"""Operators that pool elements, or only move them: pools, reductions, reshapes, concatenations, slices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.folding.border import is_padded
from vggc.analysis.ranges.range import Range
from vggc.analysis.ranges.ranges import Ranges, rule
from vggc.graph.arrays import Size
from vggc.operators.pooling import POOLS
from vggc.operators.roles import optional_input

_COUNTED = 1 << 20


def _plain(found: Range, value: float) -> Range:
    """A range that has one more number in it."""
    return Range(np.minimum(found.low, value), np.maximum(found.high, value))


def _positions_apart(ranges: Ranges, value: gs.Tensor) -> Range | None:
    """The range of each channel of an image, all positions together."""
    found = ranges.shaped(value)
    return None if found is None or found.low.ndim < 2 else found.hull(tuple(range(2, found.low.ndim)))


@rule(*POOLS)
def _pool(ranges: Ranges, node: gs.Node) -> Range | None:
    found = _positions_apart(ranges, node.inputs[0])
    beyond = is_padded(node) or node.attrs.get("ceil_mode", 0)
    counted = node.op == "AveragePool" and beyond and node.attrs.get("count_include_pad", 0)
    return _plain(found, 0.0) if counted and found is not None else found


@rule("ReduceMean", "ReduceMax", "ReduceMin")
def _reduce(ranges: Ranges, node: gs.Node) -> Range | None:
    found = ranges.shaped(node.inputs[0])
    listed = node.attrs.get("axes")
    if (operand := optional_input(node, 1)) is not None:
        array = ranges.graph.array(operand)
        listed = None if array is None else array.tolist()
        if array is None:
            return None
    if found is None:
        return None
    rank = found.low.ndim
    if not listed and node.attrs.get("noop_with_empty_axes", 0):
        return found
    axes = tuple(int(each) % rank for each in listed) if listed else tuple(range(rank))
    found = found.hull(axes)
    if node.attrs.get("keepdims", 1):
        return found
    return Range(np.squeeze(found.low, axes), np.squeeze(found.high, axes))


@rule("Flatten", "Reshape", "Squeeze", "Unsqueeze")
def _reshape(ranges: Ranges, node: gs.Node) -> Range | None:
    """Elements keep their order; so do those of one sample where the first axis stays the batch."""
    found = ranges.shaped(node.inputs[0])
    if found is None or found.low.size == 1:
        return None if found is None else found.hull()
    given, wanted = ranges.graph.shape(node.inputs[0]), ranges.graph.shape(node.outputs[0])
    own, other = _sample(given), _sample(wanted)
    if own is None or other is None or math.prod(own) != math.prod(other) or math.prod(own) > _COUNTED:
        return found.hull()
    # Where samples have equally many elements, there are equally many of them, whatever that number is called.
    if given and wanted and given[0] != wanted[0] and (isinstance(given[0], int) or isinstance(wanted[0], int)):
        return found.hull()
    found = found.hull((0,))
    return Range(*(np.broadcast_to(each, (1, *own)).reshape(1, *other) for each in found))


def _sample(shape: Sequence[Size] | None) -> list[int] | None:
    """The shape of one sample; None where it is not known."""
    sizes = [each for each in shape[1:] if isinstance(each, int)] if shape else []
    return sizes if shape and len(sizes) == len(shape) - 1 else None


@rule("Transpose")
def _transpose(ranges: Ranges, node: gs.Node) -> Range | None:
    found = ranges.shaped(node.inputs[0])
    if found is None:
        return None
    perm = node.attrs.get("perm") or range(found.low.ndim)[::-1]
    return Range(found.low.transpose(*perm), found.high.transpose(*perm))


@rule("Concat")
def _concat(ranges: Ranges, node: gs.Node) -> Range | None:
    parts = [ranges.shaped(value) for value in node.inputs]
    known = [each for each in parts if each is not None]
    if len(known) < len(parts):
        return None
    rank = known[0].low.ndim
    axis = int(node.attrs["axis"]) % rank
    others = tuple(at for at in range(rank) if at != axis)
    lines = []
    for each, value in zip(known, node.inputs, strict=True):
        size = (ranges.graph.shape(value) or [None] * rank)[axis]
        if not isinstance(size, int):
            low, high = (np.stack(ends) for ends in zip(*(part.hull() for part in known), strict=True))
            return Range(low, high).hull()
        line = each.hull(others)
        shape = [size if at == axis else 1 for at in range(rank)]
        lines.append([np.broadcast_to(end, shape) for end in line])
    return Range(*(np.concatenate(ends, axis=axis) for ends in zip(*lines, strict=True)))


@rule("Split")
def _split(ranges: Ranges, node: gs.Node) -> list[Range] | None:
    found = ranges.shaped(node.inputs[0])
    if found is None:
        return None
    axis = int(node.attrs.get("axis", 0)) % found.low.ndim
    results, at = [], 0
    for value in node.outputs:
        size = (ranges.graph.shape(value) or [None] * found.low.ndim)[axis]
        if not isinstance(size, int):
            return [found.hull((axis,))] * len(node.outputs)
        results.append(_taken(found, axis, slice(at, at + size)))
        at += size
    return results


def _taken(found: Range, axis: int, positions: slice | list[int]) -> Range:
    """Some positions along an axis."""
    if found.low.shape[axis] == 1:
        return found
    index = (*[slice(None)] * axis, positions)
    return Range(found.low[index], found.high[index])


@rule("Slice")
def _slice(ranges: Ranges, node: gs.Node) -> Range | None:
    found = ranges.shaped(node.inputs[0])
    if found is None:
        return None
    if len(node.inputs) < 3:
        return found.hull()
    arrays = [ranges.graph.array(value) if value.name else None for value in node.inputs[1:]]
    starts, ends = arrays[0], arrays[1]
    if (
        starts is None
        or ends is None
        or any(a is None and v.name for a, v in zip(arrays, node.inputs[1:], strict=True))
    ):
        return found.hull()
    axes = arrays[2] if len(arrays) > 2 and arrays[2] is not None else np.arange(len(starts))
    steps = arrays[3] if len(arrays) > 3 and arrays[3] is not None else np.ones(len(starts), np.int64)
    for axis, start, end, step in zip(*(each.tolist() for each in (axes, starts, ends, steps)), strict=True):
        at = axis % found.low.ndim
        size = found.low.shape[at]
        stop = None if step < 0 and end < -size else end
        found = _taken(found, at, slice(start, stop, step)) if size > 1 else found
    return found


@rule("Gather")
def _gather(ranges: Ranges, node: gs.Node) -> Range | None:
    found, indices = ranges.shaped(node.inputs[0]), ranges.graph.array(node.inputs[1])
    if found is None:
        return None
    axis = int(node.attrs.get("axis", 0)) % found.low.ndim
    if indices is None or indices.ndim != 1:
        return found.hull()
    return _taken(found, axis, [int(each) for each in indices])


@rule("Resize", "Upsample")
def _resize(ranges: Ranges, node: gs.Node) -> Range | None:
    """Weighted means of neighbours, but for cubic interpolation, which overshoots, and what is set outside."""
    mode = node.attrs.get("mode", "nearest")
    outside = node.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    if mode not in ("nearest", "linear", b"nearest", b"linear") or outside:
        return None
    shapes = ranges.graph.shape(node.inputs[0]), ranges.graph.shape(node.outputs[0])
    found = _positions_apart(ranges, node.inputs[0])
    alike = all(shape is not None and len(shape) > 1 and isinstance(shape[1], int) for shape in shapes)
    if found is None or not alike or shapes[0][1] != shapes[1][1]:  # type: ignore[index]
        return ranges.of(node.inputs[0]).hull()
    return found


@rule("Pad")
def _pad(ranges: Ranges, node: gs.Node) -> Range | None:
    mode, found = node.attrs.get("mode", "constant"), _positions_apart(ranges, node.inputs[0])
    pads = ranges.graph.array(node.inputs[1]) if len(node.inputs) > 1 else None
    if found is None or pads is None or optional_input(node, 3) is not None:
        return None
    if mode == "constant":
        value = 0.0
        if (filling := optional_input(node, 2)) is not None:
            array = ranges.graph.array(filling)
            if array is None:
                return None
            value = float(np.ravel(array)[0])
        found = _plain(found, value)
    half = len(pads) // 2
    return found if half > 1 and not pads[1] and not pads[half + 1] else found.hull()


@rule("Expand")
def _expand(ranges: Ranges, node: gs.Node) -> Range | None:
    return ranges.of(node.inputs[0])


@rule("Tile", "DepthToSpace", "SpaceToDepth")
def _rearranged(ranges: Ranges, node: gs.Node) -> Range | None:
    return ranges.of(node.inputs[0]).hull()


@rule("Where")
def _where(ranges: Ranges, node: gs.Node) -> Range | None:
    one, other = ranges.of(node.inputs[1]), ranges.of(node.inputs[2])
    return Range(np.minimum(one.low, other.low), np.maximum(one.high, other.high))
