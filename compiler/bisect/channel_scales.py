"""Values that a step has scaled, channel by channel, to scale them back where two graphs are joined.

Equalizing, which quantization begins with, multiplies the channels of a weight and divides those of the next one: what
lies between has its name and its shape still, and is s_c times what it was (M. Nagel et al., Data-Free Quantization
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
"""By value: what it was multiplied by, of a shape that goes with it."""

_EXPLAINED = 0.25
"""The share of the noise that scaling has to leave at most, to be what happened."""


def scales(before: Graph, after: Graph, names: Iterable[str], feed: Feeds) -> Scales:
    """The factors of those values that scaling explains: least squares over the samples of a feed, all above zero."""
    found: Scales = {}
    for chunk in in_chunks(before, list(names), dict(feed)):
        old, new = fetch(before, chunk, dict(feed)), fetch(after, chunk, dict(feed))
        for name in chunk:
            if name in old and name in new and (factor := _factor(old[name], new[name])) is not None:
                found[name] = factor
    return found


def _factor(old: Any, new: Any) -> Float32 | None:
    if old.shape != new.shape or old.ndim < 2 or old.dtype.kind != "f" or new.dtype.kind != "f":
        return None
    # Channels stand second, but last behind the words of a text.
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
