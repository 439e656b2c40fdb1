"""How many rows of a node say enough of its inputs, and which."""

from __future__ import annotations

import numpy as np

from vggc.graph.arrays import Int64

_FEWEST, _MOST = 16384, 24576
_PER_COLUMN = 16
"""Rows for each column. Rows of one image are alike, so that more of them add little; more images would."""

_BYTES = 384 << 20
"""What the rows of all blocks may take: they are then kept in memory instead of being cut out again."""

_LEAST, _LEAST_PER_COLUMN = 1024, 4
"""Rows that there are in any case."""


def enough_rows(width: int, blocks: int = 1) -> int:
    """About how many rows to look at, over all samples, to know the covariances of rows (blocks, rows, width)."""
    wanted = int(np.clip(_PER_COLUMN * width, _FEWEST, _MOST))
    return min(wanted, max(_BYTES // (4 * blocks * width), _LEAST + _LEAST_PER_COLUMN * width))


def choose_rows(count: int, total: int, batches: int, random: np.random.Generator) -> Int64 | None:
    """Which of the `count` rows of a batch to look at, when about `total` of all batches are enough.

    Their indices (rows,), rising; None for all.
    """
    wanted = -(-total // batches)
    return None if count <= wanted else np.sort(random.choice(count, wanted, replace=False, shuffle=False))
