"""A pair of bounds, and arithmetic with it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vggc.graph.arrays import Bools, Float64


class Range(NamedTuple):
    """low <= value <= high, element by element: arrays that broadcast to the value's shape.

    (1, C, 1, 1) where the channels of an image have bounds of their own, () where one pair holds for everything. The
    bounds are not widened for rounding in the model's own type: they are true up to that.
    """

    low: Float64
    high: Float64

    @property
    def is_constant(self) -> Bools:
        """Where only one number is possible, in the shape of the bounds."""
        return np.asarray((self.low == self.high) & np.isfinite(self.low))

    def hull(self, axes: tuple[int, ...] | None = None) -> Range:
        """One pair for all positions along some axes, which become 1 long; without `axes` one for everything."""
        if not self.low.size:
            return UNBOUNDED
        keeps = axes is not None
        return Range(
            np.asarray(self.low.min(axis=axes, keepdims=keeps)), np.asarray(self.high.max(axis=axes, keepdims=keeps))
        )

    def ordered(self) -> Range:
        """Without NaN: where one bound is none, nothing is known."""
        wrong = np.isnan(self.low) | np.isnan(self.high)
        return Range(np.where(wrong, -np.inf, self.low), np.where(wrong, np.inf, self.high))


UNBOUNDED = Range(np.asarray(-np.inf), np.asarray(np.inf))


def plus(one: Range, other: Range) -> Range:
    return Range(one.low + other.low, one.high + other.high)


def times(one: Range, other: Range) -> Range:
    products = np.stack(np.broadcast_arrays(*(a * b for a in one for b in other)))
    # Zero times a number without bounds is zero: numbers are finite.
    products = np.where(np.isnan(products), 0.0, products)
    return Range(products.min(axis=0), products.max(axis=0))


def along_axis(found: Range, rank: int, axis: int) -> Range:
    shape = [-1 if at == axis else 1 for at in range(rank)]
    return Range(found.low.reshape(shape), found.high.reshape(shape))
