"""Data sets made of arrays, in memory or in files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from vggc.data.dataset import Batch, Dataset, SampleType, rows_per_chunk
from vggc.data.stored import StoredArray
from vggc.diagnostics import Code, fail, spelling_help
from vggc.graph.arrays import Array, Int64


class StoredDataset(Dataset):
    """The first `count` samples of arrays in files."""

    def __init__(
        self,
        arrays: Mapping[str, StoredArray],
        count: int,
        labels: Int64 | None,
        description: str,
        extras: Mapping[str, StoredArray] | None = None,
    ) -> None:
        self.name = "data"
        self.description = description
        self.labels = labels
        self.arrays = {name: each.sample for name, each in arrays.items()}
        self._stored = arrays
        self._extras = {**arrays, **(extras or {})}
        self._count = count

    def __len__(self) -> int:
        return self._count

    @property
    def repeatable(self) -> bool:
        return True

    @property
    def extras(self) -> Mapping[str, SampleType]:
        return {name: each.sample for name, each in self._extras.items()}

    def extra(self, name: str) -> Iterator[Array]:
        if name not in self._extras:
            help = spelling_help(name, self._extras, "its arrays")
            raise fail(f"data `{self.name}` has no array `{name}`", help=help, code=Code.NEEDS_ARRAY)
        stored = self._extras[name]
        yield from stored.chunks(rows_per_chunk(stored.sample.nbytes), self._count)

    def parts(self) -> Iterator[Batch]:
        rows = rows_per_chunk(self.sample_bytes)
        chunks = {name: each.chunks(rows, self._count) for name, each in self._stored.items()}
        for _ in range(0, self._count, rows):
            yield {name: next(each) for name, each in chunks.items()}


class ArrayDataset(Dataset):
    """Arrays in memory."""

    def __init__(self, arrays: Mapping[str, Array], labels: Int64 | None, description: str) -> None:
        self.name = "data"
        self.description = description
        self.labels = labels
        self._held = {name: np.asarray(array) for name, array in arrays.items()}
        for name, array in self._held.items():
            if array.dtype.hasobject or array.ndim == 0:
                what = "Python objects" if array.dtype.hasobject else "a single number"
                raise fail(f"array `{name}` of {description} is {what}, not an array of samples", code=Code.DATA_ARRAYS)
        self._count = same_length({name: len(array) for name, array in self._held.items()}, description)
        self.arrays = {name: SampleType(array.dtype, array.shape[1:]) for name, array in self._held.items()}

    def __len__(self) -> int:
        return self._count

    @property
    def repeatable(self) -> bool:
        return True

    def parts(self) -> Iterator[Batch]:
        yield dict(self._held)


def same_length(lengths: Mapping[str, int], where: str, advice: str = "") -> int:
    """The number of samples. Raises CompileError when arrays differ in it, or when nothing is there."""
    if not lengths:
        raise fail(f"{where} has no arrays of samples", code=Code.DATA_ARRAYS)
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"`{name}` {length}" for name, length in lengths.items())
        raise fail(f"the arrays of {where} have different lengths: {listed}", help=advice, code=Code.DATA_ARRAYS)
    count = next(iter(lengths.values()))
    if count == 0:
        raise fail(f"{where} has no samples", code=Code.DATA_ARRAYS)
    return count


def described(name: str, kind: SampleType) -> str:
    """An array in messages: "`x` float32 [samples, 3, 32, 32]"."""
    return f"`{name}` {kind}"
