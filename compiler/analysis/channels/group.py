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
from fractions import Fraction
from functools import cached_property
from hashlib import blake2b

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels.block_choice import Family, choose, count, steps
from vggc.analysis.channels.records import Weighing
from vggc.graph.arrays import Floats, Int64

Keep = Mapping[int, Sequence[int] | Int64]
"""The atoms that stay, by group id; a group that is not named keeps all."""


@dataclass(frozen=True, eq=False)
class Channels:
    """What lies along one axis: (positions,) groups and atoms in those groups, both -1 for a position that stays."""

    group: Int64
    atom: Int64

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

    def kept(self, keep: Keep) -> Int64:
        """The positions that stay, in order: (positions left,)."""
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


Weighted = Weighing[Channels]
"""A node that mixes channels with weights, with the groups and atoms of its channels."""


@dataclass(eq=False)
class Group:
    """Channels that are removed together: `size` atoms, any subset of which may stay that the constraints allow.

    frozen     why nothing of the group can be removed; None when something can
    pinned     atoms that must stay, `pinned_by` something
    families   blocks of atoms, each of which must keep the same fraction (grouped convolutions): none, one family of
               disjoint blocks, or two whose blocks cut across each other (channel shuffles between them)
    covers     sets of atoms of each of which at least one must stay
    producers  nodes whose output channels these are (depthwise ones are among the `carriers`)
    consumers  nodes that sum over these channels
    """

    id: int
    size: int
    name: str
    frozen: str | None
    pinned: Int64
    pinned_by: str | None
    families: tuple[Family, ...]
    covers: tuple[Int64, ...]
    members: list[Member] = field(default_factory=list)
    producers: list[Weighted] = field(default_factory=list)
    consumers: list[Weighted] = field(default_factory=list)
    carriers: list[Weighted] = field(default_factory=list)

    @property
    def counts(self) -> list[int]:
        """The numbers of atoms that can stay as far as the blocks are concerned, the smallest first."""
        of = steps(self.size, self.families)
        return [count(self.size, step, of) for step in range(1, of + 1)]

    @property
    def fewest(self) -> int:
        """The smallest number of atoms that can stay."""
        return self.size if self.frozen else len(self.best(np.zeros(self.size), 0))

    def best(self, scores: Floats, wanted: int) -> Int64:
        """The `wanted` atoms of the highest scores that can stay without the others, in order.

        The number is rounded up to what can be. `scores` are (size,), without NaN and infinities.
        """
        own = np.array(scores, np.float64)
        if own.shape != (self.size,) or not np.isfinite(own).all():
            raise ValueError(f"group {self.id} needs one finite score for each of its {self.size} atoms")
        must = np.zeros(self.size, bool)
        must[self.pinned] = True
        for cover in self.covers:
            if not must[cover].any():
                must[cover[np.argmax(own[cover])]] = True
        # More than any exchange of other atoms could make up for.
        own[must] += (np.ptp(own) + 1) * (self.size + 1)
        of = steps(self.size, self.families)
        for step in range(1, of + 1):
            if count(self.size, step, of) >= max(wanted, int(must.sum()), 1):
                kept = choose(own, self.families, step)
                if must[kept].sum() == must.sum():
                    return kept
        return np.arange(self.size)

    def fault(self, kept: Sequence[int] | Int64) -> str | None:
        """Why these atoms, (atoms left,), cannot be what stays; None when they can."""
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
        fractions = {Fraction(int(stays[block].sum()), len(block)) for family in self.families for block in family}
        return None if len(fractions) <= 1 else "the blocks of a grouped convolution keep different counts"
