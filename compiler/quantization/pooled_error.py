"""How much an error of a value does harm further on."""

from __future__ import annotations

import numpy as np

from vggc.graph.arrays import Floats

LARGEST_WINDOW = 16


def pooled_error(error: Floats) -> Floats:
    """The squared error of each channel of (samples, channels, ...), as what reads it sees it: (channels,) in float64.

    Operators further on sum over neighbourhoods. There errors of one sign add up and others cancel out; so the mean
    square is taken of averages over windows of 1, 2, 4, ... positions along each axis, each weighted such that errors
    independent from position to position would count the same at each size.
    """
    total = np.zeros(error.shape[1])
    weight = 1.0
    window = 1
    while True:
        count = error.size // error.shape[1]
        flat = np.moveaxis(error, 1, 0).reshape(error.shape[1], -1)
        total += weight * np.einsum("ij,ij->i", flat, flat) / max(count, 1)
        window *= 2
        spatial = error.shape[2:]
        if not spatial or min(spatial) < 2 or window > LARGEST_WINDOW:
            return total
        for axis in range(2, error.ndim):
            error = _halved(error, axis)
        weight *= 2.0 ** (len(spatial) / 2)


def _halved(values: Floats, axis: int) -> Floats:
    """Averages of neighbours along an axis; what has no neighbour is left out."""
    size = values.shape[axis] // 2 * 2
    before = (slice(None),) * axis
    found = values[(*before, slice(0, size, 2))] + values[(*before, slice(1, size, 2))]
    found *= np.float32(0.5)
    return found


def channels_second(values: Floats, *, last: bool = False) -> Floats:
    """An array, whose channels lie along axis 1 or along its last one, as (samples, channels, ...).

    An array of one axis has one channel, or with `last` one sample.
    """
    if values.ndim < 2:
        return values.reshape((1, -1) if last else (-1, 1))
    return np.moveaxis(values, -1, 1) if last and values.ndim > 2 else values
