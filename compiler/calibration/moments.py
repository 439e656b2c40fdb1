"""Second moments of rows and results, gathered batch by batch: all that linear least squares needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from vggc.calibration.batch_rows import by_block
from vggc.execution.products import large_product
from vggc.graph.arrays import Float64, Floats


class Moments:
    """Sums over rows x and results y: of x, y, x x', x y' and y y (by output), in `blocks` independent problems.

    x are (blocks, rows, width), y (rows, blocks * outputs). Sums of products run in float32 within a batch, after an
    estimate of the mean has been taken away, and in float64 between batches. `compact` moments sum x x' in float32
    there too: half the memory, where many are held at a time and seven digits are enough.
    """

    def __init__(self, *, compact: bool = False) -> None:
        self.count = 0
        self._compact = compact
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
        apart = by_block(y, len(x))
        self.count += x.shape[1]
        self._x += x.sum(axis=1, dtype=np.float64)
        self._y += apart.sum(axis=1, dtype=np.float64)
        products = gram(x)
        if isinstance(self._xx, float):
            self._xx = np.zeros(products.shape, np.float32 if self._compact else np.float64)
        self._xx += products
        self._xy += np.matmul(x.transpose(0, 2, 1), apart)
        self._yy += np.square(apart, dtype=np.float64).sum(axis=1)

    def absorb(self, other: Moments) -> None:
        """Take in the rows of others, which are of no use afterwards: in place, for the products can be large."""
        if not other.count:
            return
        if not self.count:
            vars(self).update(vars(other))
            return
        assert self._shift is not None and other._shift is not None
        # The same sums with this estimate of the mean taken away.
        by = (other._shift - self._shift)[:, 0].astype(np.float64)
        _add_outer(other._xx, other._x, by)
        _add_outer(other._xx, by, other._x + other.count * by)
        other._xy += by[:, :, None] * other._y[:, None, :]
        other._x += other.count * by
        self.count += other.count
        for name in ("_x", "_y", "_xx", "_xy", "_yy"):
            total = getattr(self, name)
            total += getattr(other, name)

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
        """Of x with itself, (blocks, width, width); computed anew each time, for it can be large."""
        x = self._x / self.count
        found = np.asarray(self._xx / self.count, np.float64)
        _add_outer(found, -x, x)
        return found

    def explained(self, weights: Float64) -> Float64:
        """The covariance of x with x times weights (blocks, width, outputs); a large covariance is not formed."""
        x = self._x / self.count
        return np.asarray(
            self._xx @ weights / self.count - x[:, :, None] * np.einsum("bi,bio->bo", x, weights)[:, None]
        )

    @property
    def cross(self) -> Float64:
        """Of x with y, (blocks, width, outputs)."""
        return np.asarray(self._xy / self.count - (self._x / self.count)[:, :, None] * self.mean_result[:, None, :])

    @property
    def variance(self) -> Float64:
        """Of y, (blocks, outputs)."""
        return np.asarray(np.maximum(self._yy / self.count - np.square(self.mean_result), 0.0))


_ROWS = 256


def _add_outer(matrices: Floats, first: Float64, second: Float64) -> None:
    """Add first second' to matrices (blocks, width, width) in place, some rows at a time."""
    for start in range(0, matrices.shape[1], _ROWS):
        rows = slice(start, start + _ROWS)
        matrices[:, rows] += first[:, rows, None] * second[:, None, :]


def gram(x: Floats) -> Floats:
    """The products of columns with columns, (blocks, width, width), of rows (blocks, rows, width)."""
    # Of one matrix times its own transpose numpy computes half only.
    with large_product(x.size * x.shape[2] / (2 if len(x) == 1 else 1)):
        return np.asarray((x[0].T @ x[0])[None] if len(x) == 1 else np.matmul(x.transpose(0, 2, 1), x))
