"""Removing channels: constants get smaller, attributes and lists of sizes follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Axis, Joint, Part
from vggc.analysis.channels.group import Keep
from vggc.analysis.channels.records import Cut
from vggc.analysis.channels.static_chains import operands, producer
from vggc.graph.arrays import Bools, Int64
from vggc.operators.data_movement import SHAPE_READERS

if TYPE_CHECKING:
    from vggc.analysis.channels.groups import Groups


@dataclass(frozen=True, eq=False)
class _Rows:
    """What stays along an axis that runs inside blocks: one row of positions for each position along axis 0."""

    axis: int
    positions: Int64


class Slicing:
    """What stays along each axis, and smaller versions of static values."""

    def __init__(self, groups: Groups, keep: Keep) -> None:
        self.groups = groups
        self.graph = groups.graph
        self.statics = groups.swept.statics
        self.keep = {
            index: np.asarray(atoms, np.int64) for index, atoms in keep.items() if len(atoms) < groups[index].size
        }
        self._positions: dict[int, tuple[Axis, Int64]] = {}
        self._made: dict[Any, gs.Tensor] = {}

    def shrinks(self, along: Axis | Part | None) -> bool:
        """Whether an axis gets shorter."""
        if isinstance(along, Part):
            return self.length(along) < int(along.joint.atoms.shape[along.index])
        return along is not None and len(self.positions(along)) < along.size

    def positions(self, axis: Axis) -> Int64:
        """The positions along an axis that stay, rising: (positions left,)."""
        found = self._positions.get(id(axis))
        if found is None:
            channels = self.groups.of(axis)
            touched = any(group in self.keep for group in channels.groups)
            found = axis, channels.kept(self.keep) if touched else np.arange(axis.size)
            self._positions[id(axis)] = found
        return found[1]

    def length(self, along: Axis | Part) -> int:
        """How many positions stay along an axis; of a split axis that loses more than whole rows, the old number."""
        if isinstance(along, Axis):
            return len(self.positions(along))
        sizes = self.parts(along.joint)
        return sizes[along.index] if sizes else int(along.joint.atoms.shape[along.index])

    def parts(self, joint: Joint) -> tuple[int, ...] | None:
        """What stays of each part of a split axis, when that is all along the others; else None."""
        flat = np.zeros(joint.atoms.size, bool)
        flat[self.positions(Axis(joint.atoms.reshape(-1)))] = True
        stays: Bools = flat.reshape(joint.atoms.shape)
        for index, size in enumerate(joint.atoms.shape):
            line = stays.any(axis=tuple(each for each in range(stays.ndim) if each != index))
            whole = np.broadcast_to(
                line.reshape([size if each == index else 1 for each in range(stays.ndim)]), stays.shape
            )
            if (stays == whole).all():
                return tuple(int(line.sum()) if each == index else n for each, n in enumerate(stays.shape))
        return None

    def cut(self, cut: Cut) -> None:
        """Give a node a smaller version of one of its static inputs."""
        along = {axis: self.positions(each) for axis, each in cut.axes.items() if self.shrinks(each)}
        value = cut.node.inputs[cut.input]
        rows = None
        if cut.inner and self.shrinks(cut.inner[1]):
            axis, channels, blocks = cut.inner
            inside = self.positions(channels).reshape(blocks, -1) % (channels.size // blocks)
            height = int((self.statics.shape(value) or [0])[0] or 0) // blocks
            rows = _Rows(axis, np.repeat(inside, height, axis=0))
        if along or rows:
            self.graph.set_input(cut.node, cut.input, self._smaller(value, along, rows))

    def _smaller(self, value: gs.Tensor, along: Mapping[int, Int64], rows: _Rows | None) -> gs.Tensor:
        """A static value with some positions only; the same one for all that ask for the same."""
        if not along and rows is None:
            return value
        ends = tuple((axis, each.tobytes()) for axis, each in sorted(along.items()))
        key = (id(value), ends, rows and (rows.axis, rows.positions.tobytes()))
        if key not in self._made:
            self._made[key] = self._make(value, along, rows)
        return self._made[key]

    def _make(self, value: gs.Tensor, along: Mapping[int, Int64], rows: _Rows | None) -> gs.Tensor:
        node = producer(self.statics, value)
        inputs = operands(self.statics, node, along) if node else None
        # What stays inside blocks is told by the position along axis 0, so the axes must be where they were.
        if node is not None and inputs is not None and not (rows and node.op in ("Transpose", "Unsqueeze")):
            smaller = [
                self._smaller(each, inputs[index], rows if index == 0 else None)
                for index, each in enumerate(node.inputs)
            ]
            return smaller[0] if node.op == "Identity" else self.graph.add(node.op, smaller, like=node).outputs[0]
        array = self.statics.arrays([value])[id(value)]
        if rows is not None:
            index = rows.positions.reshape(*rows.positions.shape, *[1] * (array.ndim - 2))
            array = np.take_along_axis(array, index, axis=rows.axis)
        for axis, kept in along.items():
            array = np.take(array, kept, axis=axis)
        return self.graph.constant(np.ascontiguousarray(array).reshape(array.shape), hint=value.name)


def cut_channels(groups: Groups, keep: Keep) -> dict[str, list[int]]:
    """See Groups.slice."""
    from vggc.analysis.channels.size_lists import Lists

    slicing = Slicing(groups, keep)
    lists = Lists(slicing)
    provenance = {}
    for each in groups.weighted:
        if each.outputs is not None and any(group in slicing.keep for group in each.outputs.groups):
            name = each.node.name or each.node.outputs[0].name
            provenance[name] = [int(position) for position in each.outputs.kept(slicing.keep)]
    for node in groups.graph.nodes:
        # Exporters take the length of a bias from the weights, whose old version would stay for that alone.
        if node.op in SHAPE_READERS and slicing.statics.is_static(node.outputs[0]):
            array = slicing.statics.arrays(node.outputs[:1])[id(node.outputs[0])]
            groups.graph.replace(node.outputs[0], groups.graph.constant(array, hint="shape"))
    for cut in groups.swept.cuts.values():
        slicing.cut(cut)
    lists.rewrite()
    for action in groups.swept.actions:
        action(slicing)
    groups.graph.tidy()
    groups.graph.infer_shapes()
    return provenance
