"""How many rows of a node are looked at."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.calibration.row_choice import choose_rows, enough_rows


@pytest.mark.parametrize(
    ("width", "blocks", "rows"),
    [(27, 1, 16384), (1152, 1, 18432), (2304, 1, 24576), (4608, 1, 21845), (25, 1152, 3495)],
)
def test_rows_grow_with_their_length_until_they_take_too_much(width: int, blocks: int, rows: int) -> None:
    assert enough_rows(width, blocks) == rows


def test_rows_are_spread_over_batches() -> None:
    random = np.random.default_rng(0)
    assert choose_rows(10, 100, 10, random) is None
    chosen = choose_rows(1000, 100, 10, random)
    assert chosen is not None and len(chosen) == 10
    assert (np.diff(chosen) > 0).all() and chosen.max() < 1000
