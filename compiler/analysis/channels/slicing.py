"""Removing channels: constants get smaller, attributes and shapes follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Axis, IntArray, Layout
from vggc.analysis.channels.group import Keep
from vggc.analysis.channels.sweep import Cut

if TYPE_CHECKING:
    from vggc.analysis.channels.groups import Groups


INFERRED = -1
"""The dimension of a Reshape that follows from the number of elements."""


class Slicing:
    """What stays along each axis, and the edits that operators ask for."""

    def __init__(self, groups: Groups, keep: Keep) -> None:
        self.groups = groups
        self.graph = groups.graph
        self.keep = {
            index: np.asarray(atoms, np.int64) for index, atoms in keep.items() if len(atoms) < groups[index].size
        }
        self._made: dict[Any, gs.Constant] = {}

    def shrinks(self, axis: Axis | None) -> bool:
        return axis is not None and any(group in self.keep for group in self.groups.of(axis).groups)

    def positions(self, axis: Axis) -> IntArray:
        """The positions along an axis that stay."""
        return self.groups.of(axis).kept(self.keep)

    def cut(self, cut: Cut) -> None:
        """Give a node a smaller version of one of its static inputs."""
        along = {axis: self.positions(each) for axis, each in cut.axes.items() if self.shrinks(each)}
        inner = cut.inner if cut.inner and self.shrinks(cut.inner[1]) else None
        if along or inner:
            value = cut.node.inputs[cut.input]
            rows = None if inner is None else self._inside(value, cut, inner)
            self.graph.set_input(cut.node, cut.input, self._smaller(value, along, rows))

    def _inside(self, value: gs.Tensor, cut: Cut, inner: tuple[int, Axis, int]) -> tuple[int, IntArray]:
        """For each old position along axis 0 the positions that stay along the axis inside its block."""
        axis, along, blocks = inner
        size = along.size // blocks
        kept = self.positions(along).reshape(blocks, -1) % size
        rows = int(value.shape[0]) // blocks
        return axis, np.repeat(kept, rows, axis=0)

    def _smaller(
        self, value: gs.Tensor, along: Mapping[int, IntArray], rows: tuple[int, IntArray] | None
    ) -> gs.Constant:
        key = (id(value), *((axis, each.tobytes()) for axis, each in sorted(along.items())), rows and rows[1].tobytes())
        if key not in self._made:
            array = self.groups.swept.statics.arrays([value])[id(value)]
            if rows is not None:
                index = rows[1].reshape(*rows[1].shape, *[1] * (array.ndim - 2))
                array = np.take_along_axis(array, index, axis=rows[0])
            for axis, kept in along.items():
                array = np.take(array, kept, axis=axis)
            self._made[key] = self.graph.constant(np.ascontiguousarray(array), hint=value.name)
        return self._made[key]

    def set_attribute(self, node: gs.Node, name: str, axis: Axis | None, size: int) -> None:
        """An attribute that counts the positions along an axis."""
        if axis is not None and self.shrinks(axis):
            node.attrs[name] = len(self.positions(axis))
            self.graph.touch(node)

    def resize(self, node: gs.Node, index: int, layout: Layout) -> None:
        """Rewrite an input that lists the dimensions of the node's output, where those along `layout` shrink."""
        counts = {
            axis: len(self.positions(along))
            for axis, along in enumerate(layout)
            if isinstance(along, Axis) and self.shrinks(along)
        }
        if counts:
            self.graph.set_input(node, index, self._with_entries(node.inputs[index], counts))

    def _with_entries(self, value: gs.Tensor, entries: Mapping[int, int]) -> gs.Tensor:
        """A list of dimensions with some of its entries replaced; -1 still follows from the others."""
        known = self.groups.swept.statics.entries(value)
        if known is not None:
            wanted = [
                each if each == INFERRED else entries.get(at, each if isinstance(each, int) else INFERRED)
                for at, each in enumerate(known)
            ]
            if wanted.count(INFERRED) <= 1:
                return self.graph.constant(np.array(wanted, np.int64), hint=value.name)
        # More than one dimension is only known at run time: those stay as they are computed.
        length = max(entries) + 1 if known is None else len(known)
        mask, numbers = np.zeros(length, bool), np.zeros(length, np.int64)
        mask[list(entries)], numbers[list(entries)] = True, list(entries.values())
        chosen = [self.graph.constant(each, hint=value.name) for each in (mask, numbers)]
        return self.graph.add("Where", [chosen[0], chosen[1], value]).outputs[0]


def cut_channels(groups: Groups, keep: Keep) -> dict[str, list[int]]:
    """See Groups.slice."""
    slicing = Slicing(groups, keep)
    provenance = {}
    for each in groups.weighted:
        if each.outputs is not None and any(group in slicing.keep for group in each.outputs.groups):
            name = each.node.name or each.node.outputs[0].name
            provenance[name] = [int(position) for position in each.outputs.kept(slicing.keep)]
    for cut in groups.swept.cuts.values():
        slicing.cut(cut)
    for action in groups.swept.actions:
        action(slicing)
    groups.graph.tidy()
    groups.graph.infer_shapes()
    return provenance
