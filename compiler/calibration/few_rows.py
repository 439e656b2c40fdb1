"""Least squares for one node where there are fewer rows than columns: by products of rows with rows.

It is the same problem as that of least_squares.py, whose ridge pulls each weight by the variance of its input. With X
the rows, divided by their deviations, and M what the weights there are miss, the change of the weights is

    (X'X + n r I)^-1 X'M = X' (XX' + n r I)^-1 M,

and of the two matrices the second is the smaller one (Saunders, Gammerman, Vovk: Ridge regression learning algorithm in
dual variables, 1998).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vggc.calibration.batch_rows import BatchRows, Gate, by_block, joined, reachable
from vggc.calibration.matrix import Unsuitable
from vggc.graph.arrays import Float64

_FLOOR = 1e-3
"""Inputs whose deviation is below this share of the mean one count as if they had that much."""


class FewRows:
    """Some rows, centred and scaled, and their products with each other, for weights near `prior`.

    `prior` is (blocks, width, outputs).
    """

    def __init__(self, batches: Sequence[BatchRows], prior: Float64) -> None:
        given = joined(batches)
        blocks, self.count = given.inputs.shape[:2]
        self._mean = given.inputs.mean(axis=1, dtype=np.float64)
        # In place, for `given` is a copy of its own and may take hundreds of megabytes.
        rows = given.inputs
        rows -= self._mean[:, None].astype(np.float32)
        deviations = np.sqrt(np.einsum("bri,bri->bi", rows, rows, dtype=np.float64) / self.count)
        level = deviations.mean(axis=1, keepdims=True)
        if not (np.isfinite(level).all() and (level > 0).all()):
            raise Unsuitable("its inputs are the same on all samples")
        self._scale = np.maximum(deviations, _FLOOR * level)
        self._prior = prior
        self._expected = np.matmul(rows, prior.astype(np.float32)).astype(np.float64)
        rows /= self._scale[:, None].astype(np.float32)
        self._rows = rows
        self._products = np.matmul(rows, rows.transpose(0, 2, 1)).astype(np.float64)
        # Each (blocks, rows, outputs): what comes out in the end, and what the product itself should be.
        self._target = by_block(given.target.astype(np.float64), blocks)
        self._wanted = by_block(given.wanted.astype(np.float64), blocks)

    def error(self, bias: Float64) -> float:
        """The squared error of the weights there are with a bias (blocks, outputs), as share of the variance."""
        shift = np.einsum("bi,bio->bo", self._mean, self._prior) + bias
        return self._share(self._wanted - self._expected - shift[:, None])

    def held_back_error(self, ridge: float, edge: int) -> float:
        """The squared error on the rows from `edge` on, of weights solved on those before it."""
        mean = self._wanted[:, :edge].mean(axis=1, keepdims=True)
        missed = self._wanted - mean - self._expected
        solved = np.linalg.solve(self._matrix(edge, ridge), missed[:, :edge])
        return float(np.square(missed[:, edge:] - self._products[:, edge:, :edge] @ solved).sum())

    def solve(
        self, ridge: float, gate: Gate, *, rounds: int, settled: float, step: float
    ) -> tuple[Float64, Float64, float]:
        """Weights (blocks, width, outputs), bias (blocks, outputs), and the squared error as share of the variance.

        Behind an activation with limits, targets beyond a limit move to where the prediction is, up to `rounds` times,
        until the error falls by a smaller share than `settled`. Each time the solution goes `step` times the way to the
        new one.
        """
        inverse = np.asarray(np.linalg.inv(self._matrix(self.count, ridge)), np.float64)
        offset = self._target - self._wanted
        mean = self._wanted.mean(axis=1)
        duals = inverse @ (self._wanted - mean[:, None] - self._expected)
        last = np.inf
        while True:
            reached = self._expected + self._products @ duals + mean[:, None]
            rounds -= 1
            wanted, error = reachable(self._target, reached + offset, gate)
            if rounds < 0 or not np.isfinite(gate).any() or error > last * (1 - settled):
                break
            last = error
            wanted -= offset
            better = wanted.mean(axis=1)
            duals += step * (inverse @ (wanted - better[:, None] - self._expected) - duals)
            mean += step * (better - mean)
        change = np.matmul(self._rows.transpose(0, 2, 1), duals.astype(np.float32))
        change /= self._scale[:, :, None].astype(np.float32)
        weights = self._prior + change
        bias = mean - np.einsum("bi,bio->bo", self._mean, weights)
        return weights, bias, self._share(self._wanted - reached)

    def _share(self, missed: Float64) -> float:
        """Errors (blocks, rows, outputs), squared and summed, as share of the variance of what is wanted."""
        variance = max(float(self._wanted.var(axis=1).sum()) * self.count, 1e-30)
        return float(np.square(missed).sum() / variance)

    def _matrix(self, rows: int, ridge: float) -> Float64:
        # Where rows are much longer than there are of them, a ridge is weak beside their products: it grows with both.
        strength = ridge * max(rows, self._rows.shape[2])
        return np.asarray(self._products[:, :rows, :rows] + strength * np.eye(rows))
