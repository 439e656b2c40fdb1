"""All samples as arrays, which can be read in any order: in memory, or in a temporary file when they are large."""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import numpy as np

from vggc.calibration.samples import Samples
from vggc.calibration.variations import SMALLEST_MOVED, is_image, mixtures, moved, nudged
from vggc.data import Batch
from vggc.graph.arrays import Array, Int64

MEMORY = 1 << 30
"""Bytes of samples that are held in memory."""


class SampleStore:
    """`count` samples by their numbers; `fixed` is the batch size that a model requires, None when it takes any.

    `labels` are the class numbers, (count,), or None.
    """

    def __init__(self, samples: Samples) -> None:
        kinds = samples.data.arrays
        self.count = samples.count
        self.fixed = samples.size if samples.fixed else None
        self._arrays: dict[str, Array] = {}
        whole = sum(kinds[each.name].nbytes for each in samples.inputs) * self.count
        for each in samples.inputs:
            kind = kinds[each.name]
            shape = (self.count, *kind.shape)
            if whole <= MEMORY:
                self._arrays[each.name] = np.empty(shape, kind.dtype)
            else:
                with tempfile.TemporaryFile() as file:
                    # The map keeps the file as long as it lives.
                    self._arrays[each.name] = np.memmap(file, kind.dtype, "w+", shape=shape)
        self.labels = samples.labels
        first = 0
        for batch in samples:
            last = first + len(next(iter(batch.values())))
            for name, array in self._arrays.items():
                array[first:last] = batch[name]
            first = last
        self._images = {each.name for each in samples.inputs if is_image(each, kinds[each.name].shape, SMALLEST_MOVED)}

    def __getitem__(self, rows: Int64) -> Batch:
        return {name: array[rows] for name, array in self._arrays.items()}

    def variation(self, seed: int) -> Callable[[Batch], Batch]:
        """A function that moves and mixes the images of batches. The same seed gives the same images."""
        return self._changed(mixtures, seed)

    def moved(self, seed: int) -> Callable[[Batch], Batch]:
        """A function that mirrors and shifts the images of batches. The same seed gives the same images."""
        return self._changed(moved, seed)

    def nudged(self, seed: int) -> Callable[[Batch], Batch]:
        """A function that shifts the images of batches a little. The same seed gives the same images."""
        return self._changed(nudged, seed)

    def _changed(self, change: Callable[[Array, np.random.Generator], Array], seed: int) -> Callable[[Batch], Batch]:
        random = np.random.default_rng(seed)
        return lambda batch: {
            name: change(each, random) if name in self._images else each for name, each in batch.items()
        }
