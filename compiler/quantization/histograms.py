"""A histogram of a stream of numbers, in bounded memory and one pass."""

from __future__ import annotations

import numpy as np

from vggc.graph.arrays import Array, Float64, Int64

BINS = 4096
"""On each side of zero. The range doubles when larger numbers come, and then neighbouring bins become one."""


class Histogram:
    """How often numbers were seen, by size: bins of one width on both sides of zero.

    low, high  the smallest and the largest number
    """

    def __init__(self) -> None:
        self.low = np.inf
        self.high = -np.inf
        self.count = 0
        self._reach = 0.0
        self._bins: Int64 = np.zeros(2 * BINS, np.int64)

    def add(self, values: Array) -> None:
        """Count more numbers, in any shape. They must be finite."""
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.count += values.size
        largest = max(abs(low), abs(high))
        if not self._reach:
            # Whole powers of two: what a run sees first changes nothing of where the bins are.
            self._reach = 2.0 ** np.ceil(np.log2(largest)) if largest else 0.0
            if not largest:
                self._bins[BINS] += values.size
                return
        while largest > self._reach:
            self._double()
        places = np.floor(np.asarray(values, np.float32).ravel() * np.float32(BINS / self._reach)).astype(np.int32)
        np.clip(places, -BINS, BINS - 1, out=places)
        self._bins += np.bincount(places + BINS, minlength=2 * BINS)

    def _double(self) -> None:
        halves = self._bins.reshape(-1, 2).sum(axis=1)
        self._bins[:] = 0
        self._bins[BINS // 2 : BINS // 2 + BINS] = halves
        self._reach *= 2

    @property
    def bound(self) -> float:
        """The largest magnitude."""
        return max(abs(self.low), abs(self.high)) if self.count else 0.0

    @property
    def width(self) -> float:
        """Of a bin."""
        return self._reach / BINS

    def magnitudes(self) -> Int64:
        """How many numbers have a magnitude in each bin from 0 up, sign disregarded: (BINS,)."""
        return self._bins[BINS:] + self._bins[:BINS][::-1]

    def signed(self) -> tuple[Float64, Int64]:
        """The middles of the bins that hold something, (bins,), and how much they hold, (bins,)."""
        middles: Float64 = np.asarray((np.arange(-BINS, BINS) + 0.5) * self.width, np.float64)
        used = self._bins > 0
        return middles[used], self._bins[used]
