"""Channel groups: all the axes that must shrink together, found by looking through every operator of the graph.

    groups = channel_groups(graph)
    keep = {group.id: group.best(scores, group.size // 2) for group in groups if not group.frozen}
    masked = groups.masked(keep)          # the graph with the removed channels zeroed: what the sliced one must equal
    sliced = groups.slice(keep)           # in place; says which old channels the new ones are

A group has `size` atoms, numbered from 0: the units that can be removed. An atom is one channel of one convolution in
the simple case; with a residual stream one channel of every convolution that writes to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from vggc.analysis.channels.axes import IntArray

Keep = Mapping[int, Sequence[int] | IntArray]
"""The atoms that stay, by group id; a group that is not named keeps all."""


@dataclass(frozen=True, eq=False)
class Channels:
    """What lies along one axis: for each position its group and its atom in that group, both -1 where it stays."""

    group: IntArray
    atom: IntArray

    def __len__(self) -> int:
        return len(self.group)

    @cached_property
    def groups(self) -> tuple[int, ...]:
        """The groups that have positions here."""
        return tuple(int(each) for each in np.unique(self.group) if each >= 0)

    @cached_property
    def digest(self) -> bytes:
        """The same for two axes along which the same lies."""
        return blake2b(self.group.tobytes() + self.atom.tobytes(), digest_size=16).digest()

    def kept(self, keep: Keep) -> IntArray:
        """The positions that stay, in order."""
        stays = np.ones(len(self), bool)
        for group in self.groups:
            if group in keep:
                here = self.group == group
                stays[here] = np.isin(self.atom[here], np.asarray(keep[group], np.int64))
        return np.flatnonzero(stays)


@dataclass(frozen=True, eq=False)
class Member:
    """An axis of a value or a constant that shrinks with a group. For a constant: read by `node` as input `input`."""

    value: gs.Tensor
    axis: int
    channels: Channels
    node: gs.Node | None = None
    input: int | None = None


@dataclass(frozen=True, eq=False)
class Weighted:
    """A node that mixes channels with weights, and what its input and output channels are.

    `data` and `axis`: the input with the activations and the axis its channels lie along; `out_axis` that of output 0.
    `weight`: the input with the weights, None when both operands are computed; `weight_in` and `weight_out`: its axes
    along the input and output channels. With `blocks` > 1 (a grouped convolution) the output channels of a block see
    the input channels of that block only, so axis 1 of the weights runs inside a block. `inputs` and `outputs` always
    run over all channels; they are None where none of them can go.
    A depthwise node has the same channels on both sides.
    """

    node: gs.Node
    data: int
    axis: int
    out_axis: int
    weight: int | None
    bias: int | None
    weight_in: int | None
    weight_out: int | None
    blocks: int
    depthwise: bool
    inputs: Channels | None
    outputs: Channels | None


@dataclass(eq=False)
class Group:
    """Channels that are removed together: `size` atoms, any subset of which may stay that the constraints allow.

    frozen     why nothing of the group can be removed; None when something can
    pinned     atoms that must stay
    blocks     a partition of the atoms: each block must keep the same fraction of its atoms (grouped convolutions); one
               block when there is no such constraint
    covers     sets of atoms of each of which at least one must stay
    producers  nodes whose output channels these are (depthwise ones are among the `carriers`)
    consumers  nodes that sum over these channels
    """

    id: int
    size: int
    name: str
    frozen: str | None
    pinned: IntArray
    blocks: tuple[IntArray, ...]
    covers: tuple[IntArray, ...]
    members: list[Member] = field(default_factory=list)
    producers: list[Weighted] = field(default_factory=list)
    consumers: list[Weighted] = field(default_factory=list)
    carriers: list[Weighted] = field(default_factory=list)

    @property
    def unit(self) -> int:
        """Kept counts must be multiples of this: the fewest atoms that keep the blocks in proportion."""
        return self.size // int(np.gcd.reduce([len(block) for block in self.blocks]))

    def at_least(self) -> int:
        """The smallest count `best` can keep."""
        return len(self.best(np.zeros(self.size), 0))

    def best(self, scores: NDArray[np.floating], count: int) -> IntArray:
        """The `count` atoms of the highest scores that may stay without the others, in order.

        The count is rounded up to what the constraints allow. `scores` has one number per atom.
        """
        scores = np.array(scores, np.float64)
        if scores.shape != (self.size,):
            raise ValueError(f"group {self.id} has {self.size} atoms, and {scores.shape} scores are given")
        must = np.zeros(self.size, bool)
        must[self.pinned] = True
        for cover in self.covers:
            if not must[cover].any():
                must[cover[np.argmax(scores[cover])]] = True
        scores[must] = np.inf
        steps = self.size // self.unit
        wanted = max(1, -(-count // self.unit))
        needed = max(-(-int(must[block].sum()) * steps // len(block)) for block in self.blocks)
        step = min(max(wanted, needed), steps)
        kept = [block[np.argsort(-scores[block], kind="stable")[: len(block) * step // steps]] for block in self.blocks]
        return np.sort(np.concatenate(kept))

    def fault(self, kept: Sequence[int] | IntArray) -> str | None:
        """Why these atoms cannot be what stays; None when they can."""
        atoms = np.asarray(kept, np.int64)
        if len(atoms) == 0 or len(np.unique(atoms)) != len(atoms) or atoms.min() < 0 or atoms.max() >= self.size:
            return f"the kept atoms are not some of the {self.size}, each once"
        if len(atoms) == self.size:
            return None
        if self.frozen:
            return f"the group is frozen: it {self.frozen}"
        stays = np.zeros(self.size, bool)
        stays[atoms] = True
        if not stays[self.pinned].all():
            return "an atom that must stay is removed"
        if any(not stays[cover].any() for cover in self.covers):
            return "every channel of some value is removed"
        fractions = {(int(stays[block].sum()) * self.size) / len(block) for block in self.blocks}
        return None if len(fractions) == 1 else "the blocks of a grouped convolution keep different counts"
