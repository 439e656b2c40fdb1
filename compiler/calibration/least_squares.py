"""Least squares for one node: the weights that bring its results as near to given ones as its inputs allow.

The ridge pulls towards the weights there are, and its strength is chosen on rows held back from the solution. An
activation behind the node does not see how far a number is beyond its limits, so there any number beyond the same
limit will do: such targets move to where the prediction is, and the system is solved again (majorisation, every round
of which lowers the error behind the activation).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import numpy as np

from vggc.calibration.batch_rows import BatchRows, Gate, RowBatches, by_block, reachable
from vggc.calibration.few_rows import FewRows
from vggc.calibration.matrix import Unsuitable
from vggc.calibration.moments import Moments
from vggc.execution.products import large_product
from vggc.execution.threads import side_by_side
from vggc.graph.arrays import Float64, Floats

_RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Strengths to choose from, as shares of the inputs' variances."""

_RIGHT = 1e-6
"""An error of a smaller share of the variance is rounding, as moments in float32 show it."""

_FIRST = 3
_HELD_BACK = 5
"""One row in so many is held back."""

_ROUNDS = 6
_SETTLED = 3e-3
"""A round that lowers the error by a smaller share is the last one."""

_STEP = 1.7
"""A round goes so many times the way to the minimum of what it minimises; all below 2 lower the error."""

_AT_ONCE = 2
"""Pieces of rows that are worked on at the same time."""

_FLOOR = 1e-6
"""Inputs whose variance is below this share of the mean one count as if they had that much."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Weights (blocks, width, outputs) and bias (blocks * outputs,), the ridge, and the error as share of variance.

    Without a ridge they are those there were: they were right already.
    """

    weights: Float64
    bias: Float64
    ridge: float | None
    error: float


def solve(pieces: RowBatches, prior: Float64, bias: Float64, gate: Gate) -> Solution:
    """Fit weights to all pieces.

    `prior` (blocks, width, outputs) and `bias` (blocks * outputs,) are what there is; it is returned, without a ridge,
    where it is right already. `gate` are the limits of the activation behind.

    Raises Unsuitable when the inputs say nothing: they are constant, or their covariance is singular.
    """
    all_pieces = iter(pieces())
    first: list[BatchRows] = []
    rows = 0
    while rows < prior.shape[1]:
        piece = next(all_pieces, None)
        if piece is None:
            return _solve_few(FewRows(first, prior), prior, bias, gate)
        first.append(piece)
        rows += piece.inputs.shape[1]
    fitted, held = Moments(), Moments()
    for piece in chain(first, all_pieces):
        split = _split(piece)
        fitted.add(*split[0])
        held.add(*split[1])
    error = _error_of_both(fitted, held, prior, bias.reshape(len(prior), -1))
    if error < _RIGHT:
        return Solution(prior, bias, None, max(error, 0.0))
    ridge = _best_ridge(fitted, held, prior)
    fitted.absorb(held)
    del held
    system = _System(fitted, prior, ridge)
    gated = any(np.isfinite(gate))
    weights = (system.solve_again if gated else system.solve)(fitted.cross)
    bias = _bias(fitted, weights)
    if gated:
        weights, bias = _gated(pieces, system, weights, bias, gate)
    error = float(_errors(fitted, weights, bias).sum()) / max(float(fitted.variance.sum()), 1e-30)
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        raise Unsuitable("the covariance of its inputs is singular")
    return Solution(weights, bias.reshape(-1), ridge, error)


class _System:
    """(S + ridge * diag(S)) (W - prior) = C - S prior, for the cross moments C of different targets."""

    def __init__(self, moments: Moments, prior: Float64, ridge: float) -> None:
        self.mean = moments.mean
        self.mean_result = moments.mean_result
        self._prior = prior
        # One matrix is held and no more: it can have 6,144 columns.
        self._matrix = moments.covariance
        self._explained = self._matrix @ prior
        variances = np.einsum("bii->bi", self._matrix)
        mean = variances.mean(axis=1, keepdims=True)
        if not (np.isfinite(variances).all() and (mean > 0).any()):
            raise Unsuitable("its inputs are the same on all samples")
        mean = np.where(mean > 0, mean, 1.0)
        at = np.arange(prior.shape[1])
        self._matrix[:, at, at] += ridge * np.maximum(variances, _FLOOR * mean) + _FLOOR**2 * mean
        self._inverted = False

    def solve(self, cross: Float64) -> Float64:
        """For one right side."""
        with _singular(), large_product(self._matrix.size * self._matrix.shape[1] / 3):
            return np.asarray(self._prior + np.linalg.solve(self._matrix, cross - self._explained))

    def solve_again(self, cross: Float64) -> Float64:
        """The same for many right sides; after it `solve` must not be called."""
        if not self._inverted:
            with _singular(), large_product(self._matrix.size * self._matrix.shape[1]):
                self._matrix = np.asarray(np.linalg.inv(self._matrix), np.float64)
            self._inverted = True
        return np.asarray(self._prior + self._matrix @ (cross - self._explained))


@contextmanager
def _singular() -> Iterator[None]:
    """Raise Unsuitable in place of numpy's error for a singular matrix."""
    try:
        yield
    except np.linalg.LinAlgError:
        raise Unsuitable("the covariance of its inputs is singular") from None


