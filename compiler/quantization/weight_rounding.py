"""Weights rounded so that their errors cancel in the results: `rounding=least_squares`.

Rounding each weight to the nearest number leaves the least error of the weights, but not of the results. Here the
weights of an output are rounded one input after the other, and each compensates the error that those before it cause
in the results, by least squares over the inputs on samples (optimal brain surgeon, Hassibi and Stork 1993, as GPTQ
applies it to rounding, Frantar et al. 2022). With the covariance H = M' M, M a lower triangular matrix, the error is
|M (w - q)|^2, and row i of M decides q_i after the q before it (Babai's nearest plane), so H is never inverted.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from vggc.calibration.moments import gram
from vggc.graph.arrays import Float32, Float64, Floats
from vggc.quantization.grids import Grid

WIDEST = 768
"""Inputs whose errors may cancel each other: longer rows are divided, because the covariance grows by the square."""

_DAMPING = 0.01
"""Of the mean variance of the inputs: added to each, so that directions that samples hardly show have little effect."""

_COLUMNS = 64
"""Inputs whose effect on later ones is added in one matrix product."""


def parts(width: int) -> list[slice]:
    """Rows of `width` inputs in as few parts as necessary, none longer than WIDEST."""
    pieces = -(-width // WIDEST)
    edges = [width * each // pieces for each in range(pieces + 1)]
    return [slice(*pair) for pair in pairwise(edges)]


def covariance(rows: Floats) -> Float64:
    """Of the inputs in rows (blocks, rows, width): (blocks, width, width)."""
    # Around the mean, for the difference of large products would be rounding where inputs hardly vary.
    rows = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(gram(rows).astype(np.float64) / rows.shape[1])


def rounded_blocks(weights: Float64, covariance: Float64, scale: Float64, grid: Grid) -> Float64:
    """(blocks, width, outputs) weights on the grid of each output's scale, such that errors cancel.

    `covariance` (blocks, width, width) is that of the inputs, `scale` is (blocks, outputs).
    """
    order = np.argsort(-np.einsum("bii->bi", covariance), axis=1, kind="stable")
    factor = _triangular(np.take_along_axis(np.take_along_axis(covariance, order[:, :, None], 1), order[:, None], 2))
    wanted = np.take_along_axis(weights, order[:, :, None], 1).astype(np.float32)
    scale = scale.astype(np.float32)
    errors = np.zeros_like(wanted)
    found = np.empty_like(wanted)
    width = wanted.shape[1]
    for start in range(0, width, _COLUMNS):
        stop = min(start + _COLUMNS, width)
        known = np.matmul(factor[:, start:stop, :start], errors[:, :start])
        for at in range(start, stop):
            near = np.matmul(factor[:, at : at + 1, start:at], errors[:, start:at])[:, 0]
            target = wanted[:, at] + known[:, at - start] + near
            found[:, at] = grid.rounded(target, scale)
            errors[:, at] = wanted[:, at] - found[:, at]
    result = np.empty(found.shape)
    np.put_along_axis(result, order[:, :, None], found, 1)
    return result


def _triangular(covariance: Float64) -> Float32:
    """M of H = M' M, each row divided by its diagonal element."""
    width = covariance.shape[1]
    level = np.einsum("bii->b", covariance) / width
    damped = covariance.copy()
    at = np.arange(width)
    damped[:, at, at] += np.where(level > 0, _DAMPING * level, 1.0)[:, None]
    # Turned round, the lower triangular factor of Cholesky is the upper triangular one.
    upper = np.linalg.cholesky(damped[:, ::-1, ::-1])[:, ::-1, ::-1]
    lower = upper.transpose(0, 2, 1)
    return np.ascontiguousarray(lower / np.einsum("bii->bi", lower)[:, :, None], np.float32)
