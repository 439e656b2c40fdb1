"""Zeros in weights: which weights become zero, and what the others become so that the results change least.

Column by column of a node's inputs the weights that matter least become zero, and those of later columns make good what
that has changed in the results (optimal brain surgeon, Hassibi and Stork 1993; in this order, with one factorization
for all outputs: SparseGPT, Frantar and Alistarh 2023). Patterns of `keep` weights in each `of` consecutive input
channels are chosen group by group (Hubara et al. 2021 search masks of that kind; here the group's own weights decide
when the walk reaches it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vggc.calibration.batch_rows import RowBatches
from vggc.calibration.matrix import AsMatrix
from vggc.calibration.moments import Moments
from vggc.graph.arrays import Bools, Float64

_RIDGE = 1e-2
"""Added to the covariance's diagonal, as a share of its mean."""

_WIDEST = 4096
"""Columns whose covariance is taken whole; of longer rows, parts make good their own zeros only."""

_TOGETHER = 128
"""Columns that are worked through before those behind hear of it; also those among which a share is chosen."""


@dataclass(frozen=True)
class Thinning:
    """`keep` of each `of` consecutive input channels at every position of a kernel, or a `share` of all that goes."""

    keep: int = 0
    of: int = 0
    share: float = 0.0

    def __str__(self) -> str:
        return f"{self.keep}:{self.of}" if self.of else "unstructured"

    def plain(self, product: AsMatrix) -> Float64:
        """The weights of a node with the smallest ones zero, (blocks, width, outputs)."""
        weights = product.matrix()
        for own in weights:
            for group in self._groups(product) if self.of else [slice(None)]:
                own[group] = np.where(self._goes(np.abs(own[group])), 0.0, own[group])
        return weights

    def solve(self, pieces: RowBatches, product: AsMatrix, weights: Float64, bias: Float64) -> tuple[Float64, Float64]:
        """Weights with zeros and the bias to them whose results on the rows of `pieces` are nearest to the given ones'.

        `weights` (blocks, width, outputs) and `bias` (blocks * outputs,) are in the units of the node itself.
        """
        result = weights.copy()
        shifted = bias.reshape(len(weights), -1).copy()
        for part in _collected(self._groups(product), _WIDEST):
            columns = slice(part[0].start, part[-1].stop)
            moments = Moments()
            for piece in pieces():
                moments.add(piece.inputs[:, :, columns], np.zeros((piece.inputs.shape[1], len(weights)), np.float32))
            groups = [slice(each.start - columns.start, each.stop - columns.start) for each in part]
            covariance, mean = moments.covariance, moments.mean
            for block, own in enumerate(result):
                thinned = self._thinned(own[columns], covariance[block], groups)
                shifted[block] += mean[block] @ (own[columns] - thinned)
                own[columns] = thinned
        return result, shifted.reshape(-1)

    def _thinned(self, weights: Float64, covariance: Float64, groups: list[slice]) -> Float64:
        """Weights (columns, outputs) with zeros, chosen group by group."""
        weights, matrix = weights.copy(), covariance.copy()
        matrix[np.diag_indices_from(matrix)] += _RIDGE * float(np.trace(matrix)) / len(matrix) or 1.0
        # Row i of the factor says how a change of column i is made good by the columns behind it.
        factor = np.linalg.cholesky(np.linalg.inv(matrix)).T
        scale = np.diagonal(factor)[:, None]
        for run in _collected(iter(groups), _TOGETHER):
            first, last = run[0].start, run[-1].stop
            errors = np.zeros((last - first, weights.shape[1]))
            for group in run:
                goes = self._goes(np.abs(weights[group] / scale[group]))
                for column, gone in zip(range(group.start, group.stop), goes, strict=True):
                    taken = np.where(gone, weights[column], 0.0)
                    errors[column - first] = taken / scale[column]
                    weights[column:last] -= np.outer(factor[column, column:last], errors[column - first])
                    weights[column, gone] = 0
            weights[last:] -= factor[first:last, last:].T @ errors
        return weights

    def _goes(self, scores: Float64) -> Bools:
        """Of the weights of a group, (columns, outputs), those that become zero: each output chooses by itself."""
        if not self.of:
            return _lowest(scores, self.share)
        count = len(scores) - self.keep
        goes = np.zeros(scores.shape, bool)
        if count > 0:
            np.put_along_axis(goes, np.argsort(scores, axis=0, kind="stable")[:count], True, axis=0)
        return goes

    def _groups(self, product: AsMatrix) -> Iterator[slice]:
        """The columns among which is chosen; of a pattern the last ones of a kernel's position may be fewer."""
        at = 0
        while at < product.width:
            size = min(self.of, product.channels - at % product.channels) if self.of else _TOGETHER
            yield slice(at, min(at + size, product.width))
            at += size


def _collected(groups: Iterator[slice], columns: int) -> list[list[slice]]:
    """Groups one behind the other, in lists of about so many columns."""
    found: list[list[slice]] = []
    for group in groups:
        if not found or group.stop - found[-1][0].start > columns:
            found.append([])
        found[-1].append(group)
    return found


def _lowest(scores: Float64, share: float) -> Bools:
    """Where the lowest scores are, a share of all."""
    goes = np.zeros(scores.size, bool)
    goes[np.argsort(scores, axis=None, kind="stable")[: round(share * scores.size)]] = True
    return goes.reshape(scores.shape)
