"""Group norms as exporters write them: Reshape to (N, blocks, anything), InstanceNormalization, Reshape back.

In between, the channels of a block are positions of one channel. They stay separate channels all the same: the first
Reshape merges what the second one separates again, and nothing else reads what is in between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Axis
from vggc.analysis.channels.channel_cut import Slicing
from vggc.analysis.channels.records import Operand
from vggc.analysis.channels.sweep import Site, Sweep
from vggc.graph.domains import is_standard


@dataclass(frozen=True, eq=False)
class Grouping:
    """A value (N, blocks, anything) in which channels are merged: those along axis 1 of the value before the Reshape.

    `layout` are the axes of that value, `last` is the Reshape that restores it.
    """

    along: Axis
    blocks: int
    layout: list[Axis | None]
    last: gs.Node


def begin(site: Site) -> bool:
    """Whether a Reshape is the first of a group norm; then this is noted."""
    last = _last(site)
    if last is None:
        return False
    shape, target, axes = site.shape(0), site.out_shape(), site.axes(0)
    if shape is None or target is None or axes is None or len(target) != 3 or len(shape) < 3:
        return False
    channels, blocks, along = shape[1], target[1], axes[1]
    if along is None or not isinstance(channels, int) or not isinstance(blocks, int):
        return False
    restored = site.sweep.statics.shape(last.outputs[0])
    if shape[0] is None or target[0] != shape[0] or restored is None or restored[:2] != shape[:2]:
        return False
    if len(restored) != len(shape) or blocks >= channels or channels % blocks:
        return False
    layout = site.freeze_except(axes, (0, 1), "lies along an axis that {} merges with channels")
    site.sweep.groupings[id(site.node.outputs[0])] = Grouping(along, blocks, layout, last)

    def wanted(slicing: Slicing) -> dict[int, int]:
        length = [each for each in target[2:] if isinstance(each, int)]
        shrinks = slicing.shrinks(along) and length
        return {2: math.prod(length) * slicing.length(along) // along.size} if shrinks else {}

    site.sweep.operands.append(Operand(site.node, 1, wanted, inferred=True))
    return True


def end(site: Site) -> bool:
    """Whether a Reshape is the last of a group norm; then what it restores is said."""
    norm = site.sweep.graph.producer(site.node.inputs[0])
    grouping = (
        grouping_of(site.sweep, norm.inputs[0]) if norm is not None and norm.op == "InstanceNormalization" else None
    )
    if grouping is None or grouping.last is not site.node:
        return False
    site.set(grouping.layout)
    site.resize(1, dict(enumerate(grouping.layout)), inferred=True)
    return True


def grouping_of(swept: Sweep, value: gs.Tensor) -> Grouping | None:
    """How channels are merged in a value between the Reshapes of a group norm."""
    return swept.groupings.get(id(value))


def _last(site: Site) -> gs.Node | None:
    """The Reshape behind the InstanceNormalization behind a Reshape, where nothing else reads what is in between."""
    graph = site.sweep.graph
    norm = graph.only_reader(site.node.outputs[0])
    if norm is None or norm.op != "InstanceNormalization" or not is_standard(norm):
        return None
    last = graph.only_reader(norm.outputs[0])
    return last if last is not None and last.op == "Reshape" and is_standard(last) else None
