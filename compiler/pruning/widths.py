"""How many channels each group keeps under one budget for the whole model."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vggc.analysis.channels import Group, Groups
from vggc.analysis.channels.cost import TotalCost
from vggc.graph.arrays import Float64, Int64
from vggc.pruning.elimination import Elimination

Widths = dict[int, int]
"""Atoms kept, by group id."""


class Limit(Protocol):
    """A budget: `limit` is the most that `of` may give for the cost of the model."""

    @property
    def limit(self) -> float: ...

    def of(self, cost: TotalCost) -> float: ...


def steps(group: Group, align: int) -> list[int]:
    """The counts a group may keep, the largest first: its size, and multiples of `align` its blocks allow."""
    fewest = group.fewest
    aligned = [count for count in group.counts if fewest <= count < group.size and count % align == 0]
    return [group.size, *sorted(aligned, reverse=True)]


class Left:
    """What widths leave of groups: counts, and the atoms themselves of groups where they make a difference."""

    def __init__(self, groups: Groups, chosen: Sequence[Group], orders: Mapping[int, Elimination]) -> None:
        uneven = [group for group in chosen if groups.cost.depends_on_atoms(group.id)]
        self._uneven = {group.id: (group, orders[group.id].scores) for group in uneven}
        self._known: dict[tuple[int, int], Int64] = {}

    def __call__(self, widths: Widths) -> dict[int, int | Int64]:
        """Widths as the cost model takes them."""
        return {index: self._atoms(index, count) if index in self._uneven else count for index, count in widths.items()}

    def _atoms(self, index: int, count: int) -> Int64:
        if (index, count) not in self._known:
            group, scores = self._uneven[index]
            self._known[index, count] = group.best(scores, count)
        return self._known[index, count]


@dataclass
class _Steps:
    """The counts each group may keep, the loss each step down adds, and how many steps each has gone."""

    ladders: Mapping[int, list[int]]
    slopes: Mapping[int, Float64]
    at: dict[int, int]


def choose_widths(
    groups: Groups,
    chosen: Sequence[Group],
    losses: Mapping[int, Elimination],
    budget: Limit,
    *,
    align: int,
) -> Widths:
    """Shrink groups step by step, each time the one that adds the least error for what it saves, down to the budget.

    Where all groups are at their narrowest the widths are returned all the same: the caller compares the costs.
    """
    ladders = {group.id: steps(group, align) for group in chosen}
    slopes = {group.id: _slopes(losses[group.id], ladders[group.id], group.size) for group in chosen}
    at = dict.fromkeys(ladders, 0)
    widths: Widths = {group.id: group.size for group in chosen}

    measure = budget.of
    left = Left(groups, chosen, losses)

    def price(index: int) -> float:
        """Error added by the next step of a group for each unit it saves."""
        here = ladders[index][at[index]]
        less = ladders[index][at[index] + 1]
        saved = measure(groups.cost.saving(index, widths, here - less))
        return slopes[index][at[index]] / saved if saved > 0 else np.inf

    queue = [(price(index), index) for index, ladder in ladders.items() if len(ladder) > 1]
    heapq.heapify(queue)
    spent = measure(groups.cost(left(widths)))
    while queue and spent > budget.limit:
        _, index = heapq.heappop(queue)
        now = price(index)
        # Prices only rise while others shrink, so that the first whose price still holds is the lowest.
        if queue and now > queue[0][0]:
            heapq.heappush(queue, (now, index))
            continue
        at[index] += 1
        widths[index] = ladders[index][at[index]]
        spent = measure(groups.cost(left(widths)))
        if at[index] + 1 < len(ladders[index]):
            heapq.heappush(queue, (price(index), index))
    _give_back(groups, _Steps(ladders, slopes, at), widths, budget, left)
    return widths


def _give_back(groups: Groups, taken: _Steps, widths: Widths, budget: Limit, left: Left) -> None:
    """Use what the last step has saved too much: widen again what gains most and still fits."""
    while True:
        best: tuple[float, int] | None = None
        for index, step in taken.at.items():
            wider = {**widths, index: taken.ladders[index][step - 1]}
            if step and budget.of(groups.cost(left(wider))) <= budget.limit:
                best = max(best or (0.0, -1), (float(taken.slopes[index][step - 1]), index))
        if best is None or best[0] <= 0:
            return
        index = best[1]
        taken.at[index] -= 1
        widths[index] = taken.ladders[index][taken.at[index]]


def uniform_widths(chosen: Sequence[Group], keep: float, align: int) -> Widths:
    """The same share of each group: the nearest count it may keep, never fewer than one step."""
    return {
        group.id: min(steps(group, align), key=lambda count: (abs(count - keep * group.size), -count))
        for group in chosen
    }


def narrowest(chosen: Sequence[Group], align: int) -> Widths:
    """As few channels as each group may keep."""
    return {group.id: steps(group, align)[-1] for group in chosen}


def _slopes(elimination: Elimination, ladder: list[int], size: int) -> Float64:
    """The error each step adds, on the lower convex hull of the losses: later steps never look cheaper than earlier."""
    removed = np.array([size - count for count in ladder])
    losses = elimination.losses[np.minimum(removed, len(elimination.losses) - 1)]
    hull = [0]
    for index in range(1, len(removed)):
        while len(hull) > 1 and _above(removed, losses, hull[-2], hull[-1], index):
            hull.pop()
        hull.append(index)
    smooth = np.interp(removed, removed[hull], losses[hull])
    return np.diff(smooth)


def _above(x: Int64, y: Float64, first: int, middle: int, last: int) -> bool:
    """Whether the middle point lies on or above the line between the other two."""
    return bool((y[middle] - y[first]) * (x[last] - x[first]) >= (y[last] - y[first]) * (x[middle] - x[first]))
