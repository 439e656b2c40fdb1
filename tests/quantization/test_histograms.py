"""Histograms of streams, and the ranges chosen by them."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.quantization.grids import INT8, UINT8, symmetric
from vggc.quantization.histograms import BINS, Histogram
from vggc.quantization.thresholds import METHODS, quantizer


def histogram(values: np.ndarray, pieces: int = 1) -> Histogram:
    found = Histogram()
    for each in np.array_split(values.astype(np.float32), pieces):
        found.add(each)
    return found


def test_pieces_in_any_order_give_the_same_counts() -> None:
    values = np.random.default_rng(0).standard_normal(10_000) * np.geomspace(0.01, 10, 10_000)
    whole, forward, backward = histogram(values), histogram(values, 7), histogram(values[::-1], 7)
    for each in (forward, backward):
        assert each.bound == whole.bound
        assert (each.magnitudes() == whole.magnitudes()).all()
    assert whole.magnitudes().sum() == whole.count == 10_000
    assert len(whole.magnitudes()) == BINS


def test_counts_are_those_of_numpy() -> None:
    values = np.random.default_rng(1).uniform(-3, 3, 5_000).astype(np.float32)
    found = histogram(values, 3)
    expected, _ = np.histogram(np.abs(values), BINS, (0, found.width * BINS))
    # A number on the border of two bins belongs to either, by its sign.
    assert np.abs(np.cumsum(found.magnitudes()) - np.cumsum(expected)).max() <= 1


def test_nothing_but_zeros() -> None:
    found = histogram(np.zeros(100), 4)
    assert (found.bound, found.count) == (0.0, 100)
    found.add(np.array([0.5], np.float32))
    assert found.magnitudes()[0] == 100
    assert found.bound == 0.5


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_constant_values(method: str) -> None:
    for constant in (0.0, 2.5, -1.0):
        found = quantizer(histogram(np.full(50, constant)), INT8, method)
        assert found.scale > 0
        assert found.rounded(np.array([constant], np.float32))[0] == pytest.approx(constant, rel=0.01)


def test_an_outlier_is_clipped_by_all_but_max() -> None:
    values = np.append(np.random.default_rng(2).standard_normal(1_000_000), 1_000.0)
    scales = {method: quantizer(histogram(values), INT8, method).scale for method in METHODS}
    assert scales["max"] == pytest.approx(1000 / 127)
    for method in ("percentile", "entropy", "mse"):
        assert scales[method] < 0.5 * scales["max"], method


def test_mse_is_the_best_of_the_ranges_tried() -> None:
    values = np.random.default_rng(3).laplace(size=100_000).astype(np.float32)
    chosen = quantizer(histogram(values), INT8, "mse")
    error = np.square(chosen.rounded(values) - values).mean()
    for share in (0.3, 0.5, 0.7, 0.9, 1.0):
        other = symmetric(INT8, share * float(np.abs(values).max()))
        assert error <= 1.02 * np.square(other.rounded(values) - values).mean()


def test_unsigned_numbers_use_the_whole_grid() -> None:
    values = np.random.default_rng(4).uniform(0, 4, 10_000).astype(np.float32)
    found = quantizer(histogram(values), UINT8, "max")
    assert found.zero_point == 0
    assert found.scale == pytest.approx(values.max() / 255)
    shifted = quantizer(histogram(values - 1), UINT8, "max")
    assert shifted.zero_point == pytest.approx(64, abs=1)
    assert shifted.rounded(np.zeros(1, np.float32))[0] == 0


def test_a_ceiling_is_never_exceeded() -> None:
    values = np.linspace(0, 6, 1000)
    for ceiling in (6.0, 5.9, 3.3, 0.1):
        found = quantizer(histogram(values), UINT8, "max", ceiling)
        assert np.float64(np.float32(found.scale)) * 255 <= ceiling
