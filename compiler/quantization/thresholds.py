"""From a histogram to the range that is worth representing: max, percentile, entropy, mean squared error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import numpy as np

from vggc.calibration.channel_extents import ChannelExtents
from vggc.graph.arrays import Array
from vggc.quantization.grids import Grid, Quantizer, asymmetric, symmetric
from vggc.quantization.histograms import BINS, Histogram
from vggc.quantization.plan import Plan, QuantizationSite

Method = Literal["max", "percentile", "entropy", "mse"]
"""Ways to choose a range by the histogram alone."""

PERCENTILE = 99.999
"""The share of numbers that `percentile` represents; those of largest magnitude are clipped."""

_CANDIDATES = np.linspace(1.0, 0.3, 71)
_LEVELS = 128
"""Levels of magnitude that `entropy` compares with."""


def quantizers(plan: Plan, histograms: Mapping[int, Histogram], method: Method) -> dict[int, Quantizer]:
    """How to quantize each family of a plan."""
    found = {}
    for family, sites in plan.families().items():
        found[family] = quantizer(histograms[family], plan.grid, method, ceiling(sites))
    return found


def ceiling(sites: Iterable[QuantizationSite]) -> float | None:
    """What none of the sites of a family exceeds."""
    return min((each.ceiling for each in sites if each.ceiling is not None), default=None)


def quantizer(histogram: Histogram, grid: Grid, method: Method, ceiling: float | None = None) -> Quantizer:
    """How to quantize a value that was seen as the histogram tells, and that never exceeds `ceiling`."""
    return narrowed(histogram, grid, METHODS[method](histogram, grid), ceiling)


def narrowed(seen: Histogram | ChannelExtents, grid: Grid, share: float, ceiling: float | None = None) -> Quantizer:
    """The quantizer for the value's range, narrowed to a share of it (or widened, beyond 1)."""
    if grid.signed:
        return symmetric(grid, share * seen.bound)
    high = share * seen.high
    return asymmetric(grid, share * seen.low, high if ceiling is None else min(high, ceiling))


def by_max(histogram: Histogram, grid: Grid) -> float:
    """All numbers seen are representable."""
    return 1.0


def by_percentile(histogram: Histogram, grid: Grid) -> float:
    """The range that holds PERCENTILE percent of the numbers."""
    counts = np.cumsum(histogram.magnitudes())
    place = int(np.searchsorted(counts, counts[-1] * PERCENTILE / 100))
    return min(1.0, (place + 1) * histogram.width / histogram.bound) if histogram.bound else 1.0


def by_mse(histogram: Histogram, grid: Grid) -> float:
    """The range whose quantization has the least squared error, rounding and clipping together."""
    if not histogram.bound:
        return 1.0
    values, counts = histogram.signed()
    errors = []
    for share in _CANDIDATES:
        found = narrowed(histogram, grid, float(share))
        gap = found.rounded(values) - values
        errors.append(float(counts @ np.square(gap)))
    return float(_CANDIDATES[int(np.argmin(errors))])


def by_entropy(histogram: Histogram, grid: Grid) -> float:
    """The range whose quantized distribution is nearest to the true one by the Kullback-Leibler divergence.

    The method of NVIDIA's calibrator (Migacz, 8-bit Inference with TensorRT, 2017), on 2048 magnitudes or fewer.
    """
    if not histogram.bound:
        return 1.0
    seen = min(BINS, int(histogram.bound / histogram.width) + 1)
    merged = -(-seen // 2048)
    counts = np.zeros(-(-seen // merged) * merged)
    counts[:seen] = histogram.magnitudes()[:seen]
    counts = counts.reshape(-1, merged).sum(axis=1)
    # A spike at zero (all that a ReLU cut off) is represented by any range, and would hide all else.
    counts[0] = counts[1] if len(counts) > 1 else counts[0]
    if len(counts) <= _LEVELS:
        return 1.0
    best, chosen = np.inf, len(counts)
    for stop in (*range(_LEVELS, len(counts), max(1, len(counts) // 256)), len(counts)):
        divergence = _divergence(counts, stop)
        if divergence < best:
            best, chosen = divergence, stop
    return min(1.0, chosen * merged * histogram.width / histogram.bound)


def _divergence(counts: Array, stop: int) -> float:
    inside = counts[:stop]
    reference = inside.copy()
    reference[-1] += counts[stop:].sum()
    # Each level spreads what it holds evenly over those of its bins that hold anything.
    level = np.arange(stop) * _LEVELS // stop
    held = np.bincount(level, inside, _LEVELS)
    used = np.bincount(level, inside > 0, _LEVELS)
    spread = np.where(inside > 0, (held / np.maximum(used, 1))[level], 0.0)
    both = (reference > 0) & (spread > 0)
    lost = reference[(reference > 0) & (spread == 0)].sum()
    p, q = reference / reference.sum(), spread / max(spread.sum(), 1e-300)
    # What the range cannot represent at all is given a tiny share, so that the divergence stays finite.
    return float((p[both] * np.log(p[both] / q[both])).sum() + lost / reference.sum() * 20.0)


METHODS: dict[str, Callable[[Histogram, Grid], float]] = {
    "max": by_max,
    "percentile": by_percentile,
    "entropy": by_entropy,
    "mse": by_mse,
}
