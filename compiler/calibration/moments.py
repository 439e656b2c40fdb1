"""Second moments of rows and results, gathered batch by batch: all that linear least squares needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from vggc.graph.arrays import Float64, Floats


class Moments:
    """Sums over rows x and results y: of x, y, x x', x y' and y y (by output), in `blocks` independent problems.

    x are (blocks, rows, width), y (rows, blocks * outputs). Sums of products run in float32 within a batch, after an
    estimate of the mean has been taken away, and in float64 between batches.
    """

    def __init__(self) -> None:
        self.count = 0
        self._shift: Floats | None = None
        self._x: Any = 0.0
        self._y: Any = 0.0
        self._xx: Any = 0.0
        self._xy: Any = 0.0
        self._yy: Any = 0.0

    def add(self, x: Floats, y: Floats) -> None:
        """Take in more rows: x (blocks, rows, width), y (rows, blocks * outputs)."""
        if not x.shape[1]:
            return
        if self._shift is None:
            self._shift = x.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
        x = x - self._shift
        apart = _apart(y, len(x))
        self.count += x.shape[1]
        self._x += x.sum(axis=1, dtype=np.float64)
        self._y += apart.sum(axis=1, dtype=np.float64)
        self._xx += _gram(x)
        self._xy += np.matmul(x.transpose(0, 2, 1), apart)
        self._yy += np.square(apart, dtype=np.float64).sum(axis=1)

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets of rows."""
        if not self.count or not other.count:
            return self if self.count else other
        total = Moments()
        total.count = self.count + other.count
        total._shift = self._shift
        moved = other._moved(self._shift)
        for name in ("_x", "_y", "_xx", "_xy", "_yy"):
            setattr(total, name, getattr(self, name) + getattr(moved, name))
        return total

    def _moved(self, shift: Any) -> Moments:
        """The same with another estimate of the mean taken away."""
        by = (self._shift - shift)[:, 0].astype(np.float64)
        twin = Moments()
        twin.count, twin._shift, twin._y, twin._yy = self.count, shift, self._y, self._yy
        twin._x = self._x + self.count * by
        cross = self._x[:, :, None] * by[:, None, :]
        twin._xx = self._xx + cross + cross.transpose(0, 2, 1) + self.count * by[:, :, None] * by[:, None, :]
        twin._xy = self._xy + by[:, :, None] * self._y[:, None, :]
        return twin

    @property
    def mean(self) -> Float64:
        """Of x, (blocks, width)."""
        assert self._shift is not None
        return np.asarray(self._shift[:, 0] + self._x / self.count)

    @property
    def mean_result(self) -> Float64:
        """Of y, (blocks, outputs)."""
        return np.asarray(self._y / self.count)

    @property
    def covariance(self) -> Float64:
        """Of x with itself, (blocks, width, width)."""
        x = self._x / self.count
        return np.asarray(self._xx / self.count - x[:, :, None] * x[:, None, :])

    @property
    def cross(self) -> Float64:
        """Of x with y, (blocks, width, outputs)."""
        return np.asarray(self._xy / self.count - (self._x / self.count)[:, :, None] * self.mean_result[:, None, :])

    @property
    def variance(self) -> Float64:
        """Of y, (blocks, outputs)."""
        return np.asarray(np.maximum(self._yy / self.count - np.square(self.mean_result), 0.0))


def _apart(y: Floats, blocks: int) -> Floats:
    """(rows, blocks * outputs) as (blocks, rows, outputs)."""
    return y.reshape(len(y), blocks, -1).transpose(1, 0, 2)


def _gram(x: Floats) -> Floats:
    # Of one matrix times its own transpose numpy computes half only.
    return np.asarray((x[0].T @ x[0])[None] if len(x) == 1 else np.matmul(x.transpose(0, 2, 1), x))
