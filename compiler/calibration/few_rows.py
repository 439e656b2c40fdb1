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

from vggc.calibration.batch_rows import BatchRows
from vggc.calibration.matrix import Unsuitable
from vggc.graph.arrays import Float64, Floats

Gate = tuple[float, float]


class FewRows:
    """Some rows, centred and scaled, and their products with each other, for weights near `prior`.

    `prior` is (blocks, width, outputs).
    """

    def __init__(self, batches: Sequence[BatchRows], prior: Float64) -> None:
        inputs = np.concatenate([each.inputs for each in batches], axis=1)
        self._blocks, self.count = inputs.shape[:2]
        self._mean = inputs.mean(axis=1, dtype=np.float64)
        rows = inputs - self._mean[:, None].astype(np.float32)
        deviations = np.sqrt(np.square(rows).mean(axis=1, dtype=np.float64))
        level = deviations.mean(axis=1, keepdims=True)
        if not (np.isfinite(level).all() and (level > 0).all()):
            raise Unsuitable("its inputs are the same on all samples")
        self._scale = np.maximum(deviations, _FLOOR * level)
        self._rows = rows / self._scale[:, None].astype(np.float32)
        self._products = np.matmul(self._rows, self._rows.transpose(0, 2, 1)).astype(np.float64)
        self._prior = prior
        self._expected = np.matmul(rows, prior.astype(np.float32)).astype(np.float64)
        self._target = np.concatenate([each.target for each in batches])
        offsets = [each.offset for each in batches if each.offset is not None]
        self._offset = np.concatenate(offsets) if offsets else np.float32(0)
        self._inverse: Float64 | None = None

    @property
    def wanted(self) -> Float64:
        """What the products should be, (blocks, rows, outputs)."""
        return self._apart(self._target - self._offset)

    def error(self, bias: Float64) -> float:
        """The squared error of the weights there are with a bias (blocks, outputs), as share of the variance."""
        wanted = self.wanted
        shift = np.einsum("bi,bio->bo", self._mean, self._prior) + bias
        missed = wanted - self._expected - shift[:, None]
        return float(np.square(missed).sum() / max(float(wanted.var(axis=1).sum()) * self.count, 1e-30))

    def held_back_error(self, ridge: float, edge: int) -> float:
        """The squared error on the rows from `edge` on, of weights solved on those before it."""
        wanted = self.wanted
        mean = wanted[:, :edge].mean(axis=1, keepdims=True)
        missed = wanted - mean - self._expected
        solved = np.linalg.solve(self._matrix(edge, ridge), missed[:, :edge])
        return float(np.square(missed[:, edge:] - self._products[:, edge:, :edge] @ solved).sum())

    def solve(self, ridge: float, gate: Gate, rounds: int, settled: float) -> tuple[Float64, Float64, float]:
        """Weights (blocks, width, outputs), bias (blocks, outputs), and the squared error as share of the variance.

        Behind an activation with limits, targets beyond a limit move to where the prediction is, up to `rounds` times,
        until the error falls by a smaller share than `settled`.
        """
        inverse = np.asarray(np.linalg.inv(self._matrix(self.count, ridge)), np.float64)
        wanted, last = self.wanted, np.inf
        while True:
            mean = wanted.mean(axis=1)
            duals = inverse @ (wanted - mean[:, None] - self._expected)
            reached = self._expected + self._products @ duals + mean[:, None]
            rounds -= 1
            error = self._behind(reached, gate)
            if rounds < 0 or not np.isfinite(gate).any() or error > last * (1 - settled):
                break
            last = error
            wanted = self._moved(reached, gate)
        change = np.matmul(self._rows.transpose(0, 2, 1), duals.astype(np.float32)) / self._scale[:, :, None]
        weights = self._prior + change
        bias = mean - np.einsum("bi,bio->bo", self._mean, weights)
        variance = max(float(self.wanted.var(axis=1).sum()) * self.count, 1e-30)
        return weights, bias, float(np.square(self.wanted - reached).sum()) / variance

    def _matrix(self, rows: int, ridge: float) -> Float64:
        # Where rows are much longer than there are of them, a ridge is weak beside their products: it grows with both.
        strength = ridge * max(rows, self._rows.shape[2])
        return np.asarray(self._products[:, :rows, :rows] + strength * np.eye(rows))

    def _behind(self, reached: Float64, gate: Gate) -> float:
        """The squared error of results behind the activation."""
        target = np.clip(self._apart(self._target), *gate)
        return float(np.square(np.clip(reached + self._apart(self._offset), *gate) - target).sum())

    def _moved(self, reached: Float64, gate: Gate) -> Float64:
        """What the products should be, where a result beyond the same limit as the target will do."""
        low, high = gate
        target, offset = self._apart(self._target), self._apart(self._offset)
        total = reached + offset
        moved = np.where(target <= low, np.minimum(total, low), target)
        return np.where(target >= high, np.maximum(total, high), moved) - offset

    def _apart(self, results: Floats | np.float32) -> Float64:
        """(rows, blocks * outputs) as (blocks, rows, outputs)."""
        whole = np.broadcast_to(results, self._target.shape).astype(np.float64)
        return whole.reshape(self.count, self._blocks, -1).transpose(1, 0, 2)


_FLOOR = 1e-3
"""Inputs whose deviation is below this share of the mean one count as if they had that much."""
