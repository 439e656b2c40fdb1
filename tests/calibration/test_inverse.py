"""The inverse of symmetric positive definite matrices."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.calibration.inverse import invert


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (256, 256), (257, 257), (3, 700, 700)])
def test_it_is_the_inverse(shape):
    """Of covariances whose variances differ by four orders of magnitude, with a ridge."""
    rows = np.random.default_rng(0).standard_normal((*shape[:-2], 2 * shape[-1], shape[-1]))
    rows *= np.logspace(0, -2, shape[-1])
    matrices = rows.swapaxes(-1, -2) @ rows / rows.shape[-2] + 1e-4 * np.eye(shape[-1])
    inverses = matrices.copy()
    invert(inverses)
    np.testing.assert_allclose(inverses @ matrices, np.broadcast_to(np.eye(shape[-1]), shape), atol=1e-9)


def test_singular_matrices_are_an_error():
    with pytest.raises(np.linalg.LinAlgError):
        invert(np.zeros((600, 600)))
