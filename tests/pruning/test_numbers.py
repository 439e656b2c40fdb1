"""The numerical core of pruning beside plain least squares: moments, elimination, fitting, thinning."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggc.calibration import least_squares
from vggc.calibration.least_squares import Piece, solve
from vggc.calibration.matrix import Unsuitable
from vggc.calibration.moments import Moments
from vggc.calibration.spill import Spill
from vggc.pruning.elimination import Problem, by_scores, eliminate, remaining
from vggc.pruning.provenance import parse, written

OPEN = (-np.inf, np.inf)


def correlated(random, rows, width, blocks=1, mean=1.0):
    """Rows whose columns go together, (blocks, rows, width)."""
    mixing = 0.4 * random.normal(size=(blocks, width, width)) / np.sqrt(width) + np.eye(width)
    return (random.normal(size=(blocks, rows, width)) @ mixing + mean).astype(np.float32)


# --- moments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [1, 3])
def test_moments_of_batches_are_those_of_all_rows(blocks):
    random = np.random.default_rng(0)
    x, y = correlated(random, 50, 4, blocks, mean=100.0), random.normal(5.0, size=(50, blocks * 2)).astype(np.float32)
    first, second = Moments(), Moments()
    for part in (slice(0, 7), slice(7, 20)):
        first.add(x[:, part], y[part])
    second.add(x[:, 20:], y[20:])
    found = first + second
    apart = y.reshape(50, blocks, 2).transpose(1, 0, 2).astype(np.float64)
    for block in range(blocks):
        both = np.cov(np.hstack([x[block], apart[block]]).astype(np.float64), rowvar=False, bias=True)
        np.testing.assert_allclose(found.mean[block], x[block].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found.mean_result[block], apart[block].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found.covariance[block], both[:4, :4], atol=1e-4)
        np.testing.assert_allclose(found.cross[block], both[:4, 4:], atol=1e-4)
        np.testing.assert_allclose(found.variance[block], np.diag(both)[4:], atol=1e-4)


def test_moments_of_no_rows_add_nothing():
    full, empty = Moments(), Moments()
    full.add(np.ones((1, 2, 3), np.float32), np.ones((2, 1), np.float32))
    empty.add(np.ones((1, 0, 3), np.float32), np.ones((0, 1), np.float32))
    assert (full + empty).count == (empty + full).count == 2


# --- elimination -------------------------------------------------------------------------------------------


def best_loss(problem, kept):
    """The least squared error with some inputs left, over the ridge that elimination uses."""
    covariance = problem.covariance + 1e-3 * np.trace(problem.covariance) / len(problem.covariance) * np.eye(
        len(problem.covariance)
    )
    difference = remaining(problem, kept) - problem.weights
    return float((difference * (covariance @ difference)).sum())


def problem_of(random, atoms, outputs=3):
    x = correlated(random, 200, len(atoms))[0].astype(np.float64)
    return Problem(np.cov(x, rowvar=False), random.normal(size=(len(atoms), outputs)), np.array(atoms))


@pytest.mark.parametrize("seed", range(4))
def test_losses_are_those_of_the_best_repair(seed):
    random = np.random.default_rng(seed)
    problems = [problem_of(random, [0, 0, 1, 1, 2, 2, -1]), problem_of(random, [2, 0, 1, 3], outputs=9)]
    found = eliminate(4, problems)
    assert sorted(found.order) == [0, 1, 2, 3]
    assert found.losses[0] == 0
    for gone in range(1, 4):
        kept = np.sort(found.order[gone:])
        assert found.losses[gone] == pytest.approx(sum(best_loss(each, kept) for each in problems), rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_the_first_to_go_is_the_best_one(seed):
    random = np.random.default_rng(seed)
    problems = [problem_of(random, list(range(6)))]
    found = eliminate(6, problems)
    losses = {out: best_loss(problems[0], np.setdiff1d(np.arange(6), [out])) for out in range(6)}
    assert found.order[0] == min(losses, key=losses.get)
    # Going one by one is near the best choice of three, and never better than it.
    best = min(best_loss(problems[0], np.array(kept)) for kept in combinations(range(6), 3))
    assert best * (1 - 1e-3) <= found.losses[3] <= 2.5 * best


def test_what_another_input_can_replace_costs_nothing():
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 3))
    x = np.hstack([x, x[:, :1] - x[:, 1:2]])
    problem = Problem(np.cov(x, rowvar=False), random.normal(size=(4, 5)), np.arange(4))
    found = eliminate(4, [problem])
    assert found.losses[1] < 0.01 * found.losses[2]


def test_costs_that_nothing_repairs_count():
    random = np.random.default_rng(0)
    problems = [problem_of(random, [0, 1, 2])]
    assert eliminate(3, problems, np.array([1e6, 0, 1e6])).order[0] == 1


def test_many_atoms_go_several_at_a_time():
    random = np.random.default_rng(0)
    found = eliminate(200, [problem_of(random, list(range(200)), outputs=4)])
    assert sorted(found.order) == list(range(200))
    assert len(found.losses) == 200
    assert (np.diff(found.losses) >= 0).all()


def test_scores_as_an_order():
    found = by_scores(np.array([3.0, 1.0, 2.0]))
    assert list(found.order) == [1, 2, 0]
    assert list(found.losses) == [0, 1, 3]
    assert list(found.scores) == [2, 0, 1]


# --- fitting -----------------------------------------------------------------------------------------------


def pieces_of(x, target, offset=None, size=64):
    def pieces():
        for at in range(0, x.shape[1], size):
            part = slice(at, at + size)
            yield Piece(x[:, part], None if offset is None else offset[part], target[part])

    return pieces


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("wide", [False, True])
def test_the_weights_that_made_the_results_are_found(monkeypatch, blocks, wide):
    if wide:
        monkeypatch.setattr(least_squares, "WIDEST", 3)
    random = np.random.default_rng(0)
    x = correlated(random, 600, 8, blocks)
    weights, bias = random.normal(size=(blocks, 8, 3)), random.normal(size=blocks * 3)
    target = (x @ weights).transpose(1, 0, 2).reshape(600, -1) + bias
    prior = weights + 0.3 * random.normal(size=weights.shape)
    found = solve(pieces_of(x, target.astype(np.float32)), prior, np.zeros(blocks * 3), OPEN)
    np.testing.assert_allclose(found.weights, weights, atol=2e-3)
    np.testing.assert_allclose(found.bias, bias, atol=1e-2)
    assert found.error < 1e-4


def test_what_is_added_to_the_results_counts():
    random = np.random.default_rng(0)
    x = correlated(random, 400, 5)
    weights = random.normal(size=(1, 5, 2))
    offset = random.normal(size=(400, 2)).astype(np.float32)
    target = (x[0] @ weights[0] + offset + 1).astype(np.float32)
    found = solve(pieces_of(x, target, offset), np.zeros_like(weights), np.zeros(2), OPEN)
    np.testing.assert_allclose(found.weights, weights, atol=2e-3)
    np.testing.assert_allclose(found.bias, [1, 1], atol=1e-2)


def test_weights_that_are_right_are_returned():
    random = np.random.default_rng(0)
    x = correlated(random, 300, 6)
    weights, bias = random.normal(size=(1, 6, 4)), random.normal(size=4)
    found = solve(pieces_of(x, (x[0] @ weights[0] + bias).astype(np.float32)), weights, bias, OPEN)
    assert found.ridge is None
    assert found.weights is weights and found.bias is bias


def test_behind_an_activation_only_its_results_count():
    """With half the inputs gone, weights fitted to what a Relu lets through beat those fitted to everything."""
    random = np.random.default_rng(0)
    x = correlated(random, 2000, 8, mean=0.0)
    target = (x[0] @ random.normal(size=(8, 6)) - 0.5).astype(np.float32)
    left = np.ascontiguousarray(x[:, :, :4])
    errors = []
    for gate in (OPEN, (0.0, np.inf)):
        found = solve(pieces_of(left, target), np.zeros((1, 4, 6)), np.zeros(6), gate)
        result = left[0] @ found.weights[0] + found.bias
        errors.append(np.square(np.maximum(result, 0) - np.maximum(target, 0)).mean())
    assert errors[1] < 0.97 * errors[0]


def test_few_rows_keep_near_what_there_was():
    random = np.random.default_rng(0)
    x = correlated(random, 10, 40)
    prior = random.normal(size=(1, 40, 2))
    target = (x[0] @ prior[0] + 0.1 * random.normal(size=(10, 2))).astype(np.float32)
    found = solve(pieces_of(x, target), prior, np.zeros(2), OPEN)
    assert np.abs(found.weights - prior).max() < 0.2


@pytest.mark.parametrize("wide", [False, True])
def test_inputs_that_never_change_say_nothing(monkeypatch, wide):
    if wide:
        monkeypatch.setattr(least_squares, "WIDEST", 3)
    x = np.ones((1, 20, 6), np.float32)
    target = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    with pytest.raises(Unsuitable, match="its inputs are the same on all samples"):
        solve(pieces_of(x, target), np.zeros((1, 6, 2)), np.zeros(2), OPEN)


# --- bookkeeping -------------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 60)).map(sorted).filter(bool))
@settings(deadline=None)
def test_lists_of_channels_are_written_and_read(numbers):
    assert parse(written(numbers)) == numbers


def test_lists_of_channels_are_ranges():
    assert written([0, 1, 2, 3, 7, 12, 13]) == "0-3, 7, 12-13"


def test_a_shelf_puts_into_files_what_memory_has_no_room_for(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    arrays = [np.full((4, 5), each, np.float32) for each in range(4)]
    with Spill(memory=200) as spill:
        for each in arrays:
            spill.add("a", each)
        spill.add("b", np.array(["x"], object))
        assert len(list(tmp_path.rglob("*.npy"))) == 2
        for index, each in enumerate(arrays):
            np.testing.assert_array_equal(spill.get("a", index), each)
        assert "a" in spill and "c" not in spill
        spill.drop("a")
        assert "a" not in spill
        assert not list(tmp_path.rglob("*.npy"))
        # The room is free again.
        spill.add("d", arrays[0])
        assert not list(tmp_path.rglob("*.npy"))
    assert not list(tmp_path.iterdir())
