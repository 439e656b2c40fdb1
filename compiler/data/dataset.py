"""Samples for calibration and measurement, read in batches so that memory stays bounded."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from vggc.diagnostics import Code, fail, spelling_help
from vggc.graph.arrays import Array, Int64
from vggc.graph.signature import ValueType, shape_text, type_text
from vggc.values import Declared

Batch = dict[str, Array]
"""Arrays by name, each (samples, ...)."""

CHUNK_BYTES = 16 << 20
"""About how many bytes of samples are held at a time when no batch size is asked for."""


class SampleType(NamedTuple):
    """The type and the shape of one sample of an array, without the axis of samples."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))

    def __str__(self) -> str:
        return f"{type_text(self.dtype)} {shape_text(('samples', *self.shape))}"


class Dataset(Declared, ABC):
    """Named arrays of samples along their first axis, and perhaps the class number of each sample.

    name         what the recipe calls it
    description  where it comes from, for reports
    arrays       type and shape of a sample, by array name
    labels       class numbers, (samples,) in int64, or None
    classes      the names of the classes by number, when the data has them
    """

    statement: ClassVar[str] = "data"

    name: str
    description: str
    arrays: Mapping[str, SampleType]
    labels: Int64 | None
    classes: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @abstractmethod
    def parts(self) -> Iterator[Batch]:
        """All samples in order, in pieces of any size: arrays (samples, ...) by name. Each call starts anew."""

    def number(self, sample: int) -> int:
        """The number of a sample in the data set as the recipe names it, of which this may be a part."""
        return sample

    @property
    def unlabelled(self) -> bool:
        """Whether it has no labels."""
        return self.labels is None

    @property
    def label_help(self) -> str:
        """What to write to get labels."""
        return 'name the array with the class numbers: npz("test.npz", label="y")'

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return tuple(self.arrays)

    @property
    def checked_on_reading(self) -> bool:
        """Whether samples are costly to make, so that they are checked only when they are used."""
        return False

    @property
    def repeatable(self) -> bool:
        """Whether equal hashes from `sha256` mean equal samples, in every run and on every reading.

        This does not hold for samples that a program makes anew on each reading.
        """
        return False

    @property
    def random(self) -> bool:
        """Whether the samples are random numbers."""
        return False

    @property
    def extras(self) -> Mapping[str, SampleType]:
        """What measures can read beside the inputs of a model, by name: masks, boxes, texts."""
        return self.arrays

    def extra(self, name: str) -> Iterator[Array]:
        """An array of all samples in order, in pieces of any size, (samples, ...), whether the model takes it or not.

        Raises CompileError when there is no such array.
        """
        if name not in self.extras:
            help = spelling_help(name, self.extras, "its arrays")
            raise fail(f"data `{self.name}` has no array `{name}`", help=help, code=Code.NEEDS_ARRAY)
        yield from (each[name] for each in self.parts())

    @property
    def files(self) -> Mapping[str, str]:
        """The SHA-256 of each file by its path, of data with one file for each sample; empty for other data."""
        return {}

    @property
    def sample_bytes(self) -> int:
        return sum(each.nbytes for each in self.arrays.values())

    def batches(self, size: int, limit: int | None = None) -> Iterator[Batch]:
        """Batches of `size` samples, arrays (size, ...) by name, the last one perhaps smaller; at most `limit` samples.

        The arrays may be views of a file: read them, do not write to them.
        """
        return rebatch(self.parts(), size, len(self) if limit is None else min(limit, len(self)))

    def advice(self, wanted: ValueType) -> str:
        """How to read this data so that it fits an input, when that is known; else ""."""
        del wanted
        return ""

    def fit(self, inputs: tuple[ValueType, ...]) -> Dataset:
        """This data as the inputs of a model; see `vggc.data.fit`. Checked once for each signature."""
        from vggc.data.fit import Fitted

        if inputs not in self._fitted:
            self._fitted[inputs] = Fitted(self, inputs)
        return self._fitted[inputs]

    @cached_property
    def _fitted(self) -> dict[tuple[ValueType, ...], Dataset]:
        return {}

    @cached_property
    def sha256(self) -> str:
        """A hash over names, types, shapes, values and labels: the same samples give the same hash."""
        digest = hashlib.sha256()
        kinds = [(name, str(kind.dtype), kind.shape) for name, kind in sorted(self.arrays.items())]
        digest.update(repr((len(self), kinds)).encode())
        for name in sorted(self.arrays):
            for batch in self.batches(rows_per_chunk(self.sample_bytes)):
                digest.update(content(batch[name]))
        if self.labels is not None:
            digest.update(b"labels")
            digest.update(content(self.labels))
        for name in sorted({*self.extras} - {*self.arrays}):
            digest.update(f"extra {name} {self.extras[name]}".encode())
            for piece in self.extra(name):
                digest.update(content(piece))
        return digest.hexdigest()


