"""Some samples of a data set, by their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from vggc.data.content import apart_by_content
from vggc.data.dataset import Batch, Dataset, SampleType, rows_per_chunk
from vggc.graph.arrays import Array, Int64
from vggc.graph.signature import ValueType


class Selected(Dataset):
    """The samples `rows` of a data set, in ascending order. The others are read and passed over."""

    def __init__(self, source: Dataset, rows: Int64) -> None:
        self.name = source.name
        self.description = f"{len(rows)} of {len(source)} samples of {source.description}"
        self.arrays = source.arrays
        self.labels = None if source.labels is None else source.labels[rows]
        self.classes = source.classes
        self._source = source
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def number(self, sample: int) -> int:
        return self._source.number(int(self._rows[sample]))

    @property
    def checked_on_reading(self) -> bool:
        return True

    @property
    def repeatable(self) -> bool:
        return self._source.repeatable

    @property
    def extras(self) -> Mapping[str, SampleType]:
        return self._source.extras

    def extra(self, name: str) -> Iterator[Array]:
        first = 0
        for piece in self._source.extra(name):
            wanted = self._rows[(self._rows >= first) & (self._rows < first + len(piece))] - first
            if len(wanted):
                yield piece[wanted]
            first += len(piece)

    @property
    def random(self) -> bool:
        return self._source.random

    def fit(self, inputs: tuple[ValueType, ...]) -> Dataset:
        return Selected(self._source.fit(inputs), self._rows)

    def parts(self) -> Iterator[Batch]:
        first = 0
        for batch in self._source.batches(rows_per_chunk(self._source.sample_bytes), int(self._rows[-1]) + 1):
            count = len(next(iter(batch.values())))
            wanted = self._rows[(self._rows >= first) & (self._rows < first + count)] - first
            if len(wanted):
                yield {name: array[wanted] for name, array in batch.items()}
            first += count


def hold_back(data: Dataset, most: int) -> tuple[Dataset, Dataset] | None:
    """The samples of `data` in two parts: those to learn from, and an eighth to judge by, at most `most`.

    Of images those are held back whose content the others do not have; of other samples every so many-th one. None
    where that would be fewer than two samples.
    """
    count = min(most, len(data) // HELD_BACK)
    if count < 2:
        return None
    parts = None if data.random else apart_by_content(data, count)
    if parts is not None:
        return Selected(data, parts.learn), Selected(data, parts.judge)
    stride = len(data) // count
    held = np.arange(1, count + 1) * stride - 1
    return Selected(data, np.setdiff1d(np.arange(len(data)), held)), Selected(data, held)


HELD_BACK = 8
"""One of so many samples is held back."""
