"""Which channels to remove, and what that costs after the best repair: backward elimination by block OBS.

Removing inputs S of a linear node that reads x, with covariance H, and adjusting its other weights as well as possible
adds the squared error W_S' [(H^-1)_SS]^-1 W_S to its outputs, and takes H^-1_:S [(H^-1)_SS]^-1 W_S from its weights
(Hassibi and Stork 1993, in blocks: all columns of a channel at once). A group's channels are removed one after
another, each time the one that costs least, summed over all nodes that read the group.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vggc.calibration.definite_inverse import inverse
from vggc.graph.arrays import Float64, Floats, Int64

RIDGE = 1e-3
"""Added to the covariance's diagonal, as a share of its mean: correlations found in few samples are not trusted."""

_GONE = 0.15
"""The share of removed columns beyond which they are cut out of the arrays."""

_DEPENDENT, _LEAST = 1e-10, 1e-200
"""Added to squares of weights so that their matrix is positive definite: a share of their mean, and where all are 0."""

_TOGETHER = 96
"""Of more than so many channels, more than one is removed at a time."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Inputs of a linear node.

    covariance  (width, width) of the inputs
    weights     (width, outputs), scaled so that errors of all problems of a group can be added
    atoms       (width,) the atom of the group that each input belongs to, -1 for inputs that stay anyway
    """

    covariance: Floats
    weights: Float64
    atoms: Int64


@dataclass(frozen=True, eq=False)
class Elimination:
    """The atoms of a group in the order in which they are removed, and the error when so many are gone.

    Both are (size,). `losses[n]` belongs to the removal of the first n atoms of `order`; the last one is never removed.
    """

    order: Int64
    losses: Float64

    @property
    def scores(self) -> Float64:
        """For each atom, (size,), how late it is removed."""
        ranks = np.empty(len(self.order))
        ranks[self.order] = np.arange(len(self.order))
        return ranks


def by_scores(scores: Float64) -> Elimination:
    """Remove the atoms of the lowest scores, (size,), first, each at the cost of its score."""
    order = np.argsort(scores, kind="stable")
    losses = np.concatenate([[0.0], np.cumsum(scores[order])[:-1]])
    return Elimination(order, losses)


