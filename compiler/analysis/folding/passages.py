"""Operators that a scale and a shift of channels pass: f(s * x + t) = s * f(x) + t.

Averages do so for every s and t (their weights sum to one), maxima for s >= 0, Relu for s > 0 without a shift, and what
only moves numbers does when the channels stay apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import onnx_graphsurgeon as gs

from vggc.analysis.affine import ChannelAxis
from vggc.graph import Graph
from vggc.operators.activations import SCALABLE
from vggc.operators.data_movement import FLATTENERS
from vggc.operators.pooling import MAXIMA, POOLS


@dataclass(frozen=True)
class Passage:
    """Where the channels are on the other side, and what gets through.

    With `repeat`, a channel of the input is a block of so many channels of the output, as in Flatten.
    """

    channels: ChannelAxis
    positive: bool = False
    shiftless: bool = False
    repeat: int = 1


PASSED = SCALABLE | POOLS | FLATTENERS | {"Identity", "ReduceMean", "Transpose"}
"""Operators of one input that something passes."""


def passage(graph: Graph, node: gs.Node, channels: ChannelAxis, *, backward: bool = False) -> Passage | None:
    """How `node` hands on a scale and a shift, or None when it does not.

    `channels` are those of its input; of its output with `backward`, and then the passage tells those of its input.
    """
    if node.op == "Identity":
        return Passage(channels)
    if node.op in SCALABLE:
        return Passage(channels, shiftless=True) if node.attrs.get("alpha", 0.0) >= 0 else None
    if node.op == "Transpose":
        return _transpose(node, channels, backward)
    if node.op in FLATTENERS:
        return _flatten(graph, node, channels, backward)
    if not channels.is_second_axis or not _keeps_values(graph, node, channels):
        return None
    return Passage(channels, positive=node.op in MAXIMA)


def _transpose(node: gs.Node, channels: ChannelAxis, backward: bool) -> Passage | None:
    order = node.attrs.get("perm") or (range(channels.rank)[::-1] if channels.rank is not None else None)
    if order is None or channels.axis is None:
        return None
    axis = channels.axis + len(order)
    return Passage(
        ChannelAxis(channels.count, len(order), (order[axis] if backward else order.index(axis)) - len(order))
    )


def _flatten(graph: Graph, node: gs.Node, channels: ChannelAxis, backward: bool) -> Passage | None:
    """(N, C, H, W) to (N, C * H * W)."""
    before, after = graph.shape(node.inputs[0]), graph.shape(node.outputs[0])
    if before is None or after is None or len(before) < 2 or len(after) != 2:
        return None
    sizes = [each for each in before[1:] if isinstance(each, int)]
    if len(sizes) < len(before) - 1 or after[1] != math.prod(sizes) or not after[1]:
        return None
    flat, whole = ChannelAxis(after[1], 2, -1), ChannelAxis(sizes[0], len(before), 1 - len(before))
    if (flat if backward else whole) != replace(channels, rank=2 if backward else len(before)):
        return None
    return Passage(whole if backward else flat, repeat=math.prod(sizes[1:]))


def _keeps_values(graph: Graph, node: gs.Node, channels: ChannelAxis) -> bool:
    """Whether what a pool or a mean makes of equal numbers is that number."""
    attrs = node.attrs
    if node.op == "AveragePool":
        padded = attrs.get("ceil_mode", 0) or any(attrs.get("pads", ())) or attrs.get("auto_pad", "NOTSET") != "NOTSET"
        return not (padded and attrs.get("count_include_pad", 0))
    if node.op == "MaxPool":
        # A window that overhangs may hold nothing but padding.
        overhangs = attrs.get("ceil_mode", 0) and any(attrs.get("pads", ()))
        return not overhangs and not any(value.name for value in node.outputs[1:])
    if node.op == "ReduceMean":
        return _averages_positions(graph, node, channels)
    return node.op in POOLS


def _averages_positions(graph: Graph, node: gs.Node, channels: ChannelAxis) -> bool:
    axes = node.attrs.get("axes")
    if axes is None and len(node.inputs) > 1:
        array = graph.array(node.inputs[1])
        axes = None if array is None else array.reshape(-1).tolist()
    if not axes or not node.attrs.get("keepdims", 1) or channels.rank is None:
        return False
    return all(each % channels.rank >= 2 for each in axes)
