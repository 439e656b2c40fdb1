"""Weights fitted to results, beside the weights that made them."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.calibration.batch_rows import BatchRows
from vggc.calibration.few_rows import FewRows
from vggc.calibration.least_squares import solve
from vggc.calibration.matrix import Unsuitable

OPEN = (-np.inf, np.inf)


def correlated(random, rows, width, blocks=1, mean=1.0):
    """Rows whose columns go together, (blocks, rows, width)."""
    mixing = 0.4 * random.normal(size=(blocks, width, width)) / np.sqrt(width) + np.eye(width)
    return (random.normal(size=(blocks, rows, width)) @ mixing + mean).astype(np.float32)


def pieces_of(x, target, offset=None, size=64):
    def pieces():
        for at in range(0, x.shape[1], size):
            part = slice(at, at + size)
            yield BatchRows(x[:, part], None if offset is None else offset[part], target[part])

    return pieces


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_weights_that_made_the_results_are_found(blocks):
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


@pytest.mark.parametrize("width", [6, 40])
def test_inputs_that_never_change_say_nothing(width):
    x = np.ones((1, 20, width), np.float32)
    target = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    with pytest.raises(Unsuitable, match="its inputs are the same on all samples"):
        solve(pieces_of(x, target), np.zeros((1, width, 2)), np.zeros(2), OPEN)


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("gate", [OPEN, (0.0, np.inf), (0.0, 6.0)])
def test_products_of_rows_give_what_covariances_give(monkeypatch, blocks, gate):
    """Where there are as many rows as columns, both ways solve one problem."""
    monkeypatch.setattr("vggc.calibration.least_squares._best_ridge", lambda fitted, held, prior: 0.1)
    random = np.random.default_rng(3)
    x = correlated(random, 60, 20, blocks)
    offset = random.normal(size=(60, blocks * 3)).astype(np.float32)
    target = 3 * random.normal(size=(60, blocks * 3)).astype(np.float32)
    prior = random.normal(size=(blocks, 20, 3))
    wanted = solve(pieces_of(x, target, offset), prior, np.zeros(blocks * 3), gate)
    batches = list(pieces_of(x, target, offset)())
    weights, bias, error = FewRows(batches, prior).solve(0.1, gate, rounds=6, settled=3e-3, step=1.7)
    np.testing.assert_allclose(weights, wanted.weights, atol=2e-3)
    np.testing.assert_allclose(bias.reshape(-1), wanted.bias, atol=5e-3)
    assert error == pytest.approx(wanted.error, rel=1e-2)


def test_right_weights_are_kept_where_rows_are_few():
    random = np.random.default_rng(0)
    x = correlated(random, 10, 40)
    weights, bias = random.normal(size=(1, 40, 2)), random.normal(size=2)
    found = solve(pieces_of(x, (x[0] @ weights[0] + bias).astype(np.float32)), weights, bias, OPEN)
    assert found.ridge is None and found.weights is weights
