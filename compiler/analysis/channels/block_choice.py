"""Which atoms stay when blocks of channels must shrink in proportion.

A grouped convolution needs equally many channels in each of its blocks. Where its channels are shuffled, the blocks of
the next one cut across them, and both must come out even: a matrix of cells whose rows and columns have given sums.
That there is such a matrix of whole numbers is controlled rounding (Bacharach 1966): each entry is its share rounded up
or down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vggc.graph.arrays import Float64, Int64

Family = tuple[Int64, ...]
"""Disjoint blocks of atoms, each of which must keep the same fraction."""


def steps(size: int, families: Sequence[Family]) -> int:
    """How many different numbers of atoms can stay: block lengths are multiples of this."""
    return math.gcd(*(len(block) for family in families for block in family)) or size


def count(size: int, step: int, of: int) -> int:
    """How many of `size` atoms stay at `step` of so many steps, rounded where blocks do not cover all of them."""
    return (2 * step * size + of) // (2 * of)


def choose(scores: Float64, families: Sequence[Family], step: int) -> Int64:
    """The atoms that stay at a step, rising: those of high scores, as the blocks of at most two families allow.

    `scores` are (size,), for each atom one.
    """
    size = len(scores)
    of = steps(size, families)
    total = count(size, step, of)
    labels, sums = [], []
    for family in [*families, (), ()][:2]:
        label = np.full(size, len(family))
        for index, block in enumerate(family):
            label[block] = index
        demand = [len(block) * step // of for block in family]
        labels.append(label)
        sums.append(np.array([*demand, total - sum(demand)]))
    cells = _cells(scores, *labels, shape=(len(sums[0]), len(sums[1])))
    capacity = np.array([[len(cell) for cell in row] for row in cells])
    taken = _improve(scores, cells, _round(capacity, step, of, *sums))
    kept = [cell[: taken[index]] for index, cell in ((at, cells[at[0]][at[1]]) for at in np.ndindex(*capacity.shape))]
    return np.sort(np.concatenate(kept))


def _cells(scores: Float64, rows: Int64, columns: Int64, *, shape: tuple[int, int]) -> list[list[Int64]]:
    """The atoms of each cell, the best ones first."""
    order = np.argsort(-scores, kind="stable")
    return [
        [order[(rows[order] == row) & (columns[order] == column)] for column in range(shape[1])]
        for row in range(shape[0])
    ]


def _round(capacity: Int64, step: int, of: int, rows: Int64, columns: Int64) -> Int64:
    """The fraction step / of of each cell in whole numbers, rounded so that rows and columns have their sums."""
    taken = capacity * step // of
    loose = capacity * step % of > 0
    up = np.zeros(capacity.shape, bool)
    need, room = rows - taken.sum(axis=1), columns - taken.sum(axis=0)

    def reach(row: int, seen: set[int]) -> bool:
        """Round a cell of a row up: in a column that needs it, or whose other cells can be made up for elsewhere."""
        for column in np.flatnonzero(loose[row] & ~up[row]):
            if int(column) in seen:
                continue
            seen.add(int(column))
            if room[column] > 0:
                room[column] -= 1
                up[row, column] = True
                return True
            for other in np.flatnonzero(up[:, column]):
                if reach(int(other), seen):
                    up[other, column] = False
                    up[row, column] = True
                    return True
        return False

    for row in range(len(rows)):
        for _ in range(int(need[row])):
            if not reach(row, set()):
                raise ValueError("blocks of channels cannot shrink in proportion")
    return taken + up


def _improve(scores: Float64, cells: list[list[Int64]], taken: Int64) -> Int64:
    """Exchange atoms around rectangles of four cells as long as the sum of their scores grows."""
    if min(taken.shape) == 1:
        return taken
    taken = taken.copy()
    ends = np.full(taken.shape, -np.inf), np.full(taken.shape, np.inf)
    for _ in range(4 * len(scores)):
        for at in np.ndindex(*taken.shape):
            cell, here = cells[at[0]][at[1]], int(taken[at])
            ends[0][at] = scores[cell[here]] if here < len(cell) else -np.inf
            ends[1][at] = scores[cell[here - 1]] if here else np.inf
        best, worst = ends
        half = best[:, :, None] - worst[:, None, :]
        # half[a, c, d] is what row a gains when it takes one more in column c for one in column d.
        gain = half[:, None, :, :] + half[None, :, :, :].swapaxes(2, 3)
        gain[np.isnan(gain)] = -np.inf
        first, second, more, less = np.unravel_index(int(np.argmax(gain)), gain.shape)
        if first == second or more == less or gain[first, second, more, less] <= 1e-12:
            return taken
        taken[first, more] += 1
        taken[first, less] -= 1
        taken[second, less] += 1
        taken[second, more] -= 1
    return taken
