"""From what the operators said to channel groups."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

# Importing the families registers their operators.
from vggc.analysis.channels import (  # noqa: F401
    concatenation,
    einsum,
    elementwise,
    norms,
    recurrent,
    reductions,
    reshapes,
    selections,
    shapes,
    spatial,
    weighted_operators,
)
from vggc.analysis.channels.axes import Axis
from vggc.analysis.channels.cost import CostModel, Sizes
from vggc.analysis.channels.group import Channels, Group, Keep, Member, Weighted
from vggc.analysis.channels.resolution import resolve
from vggc.analysis.channels.shared_weights import unite_shared_weights
from vggc.analysis.channels.sweep import OPERATORS, sweep
from vggc.graph import Graph


class Groups:
    """The channel groups of a graph, in the order in which its nodes make them; `groups[i].id == i`.

    They belong to this graph object as it is now: after `slice`, or any other change, find them anew.
    """

    def __init__(self, graph: Graph, sizes: Sizes | None = None) -> None:
        self.graph = graph
        graph.tidy()
        graph.infer_shapes()
        self.swept = sweep(graph, OPERATORS)
        unite_shared_weights(self.swept)
        self._resolved = resolve(self.swept)
        self._channels: dict[tuple[bool, int], tuple[Axis, Channels]] = {}
        self.groups: tuple[Group, ...] = self._resolved.groups
        self.weighted: tuple[Weighted, ...] = tuple(each.by(self.of) for each in self.swept.weighings)
        self._attach()
        self.cost = CostModel(self, sizes)

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> Group:
        return self.groups[index]

    @property
    def prunable(self) -> list[Group]:
        return [group for group in self.groups if group.frozen is None]

    def channels(self, value: gs.Tensor, axis: int) -> Channels | None:
        """What lies along an axis of a computed value; None where nothing can shrink."""
        axes = self.swept.lying(value)
        along = axes[axis] if axes else None
        return None if along is None else self.of(along)

    def of(self, axis: Axis) -> Channels:
        """Groups and atoms of an axis that the sweep has found."""
        # Whole dimensions that are unified are one; of other axes, the object is kept so that its id stays its own.
        unified = axis.dimension is not None
        key = self.swept.atoms.dimensions.root(axis.dimension) if axis.dimension is not None else id(axis)
        found = self._channels.get((unified, key))
        if found is None:
            atoms = axis.atoms
            found = axis, Channels(self._resolved.group_of[atoms], self._resolved.atom_of[atoms])
            self._channels[unified, key] = found
        return found[1]

    def check(self, keep: Keep) -> None:
        """Raise ValueError when some group cannot keep what it is asked to."""
        for index, atoms in keep.items():
            fault = self.groups[index].fault(atoms)
            if fault:
                raise ValueError(f"group {index} ({self.groups[index].name}): {fault}")

    def masked(self, keep: Keep) -> Graph:
        """A copy of the graph in which the removed channels are zero wherever a node sums over them."""
        from vggc.analysis.channels.masks import masked

        self.check(keep)
        return masked(self, keep)

    def slice(self, keep: Keep) -> dict[str, list[int]]:
        """Remove, in place, all atoms that do not stay.

        Returns for each weighted node that lost output channels, by name, the old numbers of those it still has.
        Raises ValueError when a group cannot keep what it is asked to.
        """
        from vggc.analysis.channels.channel_cut import cut_channels

        self.check(keep)
        return cut_channels(self, keep)

    def _attach(self) -> None:
        """Tell each group who makes it, who reads it, and what shrinks with it."""
        for each in self.weighted:
            for index in each.outputs.groups if each.outputs else ():
                (self.groups[index].carriers if each.depthwise else self.groups[index].producers).append(each)
            for index in each.inputs.groups if each.inputs and not each.depthwise else ():
                self.groups[index].consumers.append(each)
        for node in self.graph.nodes:
            for value in node.outputs:
                for axis, along in enumerate(self.swept.lying(value)):
                    if along is not None:
                        self._member(Member(value, axis, self.of(along)))
        for cut in self.swept.cuts.values():
            for axis, along in cut.axes.items():
                self._member(Member(cut.node.inputs[cut.input], axis, self.of(along), cut.node, cut.input))

        for group in self.groups:
            makers = group.producers or group.carriers
            group.name = self.graph.label(makers[0].node) if makers else f"`{group.members[0].value.name}`"

    def _member(self, member: Member) -> None:
        for index in member.channels.groups:
            self.groups[index].members.append(member)


def channel_groups(graph: Graph, sizes: Sizes | None = None) -> Groups:
    """Find the channel groups of a graph; tidies it and infers its shapes.

    `sizes` are the dimensions of a sample of each input, at which MACs are counted where the graph leaves them open.
    Raises CompileError when shape inference fails.
    """
    return Groups(graph, sizes)
