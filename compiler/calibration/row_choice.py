"""How many rows of a node say enough of its inputs, and which."""

from __future__ import annotations

import numpy as np

from vggc.graph.arrays import Int64

_FEWEST, _MOST = 16384, 40960
_PER_COLUMN = 32
"""Rows for each column. Rows of one image are alike, so that more of them add little; more images would."""


def enough_rows(width: int) -> int:
    """About how many rows to look at, over all samples, to know the covariance of rows of this length."""
    return int(np.clip(_PER_COLUMN * width, _FEWEST, _MOST))


def choose_rows(count: int, total: int, batches: int, random: np.random.Generator) -> Int64 | None:
    """Which of the `count` rows of a batch to look at, when about `total` of all batches are enough.

    Their indices (rows,), rising; None for all.
    """
    wanted = -(-total // batches)
    return None if count <= wanted else np.sort(random.choice(count, wanted, replace=False))
