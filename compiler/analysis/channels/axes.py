"""Channel atoms: the smallest units of channels that can be removed, and the axes of values they lie along.

Every axis that may shrink is an `Axis`: for each position along it, the atom that lives there. Atoms that must live or
die together are unified; most unions join two whole dimensions one to one, which costs one union-find step and no
array, so that long chains stay quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.union_find import UnionFind
from vggc.graph.arrays import Int64

STAYS = -1
"""What stands in an axis where a position belongs to no atom and never goes."""


class Axis:
    """For each position along an axis of a value, the atom that lives there, or STAYS.

    `dimension` is set when the positions are, in order, all the atoms of one dimension; the array is made on demand.
    """

    __slots__ = ("_atoms", "_first", "dimension", "size")

    def __init__(self, atoms: Int64 | None, *, dimension: int | None = None, first: int = 0, size: int = 0) -> None:
        self._atoms = atoms
        self._first = first
        self.dimension = dimension
        self.size = size if atoms is None else len(atoms)

    @property
    def atoms(self) -> Int64:
        """(size,) numbers of atoms, or STAYS."""
        if self._atoms is None:
            return np.arange(self._first, self._first + self.size)
        return self._atoms

    def take(self, positions: Any) -> Axis:
        """The axis whose positions are some of this one's, in the order given."""
        return Axis(self.atoms[positions])


@dataclass(eq=False)
class Joint:
    """One axis that a Reshape has split into several, as long as nobody needs to know which of them shrinks.

    `atoms` has one dimension for each of those axes. `origin` is the value that was split, `axis_of_origin` its axis
    when that was split by itself. Once it is settled, axis number `shrinks` of them is `axis` and the others stay.
    """

    atoms: Int64
    origin: gs.Tensor
    axis_of_origin: int | None
    shrinks: int | None = None
    axis: Axis | None = None


@dataclass(frozen=True)
class Part:
    """One of the axes that a Joint is made of."""

    joint: Joint
    index: int


@dataclass(frozen=True)
class View:
    """A value as a rearrangement of the one its Joint was split from.

    For each of its axes: the number of a part of the Joint, or the axes of the origin that it merges.
    """

    joint: Joint
    axes: list[int | tuple[int, ...]]


Layout = list["Axis | Part | None"]
"""For each axis of a value where its atoms lie; None where none do."""


@dataclass
class Atoms:
    """All atoms of a graph while its nodes are looked at: dimensions, unions, and the reasons why some must stay."""

    sizes: list[int] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    total: int = 0
    dimensions: UnionFind = field(default_factory=UnionFind)
    pairs: list[tuple[Int64, Int64]] = field(default_factory=list)
    frozen: list[tuple[Axis, str]] = field(default_factory=list)
    blocks: list[tuple[Axis, int, str]] = field(default_factory=list)
    covers: list[Axis] = field(default_factory=list)

    def new(self, size: int) -> Axis:
        """A dimension of its own: `size` new atoms."""
        axis = Axis(None, dimension=len(self.sizes), first=self.total, size=size)
        self.sizes.append(size)
        self.firsts.append(self.total)
        self.total += size
        return axis

    def unite(self, first: Axis, second: Axis) -> None:
        """Unify two axes position by position; where one of them STAYS, so does the other."""
        if first is second:
            return
        if first.dimension is not None and second.dimension is not None:
            self.dimensions.unite(first.dimension, second.dimension)
            return
        self.pairs.append((first.atoms, second.atoms))

    def tie(self, rows: Int64) -> Axis:
        """Unify the rows of a matrix of atoms, (rows, size); the axis that its columns make."""
        for row in rows[1:]:
            self.pairs.append((rows[0], row))
        return Axis(rows[0])

    def freeze(self, axis: Axis, reason: str) -> None:
        self.frozen.append((axis, reason))

    def representatives(self) -> Int64:
        """For each atom the smallest atom it is unified with: (total + 1,), the last entry for STAYS."""
        label = np.arange(self.total + 1)
        for dimension, size in enumerate(self.sizes):
            root = self.dimensions.root(dimension)
            if root != dimension:
                first, target = self.firsts[dimension], self.firsts[root]
                label[first : first + size] = np.arange(target, target + size)
        if not self.pairs:
            return label
        # STAYS indexes the last entry. It is no atom: what meets it is frozen, not unified with all that met it.
        one = np.concatenate([pair[0] for pair in self.pairs])
        other = np.concatenate([pair[1] for pair in self.pairs])
        both = (one != STAYS) & (other != STAYS)
        lone = np.concatenate([one[other == STAYS], other[one == STAYS]])
        if (lone != STAYS).any():
            self.freeze(Axis(np.unique(lone[lone != STAYS])), "it is joined with channels that cannot shrink")
        merged = components(self.total + 1, label[one[both]], label[other[both]])
        return merged[label]


def components(size: int, one: Sequence[int] | Int64, other: Sequence[int] | Int64) -> Int64:
    """For each vertex, (size,), the smallest vertex it is connected with, given the two ends of each edge, (edges,).

    UnionFind for millions of edges at once.
    """
    label = np.arange(size)
    first, second = np.asarray(one, np.int64), np.asarray(other, np.int64)
    while True:
        here, there = label[first], label[second]
        if np.array_equal(here, there):
            return label
        low = np.minimum(here, there)
        # Hooking the labels, not the vertices, joins whole trees; jumping flattens them: logarithmically many rounds.
        np.minimum.at(label, here, low)
        np.minimum.at(label, there, low)
        while not np.array_equal(label, label[label]):
            label = label[label]
