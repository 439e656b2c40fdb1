"""Samples divided by what is in them, so that those to judge by have nothing in common with those to learn from.

Pictures of one data set often share a background, a camera or an object. What is learnt from some of them then looks
better on the others than it is on pictures of another kind.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vggc.data.dataset import Dataset, rows_per_chunk
from vggc.graph.arrays import Float64, Floats, Int64

_GROUPS = 16
_FEWEST = 64
"""Samples below which groups would be too small."""

_SMALLEST = 96
"""Of smaller images the look is what they show: to hold some looks back would be to hold back a class."""

_ROUNDS = 10
_RIM = 8
"""The rim of an image is one part in so many of its sides."""

_TOLERANCE = 1.5


class Parts(NamedTuple):
    """The numbers of samples to judge by and of those to learn from, (samples,) each, rising."""

    judge: Int64
    learn: Int64


def apart_by_content(data: Dataset, count: int) -> Parts | None:
    """About `count` samples whose content no other sample to learn from has; the rest of their groups is left out.

    None for samples that are no images, or are too few.
    """
    if len(data) < _FEWEST or not _images(data):
        return None
    groups = _groups(_looks(data))
    order = np.random.default_rng(0).permutation(int(groups.max()) + 1)
    chosen: list[int] = []
    total = 0
    for group in order.tolist():
        size = int((groups == group).sum())
        if total + size <= _TOLERANCE * count:
            chosen.append(group)
            total += size
        if total >= count:
            break
    held = np.isin(groups, chosen)
    if total < count / _TOLERANCE or held.all():
        return None
    judge = np.flatnonzero(held)
    spread = np.unique(np.linspace(0, len(judge) - 1, min(count, len(judge))).round().astype(np.int64))
    return Parts(judge[spread], np.flatnonzero(~held))


def _images(data: Dataset) -> list[str]:
    return [
        name
        for name, kind in data.arrays.items()
        if len(kind.shape) == 3 and sorted(kind.shape)[1] >= _SMALLEST and kind.dtype.kind in "fiu"
    ]


def _looks(data: Dataset) -> Float64:
    """For each sample the means and deviations of its channels, on the whole and at the rim, (samples, numbers)."""
    found = []
    for batch in data.batches(rows_per_chunk(data.sample_bytes)):
        numbers = [
            _look(np.asarray(batch[name], np.float32)) for name, kind in data.arrays.items() if len(kind.shape) >= 3
        ]
        found.append(np.concatenate(numbers, axis=1))
    looks = np.concatenate(found)
    spread = looks.std(axis=0)
    return np.asarray((looks - looks.mean(axis=0)) / np.where(spread > 0, spread, 1.0), np.float64)


def _look(images: Floats) -> Floats:
    """Of (samples, channels, height, width) or with channels last, where the last axis is a short one."""
    if images.shape[-1] <= 4 < images.shape[1]:
        images = np.moveaxis(images, -1, 1)
    rows, columns = (max(1, size // _RIM) for size in images.shape[-2:])
    sides = (images[..., :rows, :], images[..., -rows:, :], images[..., :columns], images[..., -columns:])
    flat = [each.reshape(*images.shape[:2], -1) for each in (images, *sides)]
    rim = np.concatenate(flat[1:], axis=-1)
    parts = [flat[0].mean(axis=-1), flat[0].std(axis=-1), rim.mean(axis=-1), rim.std(axis=-1)]
    return np.concatenate(parts, axis=1)


def _groups(looks: Float64) -> Int64:
    """Numbers of groups by k-means (Lloyd 1982), begun at points far from each other (Gonzalez 1985): (samples,)."""
    centres = looks[:1]
    nearest = np.square(looks - centres[0]).sum(axis=1)
    while len(centres) < _GROUPS and nearest.max() > 0:
        centres = np.concatenate([centres, looks[[int(nearest.argmax())]]])
        nearest = np.minimum(nearest, np.square(looks - centres[-1]).sum(axis=1))
    groups: Int64 = np.zeros(len(looks), np.int64)
    for _ in range(_ROUNDS):
        groups = np.square(looks[:, None] - centres).sum(axis=2).argmin(axis=1)
        means = [looks[groups == at].mean(axis=0) if (groups == at).any() else each for at, each in enumerate(centres)]
        centres = np.array(means)
    return groups
