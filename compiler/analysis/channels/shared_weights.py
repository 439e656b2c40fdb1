"""Weights that several nodes read: all nodes keep the same part of them, so that the model still needs one copy.

A detection head that reads four pyramid levels with the same weights makes one group of the channels of all levels.
If each level chose its own channels, each would need its own part of the weights, and the model would grow.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Axis
from vggc.analysis.channels.records import Weighing
from vggc.analysis.channels.static_chains import operands, producer
from vggc.analysis.channels.sweep import Sweep


@dataclass(frozen=True, eq=False)
class _Use:
    """A node that reads a weight, and the channels along each axis of the weight; None where none can be removed."""

    node: gs.Node
    channels: dict[int, Axis | None]


@dataclass
class _Shared:
    """A weight as the model holds it, and the nodes that read it with channels along the same axes."""

    value: gs.Tensor
    uses: list[_Use] = field(default_factory=list)


def unite_shared_weights(swept: Sweep) -> None:
    """Unify the channels that nodes with the same weights have along the axes of these weights.

    Channels along an axis that one of the nodes needs completely are frozen. Depthwise weights are left out: they are
    small, and often a fixed filter (a blur) that unrelated nodes share.
    """
    found: dict[tuple[int, int], _Shared] = {}
    for weighing in swept.weighings:
        if weighing.weight is None or weighing.depthwise:
            continue
        value, channels = _source(swept, weighing)
        found.setdefault((id(value), weighing.blocks), _Shared(value)).uses.append(_Use(weighing.node, channels))
    for shared in found.values():
        if len(shared.uses) > 1:
            _unite(swept, shared)


def _source(swept: Sweep, weighing: Weighing[Axis]) -> tuple[gs.Tensor, dict[int, Axis | None]]:
    """The value that the model holds for a node's weights, and what lies along its axes."""
    assert weighing.weight is not None
    value = weighing.node.inputs[weighing.weight]
    ends = ((weighing.weight_in, weighing.inputs), (weighing.weight_out, weighing.outputs))
    channels = {axis: along for axis, along in ends if axis is not None}
    while (node := producer(swept.statics, value)) is not None:
        before = operands(swept.statics, node, channels)
        if before is None:
            break
        value, channels = node.inputs[0], before[0]
    return value, channels


def _unite(swept: Sweep, shared: _Shared) -> None:
    for axis in sorted({axis for use in shared.uses for axis in use.channels}):
        along = [(use.node, use.channels[axis]) for use in shared.uses if axis in use.channels]
        first = next((each for _, each in along if each is not None), None)
        if first is None:
            continue
        for node, each in along:
            if each is None:
                label = swept.graph.label(node)
                swept.atoms.freeze(first, f"shares its weights with {label}, which needs all of them")
            elif each.size == first.size:
                swept.atoms.unite(first, each)
