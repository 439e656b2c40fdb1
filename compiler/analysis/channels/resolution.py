"""Atoms into groups: what is unified becomes one atom, what shares atoms or a constraint becomes one group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vggc.analysis.channels.axes import STAYS, Atoms, Axis, components
from vggc.analysis.channels.block_choice import Family, steps
from vggc.analysis.channels.group import Group
from vggc.analysis.channels.sweep import Sweep
from vggc.graph.arrays import Int64


@dataclass(frozen=True, eq=False)
class Resolution:
    """The groups, and for each atom the sweep made its group and its number there; one more entry, -1, for STAYS."""

    groups: tuple[Group, ...]
    group_of: Int64
    atom_of: Int64


def resolve(swept: Sweep) -> Resolution:
    """Number groups and atoms in the order in which the sweep met them."""
    atoms = swept.atoms
    label = atoms.representatives()
    dimension_of = np.repeat(np.arange(len(atoms.sizes)), atoms.sizes)
    constraints = [
        (np.unique(axis.atoms[axis.atoms != STAYS]), axis, blocks, who) for axis, blocks, who in atoms.blocks
    ]
    # Dimensions belong to one group when they share an atom, or when one grouped convolution reads both.
    one, other = [dimension_of], [dimension_of[label[:-1]]]
    for met, *_ in constraints:
        one.append(dimension_of[met[:1]].repeat(len(met)))
        other.append(dimension_of[met])
    family = components(len(atoms.sizes), np.concatenate(one), np.concatenate(other))
    roots = np.unique(label[:-1])
    group_of_root = np.unique(family[dimension_of[roots]], return_inverse=True)[1]
    group_of = np.full(len(label), -1)
    group_of[roots] = group_of_root
    order = np.argsort(group_of_root, kind="stable")
    counts = np.bincount(group_of_root) if len(roots) else np.zeros(0, np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    atom_of = np.full(len(label), -1)
    atom_of[roots[order]] = np.arange(len(roots)) - np.repeat(starts[:-1], counts)
    label[-1] = len(label) - 1
    group_of, atom_of = group_of[label], atom_of[label]
    builder = _Builder(atoms, group_of, atom_of, [int(each) for each in counts])
    for _, axis, blocks, who in constraints:
        builder.constrain(axis, blocks, who)
    return Resolution(builder.groups(), group_of, atom_of)


class _Builder:
    def __init__(self, atoms: Atoms, group_of: Int64, atom_of: Int64, sizes: list[int]) -> None:
        self.atoms = atoms
        self.group_of = group_of
        self.atom_of = atom_of
        self.sizes = sizes
        self.reasons: list[str | None] = [None] * len(sizes)
        self.pinned = [np.zeros(size, bool) for size in sizes]
        self.families: list[list[Family]] = [[] for _ in sizes]
        self.covers: list[dict[bytes, Int64]] = [{} for _ in sizes]
        for axis, reason in atoms.frozen:
            self.pin(axis, reason)
        whole = [Axis(None, dimension=i, first=atoms.firsts[i], size=size) for i, size in enumerate(atoms.sizes)]
        for axis in (*whole, *atoms.covers):
            self.cover(axis)

    def by_group(self, axis: Axis) -> list[tuple[int, Int64]]:
        """The atoms of an axis in each of its groups, in the order of their positions."""
        if axis.dimension is not None:
            group = int(self.group_of[axis.atoms[0]])
            return [(group, self.atom_of[axis.atoms])]
        groups, atoms = self.group_of[axis.atoms], self.atom_of[axis.atoms]
        return [(int(each), atoms[groups == each]) for each in np.unique(groups[groups >= 0])]

    def pin(self, axis: Axis, reason: str) -> None:
        for group, atoms in self.by_group(axis):
            self.pinned[group][atoms] = True
            self.reasons[group] = self.reasons[group] or reason

    def cover(self, axis: Axis) -> None:
        """Of all that lies along an axis something must stay."""
        if axis.dimension is None and (axis.atoms == STAYS).any():
            return
        found = [(group, np.unique(atoms)) for group, atoms in self.by_group(axis)]
        # No group goes as a whole. Where several lie here in part, one of them answers for all.
        if any(len(atoms) == self.sizes[group] for group, atoms in found):
            return
        group, atoms = max(found, key=lambda each: len(each[1]))
        self.covers[group].setdefault(atoms.tobytes(), atoms)

    def constrain(self, axis: Axis, blocks: int, who: str) -> None:
        """Each of the equal blocks an axis consists of must keep equally many atoms."""
        rows = self.atom_of[axis.atoms].reshape(blocks, -1)
        times = [np.unique(row, return_counts=True) for row in rows]
        if STAYS not in rows and (np.sort(rows, axis=1) == np.sort(rows[:1], axis=1)).all():
            # What lies in one block lies in all of them.
            return
        together = np.concatenate([atoms for atoms, _ in times])
        uneven = len({int(each) for _, n in times for each in n}) > 1
        if STAYS in together or uneven or len(np.unique(together)) < len(together):
            self.pin(axis, f"reaches {who}, whose blocks of channels do not line up with others")
            return
        ((group, _),) = self.by_group(axis)
        self.families[group].append(tuple(atoms for atoms, _ in times))

    def groups(self) -> tuple[Group, ...]:
        """All groups, without their members."""
        result = []
        for index, size in enumerate(self.sizes):
            pinned = np.flatnonzero(self.pinned[index])
            reason = self.reasons[index]
            frozen = reason if len(pinned) == size else None
            families = _at_most_two(self.families[index])
            group = Group(index, size, "", frozen, pinned, reason, families, tuple(self.covers[index].values()))
            if frozen is None and size == 1:
                group.frozen = "has channels that can only go all at once"
            elif frozen is None and steps(size, families) == 1:
                group.frozen = "has blocks of channels that cannot shrink in proportion"
            result.append(group)
        return tuple(result)


def _at_most_two(constraints: list[Family]) -> tuple[Family, ...]:
    """Blocks in families of disjoint ones. Blocks of a third family are cut by those of the second: equal fractions of
    the pieces are equal fractions of both."""
    families: list[dict[bytes, Int64]] = []
    for constraint in constraints:
        new = {block.tobytes(): block for block in constraint}
        for family in families:
            met = [block for key, block in family.items() if key not in new]
            if not met or not np.isin(np.concatenate(met), np.concatenate(list(new.values()))).any():
                family.update(new)
                break
        else:
            families.append(new)
    while len(families) > 2:
        last, other = families.pop(), families.pop()
        families.append({each.tobytes(): each for each in _pieces(list(last.values()), list(other.values()))})
    return tuple(tuple(family.values()) for family in families)


def _pieces(one: list[Int64], other: list[Int64]) -> list[Int64]:
    """What two families of blocks cut each other into."""
    both = [np.intersect1d(left, right) for left in one for right in other]
    rest = [np.setdiff1d(left, np.concatenate(other)) for left in one]
    rest += [np.setdiff1d(right, np.concatenate(one)) for right in other]
    return [each for each in (*both, *rest) if len(each)]
