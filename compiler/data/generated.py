"""Random samples, made when they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vggc.data.dataset import Batch, Dataset, SampleType, rows_per_chunk
from vggc.diagnostics import Code, fail
from vggc.graph.arrays import Array
from vggc.graph.signature import ValueType

SMALL = 8
"""Random integers are below this, which suits the indices, masks and token numbers of most models."""

_TEXTS = ("a", "b", "ab", "")


def random_array(
    generator: np.random.Generator, dtype: np.dtype[Any], shape: Sequence[int], below: int = SMALL
) -> Array:
    """Random values of any ONNX type, in the shape `shape`.

    Floats are standard normal, integers 0 <= i < `below`, truth values even, texts short.
    """
    if dtype.kind in "OUST":
        return np.asarray(np.array(_TEXTS, object)[generator.integers(0, len(_TEXTS), shape)], object)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(np.bool_)
    if dtype.kind in "iu" or "int" in dtype.name:
        # int2 and int4 end before 8.
        bits = int("".join(each for each in dtype.name if each.isdigit()))
        return generator.integers(0, min(below, 1 << (bits - 1)), shape).astype(dtype)
    if dtype.kind == "c":
        return (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(dtype)
    if dtype == np.float64:
        return generator.standard_normal(shape)
    return generator.standard_normal(shape, np.float32).astype(dtype)


class RandomDataset(Dataset):
    """Random samples in the shapes of a model's inputs; they exist once the model is known."""

    def __init__(self, count: int, seed: int, shapes: Mapping[str, Sequence[int]]) -> None:
        self.name = "data"
        self.description = f"{count} random samples (seed {seed})"
        self.arrays = {}
        self.labels = None
        self.count = count
        self.seed = seed
        self._shapes = shapes

    def __len__(self) -> int:
        return self.count

    @property
    def random(self) -> bool:
        return True

    @property
    def sha256(self) -> str:
        """A hash over what the samples are made from; for the samples of one model see the data set fitted to it."""
        return hashlib.sha256(repr((self.count, self.seed, sorted(self._shapes.items()))).encode()).hexdigest()

    def parts(self) -> Iterator[Batch]:
        raise fail(
            f"data `{self.name}` is random: it has samples for the inputs of a model only", code=Code.RANDOM_DATA
        )

    def fit(self, inputs: tuple[ValueType, ...]) -> Dataset:
        for name in self._shapes:
            if name not in {each.name for each in inputs}:
                raise fail(
                    f"data `{self.name}` gives a shape for `{name}`, but the model has no such input",
                    code=Code.RANDOM_DATA,
                )
        kinds = {each.name: SampleType(each.dtype, self._sample_shape(each)) for each in inputs}
        return _Generated(self, kinds)

    def _sample_shape(self, wanted: ValueType) -> tuple[int, ...]:
        given = self._shapes.get(wanted.name)
        sizes = wanted.shape[1:] if wanted.shape else None
        if given is None:
            if sizes is None or not all(isinstance(each, int) for each in sizes):
                raise fail(
                    f"random data needs to know the size of the model's input {wanted}",
                    help=f'give the shape of one sample: random(shapes={{"{wanted.name}": [3, 224, 224]}})',
                    code=Code.RANDOM_DATA,
                )
            return tuple(each for each in sizes if isinstance(each, int))
        fits = sizes is None or (
            len(given) == len(sizes)
            and all(not isinstance(want, int) or want == got for got, want in zip(given, sizes, strict=True))
        )
        if not fits:
            raise fail(
                f"data `{self.name}` gives samples of shape {list(given)} for the model's input {wanted}",
                code=Code.RANDOM_DATA,
            )
        return tuple(given)


class _Generated(Dataset):
    def __init__(self, source: RandomDataset, arrays: Mapping[str, SampleType]) -> None:
        self.name = source.name
        self.description = source.description
        self.labels = None
        self.arrays = arrays
        self._source = source

    def __len__(self) -> int:
        return self._source.count

    def fit(self, inputs: tuple[ValueType, ...]) -> Dataset:
        return self._source.fit(inputs)

    @property
    def random(self) -> bool:
        return True

    @property
    def checked_on_reading(self) -> bool:
        return True

    @property
    def repeatable(self) -> bool:
        return True

    def parts(self) -> Iterator[Batch]:
        rows = rows_per_chunk(self.sample_bytes)
        for at in range(0, len(self), rows):
            yield {
                name: np.stack(
                    [self._one(index, position, kind) for index in range(at, min(at + rows, len(self)))],
                )
                for position, (name, kind) in enumerate(self.arrays.items())
            }

    def _one(self, index: int, position: int, kind: SampleType) -> Array:
        # A generator for each sample: the samples are the same whatever the batch size.
        generator = np.random.default_rng((self._source.seed, index, position))
        return random_array(generator, kind.dtype, kind.shape)
