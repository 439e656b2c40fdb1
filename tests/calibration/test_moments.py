"""Moments added batch by batch, beside numpy's of all rows at once."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.calibration.moments import Moments


@pytest.mark.parametrize(("blocks", "compact"), [(1, False), (3, False), (1, True)])
def test_moments_of_batches_are_those_of_all_rows(blocks, compact):
    random = np.random.default_rng(0)
    x = (random.normal(100.0, size=(blocks, 50, 4)) @ random.normal(1.0, size=(blocks, 4, 4))).astype(np.float32)
    y = random.normal(5.0, size=(50, blocks * 2)).astype(np.float32)
    found, second = Moments(compact=compact), Moments(compact=compact)
    for part in (slice(0, 7), slice(7, 20)):
        found.add(x[:, part], y[part])
    second.add(x[:, 20:], y[20:])
    found.absorb(second)
    weights = random.normal(size=(blocks, 4, 5))
    apart = y.reshape(50, blocks, 2).transpose(1, 0, 2).astype(np.float64)
    for block in range(blocks):
        both = np.cov(np.hstack([x[block], apart[block]]).astype(np.float64), rowvar=False, bias=True)
        np.testing.assert_allclose(found.mean[block], x[block].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found.mean_result[block], apart[block].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found.covariance[block], both[:4, :4], atol=1e-4)
        np.testing.assert_allclose(found.explained(weights)[block], both[:4, :4] @ weights[block], atol=1e-3)
        np.testing.assert_allclose(found.cross[block], both[:4, 4:], atol=1e-4)
        np.testing.assert_allclose(found.variance[block], np.diag(both)[4:], atol=1e-4)


def test_moments_of_no_rows_add_nothing():
    moments = []
    for _ in range(2):
        full, empty = Moments(), Moments()
        full.add(np.ones((1, 2, 3), np.float32), np.ones((2, 1), np.float32))
        empty.add(np.ones((1, 0, 3), np.float32), np.ones((0, 1), np.float32))
        moments.append((full, empty))
    moments[0][0].absorb(moments[0][1])
    moments[1][1].absorb(moments[1][0])
    assert moments[0][0].count == moments[1][1].count == 2
    np.testing.assert_array_equal(moments[1][1].mean, np.ones((1, 3)))
