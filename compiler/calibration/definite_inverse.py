"""The inverse of a covariance, in half the time that numpy's takes: a covariance is symmetric and positive definite."""

from __future__ import annotations

import numpy as np

from vggc.graph.arrays import Float32, Float64

_SMALL = 128
"""Rows of a triangle that is inverted as a whole."""


def inverse(matrix: Float64) -> Float32:
    """The inverse of a symmetric positive definite matrix (width, width).

    With M = L L' it is the product of L^-1 with its own transpose. The factorization runs in float64, which the
    condition of a covariance needs; the rest runs in float32, and only its own rounding shows in the result.

    A matrix that is not positive definite, as rounding makes one, is inverted as any other.
    Raises numpy.linalg.LinAlgError when it is singular.
    """
    try:
        factor = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.inv(matrix), np.float32)
    lower = _inverse_of_lower(np.asarray(factor, np.float32))
    return np.asarray(lower.T @ lower)


def _inverse_of_lower(matrix: Float32) -> Float32:
    """By halves: [[A, 0], [B, C]]^-1 = [[A^-1, 0], [-C^-1 B A^-1, C^-1]]."""
    width = len(matrix)
    if width <= _SMALL:
        return np.linalg.inv(matrix)
    half = width // 2
    found = np.zeros_like(matrix)
    first, second = (slice(0, half), slice(half, width))
    upper, lower = (_inverse_of_lower(matrix[part, part]) for part in (first, second))
    found[first, first], found[second, second] = upper, lower
    found[second, first] = -(lower @ (matrix[second, first] @ upper))
    return found