def _split(piece: BatchRows) -> list[tuple[Floats, Floats]]:
    """The rows to fit and those held back: the last ones, which belong to other samples than the first."""
    wanted = piece.wanted
    edge = len(wanted) - len(wanted) // _HELD_BACK
    return [(piece.inputs[:, part], wanted[part]) for part in (slice(None, edge), slice(edge, None))]


def _error_of_both(fitted: Moments, held: Moments, weights: Float64, bias: Float64) -> float:
    """The squared error of weights on all rows, as share of the variance of the results."""
    parts = [each for each in (fitted, held) if each.count]
    if not parts:
        raise Unsuitable("there is not a row of it")
    shares = np.array([each.count for each in parts]) / sum(each.count for each in parts)
    means = np.array([each.mean_result for each in parts])
    mean = np.tensordot(shares, means, 1)
    error = variance = 0.0
    for share, each, own in zip(shares, parts, means, strict=True):
        error += share * float(_errors(each, weights, bias).sum())
        variance += share * float((each.variance + np.square(own - mean)).sum())
    return error / max(variance, 1e-30)


def _best_ridge(fitted: Moments, held: Moments, prior: Float64) -> float:
    """The strength that does best on the rows held back, walking from a middle one while it gets better."""
    if not held.count:
        return _RIDGES[_FIRST]
    errors: dict[int, float] = {}

    def error(index: int) -> float:
        if index not in errors:
            weights = _System(fitted, prior, _RIDGES[index]).solve(fitted.cross)
            errors[index] = float(_errors(held, weights, _bias(fitted, weights)).sum())
        return errors[index]

    best = _FIRST
    for step in (-1, 1):
        while 0 <= best + step < len(_RIDGES) and error(best + step) < error(best):
            best += step
    return _RIDGES[best]


def _bias(moments: Moments, weights: Float64) -> Float64:
    """What makes the mean result right, (blocks, outputs)."""
    return np.asarray(moments.mean_result - np.einsum("bi,bio->bo", moments.mean, weights))


def _errors(moments: Moments, weights: Float64, bias: Float64) -> Float64:
    """The mean squared error of each output, (blocks, outputs)."""
    explained = np.einsum("bio,bio->bo", weights, moments.explained(weights) - 2 * moments.cross)
    missed = moments.mean_result - np.einsum("bi,bio->bo", moments.mean, weights) - bias
    return np.asarray(moments.variance + explained + np.square(missed))


def _gated(pieces: RowBatches, system: _System, weights: Float64, bias: Float64, gate: Gate) -> tuple[Float64, Float64]:
    """Move targets beyond a limit of the gate to where the prediction is, and solve again, round by round.

    What a round minimises is a quadratic that touches the error and lies above it. It is as high as at the start at
    twice the way to its minimum, so that a step longer than to the minimum lowers the error too, and needs fewer rounds
    (de Leeuw and Heiser 1980, Multidimensional scaling with restrictions on the configuration).
    """

    def part(piece: BatchRows) -> tuple[float, Floats, Float64, int]:
        """Of a piece: the squared error, the products of inputs and targets, the sum of the targets, the rows."""
        results = np.matmul(piece.inputs, own).transpose(1, 0, 2).reshape(piece.target.shape)
        results += bias.reshape(-1).astype(np.float32)
        if piece.offset is not None:
            results += piece.offset
        moved, missed = reachable(piece.target, results, gate)
        if piece.offset is not None:
            moved -= piece.offset
        # Without its mean, a result times an input is as exact as with inputs that have none.
        wanted = by_block(moved, len(own)) - system.mean_result[:, None].astype(np.float32)
        products = np.matmul(piece.inputs.transpose(0, 2, 1), wanted)
        return missed, products, wanted.sum(axis=1, dtype=np.float64), wanted.shape[1]

    last = np.inf
    for _ in range(_ROUNDS):
        count, error = 0, 0.0
        crossed = np.zeros_like(weights)
        summed = np.zeros_like(bias)
        own = weights.astype(np.float32)
        for missed, products, wanted_sum, rows in side_by_side("rows", part, pieces(), _AT_ONCE):
            error += missed
            crossed += products
            summed += wanted_sum
            count += rows
        if error > last * (1 - _SETTLED):
            break
        last = error
        summed /= count
        better = system.solve_again(crossed / count - system.mean[:, :, None] * summed[:, None, :])
        better_bias = system.mean_result + summed - np.einsum("bi,bio->bo", system.mean, better)
        weights = weights + _STEP * (better - weights)
        bias = bias + _STEP * (better_bias - bias)
    return weights, bias


def _solve_few(rows: FewRows, prior: Float64, bias: Float64, gate: Gate) -> Solution:
    """The same where there are fewer rows than columns."""
    error = rows.error(bias.reshape(len(prior), -1))
    if error < _RIGHT:
        return Solution(prior, bias, None, error)
    edge = rows.count - rows.count // _HELD_BACK
    best = _RIDGES[_FIRST]
    if edge < rows.count:
        best = min(_RIDGES, key=lambda ridge: rows.held_back_error(ridge, edge))
    weights, bias, error = rows.solve(best, gate, rounds=_ROUNDS, settled=_SETTLED, step=_STEP)
    return Solution(weights, bias.reshape(-1), best, error)