def eliminate(size: int, problems: Iterable[Problem], extra: Float64 | None = None) -> Elimination:
    """Remove the atoms 0..size-1 of a group one by one.

    `extra`, (size,), are costs of atoms that nothing can repair.
    """
    own = np.zeros(size) if extra is None else extra
    states = [_State(each, size) for each in problems]
    alive = np.arange(size)
    order: list[int] = []
    losses = [0.0]
    while len(alive) > 1:
        costs = own[alive] + sum((each.costs(alive) for each in states), np.zeros(len(alive)))
        count = min(max(1, len(alive) // _TOGETHER), len(alive) - 1)
        lowest = np.argsort(costs, kind="stable")[:count]
        gone = alive[lowest]
        loss = float(own[gone].sum()) + sum(each.remove(gone) for each in states)
        order += gone.tolist()
        # Of atoms removed together, each gets its share of what they cost.
        share = np.maximum(costs[lowest], 0) + np.finfo(float).tiny
        losses += (losses[-1] + max(loss, 0.0) * np.cumsum(share) / share.sum()).tolist()
        alive = np.delete(alive, lowest)
    return Elimination(np.array([*order, *alive.tolist()], np.int64), np.array(losses))


class _State:
    """What is left of one problem: the inverse of the covariance, and the weights adjusted so far.

    Removed columns stay in the arrays as zeros until they are many: to cut them out costs as much as to update all.
    """

    def __init__(self, problem: Problem, size: int) -> None:
        # Columns of one atom stand together, atom by atom; those that stay anyway come last.
        key = np.where(problem.atoms < 0, size, problem.atoms)
        order = np.argsort(key, kind="stable")
        self._atoms = key[order]
        self._gone = np.zeros(len(order), bool)
        covariance = problem.covariance[np.ix_(order, order)].astype(np.float64)
        level = float(np.trace(covariance)) / len(covariance)
        covariance[np.diag_indices_from(covariance)] += RIDGE * level or 1.0
        self._inverse = inverse(covariance)
        self._weights = _compressed(problem.weights[order]).astype(np.float32)
        self._size = size

    def costs(self, alive: Int64) -> Float64:
        """What the removal of each of these atoms would cost."""
        counts = np.bincount(self._atoms, minlength=self._size + 1)
        starts = np.concatenate([[0], np.cumsum(counts)])
        result = np.zeros(len(alive))
        for width in np.unique(counts[alive]):
            if not width:
                continue
            here = np.flatnonzero(counts[alive] == width)
            columns = starts[alive[here]][:, None] + np.arange(width)
            weights = self._weights[columns]
            if width == 1:
                own = self._inverse[columns[:, 0], columns[:, 0]].astype(np.float64)
                result[here] = np.square(weights[:, 0], dtype=np.float64).sum(axis=1) / own
                continue
            block = self._inverse[columns[:, :, None], columns[:, None, :]].astype(np.float64)
            # The trace of W' B^-1 W is that of B^-1 W W', which has fewer columns.
            products = np.matmul(weights, weights.transpose(0, 2, 1)).astype(np.float64)
            result[here] = np.trace(np.linalg.solve(block, products), axis1=1, axis2=2)
        return result

    def remove(self, atoms: Int64) -> float:
        """Remove atoms, and say what that has cost."""
        leaving = np.flatnonzero(np.isin(self._atoms, atoms))
        if not len(leaving):
            return 0.0
        across = self._inverse[:, leaving]
        block = across[leaving].astype(np.float64)
        weights = self._weights[leaving].astype(np.float64)
        turned = np.linalg.solve(block, np.concatenate([weights, across.T], axis=1))
        pulled = turned[:, : weights.shape[1]]
        self._weights -= across @ pulled.astype(np.float32)
        self._inverse -= across @ turned[:, weights.shape[1] :].astype(np.float32)
        # What is left of them is rounding.
        self._weights[leaving] = 0
        self._inverse[leaving] = 0
        self._inverse[:, leaving] = 0
        self._gone[leaving] = True
        if self._gone.mean() > _GONE:
            staying = np.flatnonzero(~self._gone)
            self._atoms, self._weights = self._atoms[staying], self._weights[staying]
            self._inverse = np.ascontiguousarray(self._inverse[np.ix_(staying, staying)])
            self._gone = np.zeros(len(staying), bool)
        return float((weights * pulled).sum())


def _compressed(weights: Float64) -> Float64:
    """Weights with the same inner products between rows, and no more columns than rows."""
    if weights.shape[1] <= weights.shape[0]:
        return weights
    products = weights @ weights.T
    # Rows may depend on each other, or be zero. The numbers are stored in float32 in the end.
    products[np.diag_indices_from(products)] += _DEPENDENT * float(np.trace(products)) / len(products) + _LEAST
    factor: Float64 = np.asarray(np.linalg.cholesky(products))
    return factor


def remaining(problem: Problem, kept: Int64) -> Float64:
    """The weights, (width, outputs), that reproduce a node's outputs best when only the atoms `kept` are left.

    They are 0 for what is removed. `kept` are the numbers of some atoms, (atoms left,).
    """
    stays = np.flatnonzero((problem.atoms < 0) | np.isin(problem.atoms, kept))
    if not len(stays):
        return np.zeros_like(problem.weights)
    goes = np.setdiff1d(np.arange(len(problem.atoms)), stays, assume_unique=True)
    level = RIDGE * float(np.trace(problem.covariance)) / len(problem.atoms) or 1.0
    covariance = problem.covariance[np.ix_(stays, stays)].astype(np.float64)
    covariance[np.diag_indices_from(covariance)] += level
    lost = problem.covariance[np.ix_(stays, goes)] @ problem.weights[goes].astype(np.float32)
    result = np.zeros_like(problem.weights)
    result[stays] = problem.weights[stays] + np.linalg.solve(covariance, lost)
    return result
