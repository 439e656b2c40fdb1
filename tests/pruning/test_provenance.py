"""Lists of channels as the model's metadata hold them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vggc.pruning.provenance import parse, written


@given(st.sets(st.integers(0, 60)).map(sorted).filter(bool))
def test_lists_of_channels_are_written_and_read(numbers):
    assert parse(written(numbers)) == numbers


def test_lists_of_channels_are_ranges():
    assert written([0, 1, 2, 3, 7, 12, 13]) == "0-3, 7, 12-13"
