"""Find the values that a step has scaled channel by channel, to scale them back where two graphs are joined.

Equalization, with which quantization begins, multiplies the channels of one weight and divides those of the next. The
values between the two keep their names and shapes, but are multiplied by s_c (M. Nagel et al., Data-Free Quantization
Through Weight Equalization and Bias Correction, 2019).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from vggc.execution.intermediates import fetch, in_chunks
from vggc.graph import Graph
from vggc.graph.arrays import Feeds, Float32

Scales = dict[str, Float32]
"""By value: the factors that it was multiplied by, in a shape that broadcasts to the value's."""

_EXPLAINED = 0.25
"""Scaling explains a difference when at most this share of the noise remains after scaling back."""


def scales(before: Graph, after: Graph, names: Iterable[str], feed: Feeds) -> Scales:
    """The factors of the values that were only scaled: least squares over the samples of a feed, all above zero."""
    factors: Scales = {}
    for chunk in in_chunks(before, list(names), dict(feed)):
        old, new = fetch(before, chunk, dict(feed)), fetch(after, chunk, dict(feed))
        for name in chunk:
            if name in old and name in new and (factor := _factor(old[name], new[name])) is not None:
                factors[name] = factor
    return factors


def _factor(old: Any, new: Any) -> Float32 | None:
    if old.shape != new.shape or old.ndim < 2 or old.dtype.kind != "f" or new.dtype.kind != "f":
        return None
    # Channels are the second axis, but the last axis of sequences.
    channel = 2 if old.ndim == 3 else 1
    axes = tuple(axis for axis in range(old.ndim) if axis != channel)
    a, b = old.astype(np.float64), new.astype(np.float64)
    power = np.square(a).sum(axes, keepdims=True)
    factor = np.where(power > 0, (a * b).sum(axes, keepdims=True) / np.where(power > 0, power, 1), 1)
    noise = float(np.square(a - b).sum())
    left = float(np.square(factor * a - b).sum())
    if not np.isfinite(noise) or not noise or left > _EXPLAINED * noise or not (factor > 0).all():
        return None
    return factor.astype(np.float32)
