"""Which atoms stay: the best ones that blocks and covers allow."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggc.analysis.channels.axes import components
from vggc.analysis.channels.block_choice import choose, count, steps
from vggc.analysis.channels.group import Group


def group(size, *, families=(), pinned=(), covers=()):
    arrays = [tuple(np.array(block) for block in family) for family in families]
    must = np.array(pinned, np.int64)
    return Group(0, size, "", None, must, None, tuple(arrays), tuple(np.array(each) for each in covers))


def crossing(blocks, size):
    """The blocks of a grouped convolution before a shuffle, and of the one behind it."""
    places = np.arange(size).reshape(blocks, -1)
    return tuple(places), tuple(places.T.reshape(blocks, -1))


def test_the_best_ones_stay():
    assert list(group(6).best(np.array([3, 1, 5, 0, 4, 2]), 3)) == [0, 2, 4]


def test_what_must_stay_stays():
    assert list(group(6, pinned=[3], covers=[[1, 5]]).best(np.array([3, 1, 5, 0, 4, 2]), 3)) == [2, 3, 5]
    assert group(6, pinned=[3], covers=[[1, 5]]).fewest == 2


@given(st.integers(2, 5), st.integers(1, 7), st.integers(0, 10**6), st.data())
@settings(max_examples=60)
def test_blocks_that_cut_across_each_other_come_out_even(blocks, width, seed, data):
    families = crossing(blocks, blocks * width)
    scores = np.random.default_rng(seed).normal(size=blocks * width)
    step = data.draw(st.integers(1, steps(blocks * width, families)))
    kept = choose(scores, families, step)
    assert len(kept) == count(blocks * width, step, steps(blocks * width, families))
    for family in families:
        assert len({int(np.isin(block, kept).sum()) for block in family}) == 1


@pytest.mark.parametrize("seed", range(6))
def test_the_choice_across_blocks_is_the_best(seed):
    families = crossing(3, 9)
    scores = np.random.default_rng(seed).normal(size=9)

    def is_even(atoms):
        return all(len({int(np.isin(block, atoms).sum()) for block in family}) == 1 for family in families)

    best = max(scores[list(each)].sum() for each in combinations(range(9), 6) if is_even(each))
    assert scores[choose(scores, families, 2)].sum() == pytest.approx(best)


def test_blocks_that_do_not_cover_everything():
    atoms = group(10, families=[[[0, 1, 2], [3, 4, 5]]])
    assert atoms.counts == [3, 7, 10]
    kept = atoms.best(np.arange(10.0), 4)
    assert list(kept) == [1, 2, 4, 5, 7, 8, 9]
    assert atoms.fault([0, 3, 9]) is None
    assert atoms.fault([0, 9]) == "the blocks of a grouped convolution keep different counts"


@pytest.mark.parametrize("kept", [[], [0, 0], [-1], [6]])
def test_nonsense_is_refused(kept):
    assert group(6).fault(kept) == "the kept atoms are not some of the 6, each once"


@pytest.mark.parametrize("scores", [np.zeros(5), np.array([0, 1, 2, 3, 4, np.nan])])
def test_scores_must_be_numbers_one_for_each(scores):
    with pytest.raises(ValueError, match="one finite score for each of its 6 atoms"):
        group(6).best(scores, 3)


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_components_are_what_a_search_finds(edges):
    label = components(30, [one for one, _ in edges], [other for _, other in edges])
    reached = {each: {each} for each in range(30)}
    for one, other in edges * 30:
        reached[one] |= reached[other]
        reached[other] |= reached[one]
    assert [min(reached[each]) for each in range(30)] == list(label)