def content(array: Array) -> bytes:
    """The content of an array as bytes, little-endian and in C order; each text follows its length."""
    if array.dtype.kind in "OUST":
        return b"".join(b"%d:%b" % (len(each), each) for each in (str(item).encode() for item in array.flat))
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def rows_per_chunk(sample_bytes: int) -> int:
    """How many samples make up about CHUNK_BYTES."""
    return max(1, CHUNK_BYTES // max(1, sample_bytes))


def rebatch(parts: Iterable[Batch], size: int, limit: int) -> Iterator[Batch]:
    """The first `limit` samples of `parts` in batches of `size`: arrays (size, ...) by name."""
    if size < 1:
        raise ValueError(f"a batch has at least one sample, not {size}")
    held: list[Batch] = []
    count = 0
    left = limit
    for part in parts:
        rows = len(next(iter(part.values())))
        at = 0
        while at < rows and left > 0:
            take = min(size - count, rows - at, left)
            held.append({name: array[at : at + take] for name, array in part.items()})
            at, count, left = at + take, count + take, left - take
            if count == size:
                yield _joined(held)
                held, count = [], 0
        if left <= 0:
            break
    if held:
        yield _joined(held)


def _joined(pieces: list[Batch]) -> Batch:
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([each[name] for each in pieces]) for name in pieces[0]}


def as_labels(array: Array, count: int, where: str) -> Int64:
    """Class numbers, (count,), from an array (count,) or (count, 1), checked. `where` names it in messages.

    Raises CompileError unless it holds one whole number of at least 0 for each of `count` samples.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise fail(
            f"{where} has shape {shape_text(array.shape)}: labels must be one class number for each sample",
            help="save class numbers, for instance y.argmax(axis=1)",
            code=Code.LABELS,
        )
    if len(array) != count:
        raise fail(f"{where} has {len(array)} labels for {count} samples", code=Code.LABELS)
    if array.dtype.kind not in "biuf":
        raise fail(
            f"{where} is {type_text(array.dtype)}; labels must be class numbers",
            help="save them as int64",
            code=Code.LABELS,
        )
    numbers = array.astype(np.int64) if array.dtype.kind != "f" or np.isfinite(array).all() else None
    if numbers is None or (array.dtype.kind == "f" and not np.array_equal(numbers, array)):
        raise fail(
            f"{where} has numbers that are not whole; labels must be class numbers",
            help="save them as int64",
            code=Code.LABELS,
        )
    if len(numbers) and numbers.min() < 0:
        bad = int(np.argmax(numbers < 0))
        raise fail(f"{where}: label {numbers[bad]} of sample {bad} is negative", code=Code.LABELS)
    return numbers


def need_samples(dataset: Dataset, count: int, what: str) -> None:
    """Raise CompileError unless there are at least `count` samples; `what` says in the message what needs them."""
    if len(dataset) < count:
        raise fail(
            f"{what} needs at least {count} samples, but data `{dataset.name}` has {len(dataset)}",
            code=Code.TOO_FEW_SAMPLES,
        )
