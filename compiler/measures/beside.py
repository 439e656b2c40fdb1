"""Two streams of arrays over the same samples, cut into pieces of the same samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vggc.graph.arrays import Array


def beside(first: Iterator[Array], second: Iterator[Array]) -> Iterator[tuple[Array, Array]]:
    """Pairs (samples, ...) of the same samples, until one stream ends; both may come in pieces of any size.

    Two models may have different fixed batch sizes, and data comes in other pieces than the outputs for it.
    """
    one = other = np.zeros(0)
    while True:
        one = one if len(one) else next(first, one)
        other = other if len(other) else next(second, other)
        count = min(len(one), len(other))
        if not count:
            return
        yield one[:count], other[:count]
        one, other = one[count:], other[count:]
