"""The inverse of a covariance, beside numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.calibration.definite_inverse import inverse


def covariance(width: int) -> np.ndarray:
    """Of inputs that depend on each other: the condition is about 10,000."""
    random = np.random.default_rng(width)
    x = random.normal(size=(4 * width, width)) * np.logspace(0, -2, width) @ random.normal(size=(width, width))
    found = np.cov(x, rowvar=False).reshape(width, width)
    return found + 1e-3 * np.trace(found) / width * np.eye(width)


@pytest.mark.parametrize("width", [1, 2, 100, 128, 129, 401])
def test_it_is_the_inverse(width: int) -> None:
    matrix = covariance(width)
    wanted = np.linalg.inv(matrix)
    found = inverse(matrix)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


def test_a_matrix_that_is_not_positive_definite_is_inverted_too() -> None:
    np.testing.assert_allclose(
        inverse(np.array([[1.0, 2.0], [2.0, 1.0]])), [[-1 / 3, 2 / 3], [2 / 3, -1 / 3]], rtol=1e-6
    )


def test_a_singular_matrix_is_refused() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        inverse(np.zeros((3, 3)))
