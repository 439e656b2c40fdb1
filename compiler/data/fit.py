"""Fit data to the inputs of a model, or say exactly why it does not fit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from vggc.data.arrays import described
from vggc.data.dataset import Batch, Dataset, SampleType, rows_per_chunk
from vggc.diagnostics import Code, fail, nearest
from vggc.diagnostics.number_text import counted
from vggc.graph.arrays import Array, Size
from vggc.graph.signature import ValueType, batch_sizes, type_text


def fit(dataset: Dataset, inputs: Sequence[ValueType]) -> Dataset:
    """The data under the names and in the types of a model's inputs.

    Arrays are matched by name; a single array goes to a single input whatever its name, and arrays without an input of
    their name are left out. Floats are rounded to a narrower float, and whole numbers go to any integer type that holds
    them; integers do not become floats (vggc does not guess whether a model wants 0..255 or 0..1). The first dimension
    of an input is the batch, whatever size the model declares for it.

    Raises CompileError for names, shapes and types that do not fit, and for NaN and infinity.
    """
    return dataset.fit(tuple(inputs))


class Fitted(Dataset):
    """A data set as the inputs of one model."""

    def __init__(self, source: Dataset, inputs: tuple[ValueType, ...]) -> None:
        self.name = source.name
        self.description = source.description
        self.labels = source.labels
        self.classes = source.classes
        self._source = source
        self._taken = pair(self._source, inputs)
        self._wanted = inputs
        self.arrays = {}
        sizes: dict[str, int] = {}
        for wanted in inputs:
            given = self._source.arrays[self._taken[wanted.name]]
            _check_shape(self._source, self._taken[wanted.name], given, wanted, sizes)
            _check_type(self._source, self._taken[wanted.name], given, wanted)
            self.arrays[wanted.name] = SampleType(wanted.dtype, given.shape)
        if len(batch_sizes(inputs)) > 1:
            declared = ", ".join(str(each) for each in inputs)
            raise fail(
                f"the model's inputs differ in their first dimension, so that samples cannot form a batch: {declared}",
                code=Code.DATA_FIT,
            )
        if not self._source.checked_on_reading:
            for _ in self.parts():
                pass

    def fit(self, inputs: tuple[ValueType, ...]) -> Dataset:
        # From the data itself, which has more arrays and wider types than what was made of it.
        return self._source.fit(inputs)

    def __len__(self) -> int:
        return len(self._source)

    @property
    def checked_on_reading(self) -> bool:
        return self._source.checked_on_reading

    @property
    def extras(self) -> Mapping[str, SampleType]:
        return self._source.extras

    def extra(self, name: str) -> Iterator[Array]:
        return self._source.extra(name)

    @property
    def random(self) -> bool:
        return self._source.random

    @property
    def repeatable(self) -> bool:
        return self._source.repeatable

    @cached_property
    def sha256(self) -> str:
        """A hash over the data and how it was fitted; the hash of the data itself is mostly known already."""
        kinds = [(name, self._taken[name], str(each.dtype), each.shape) for name, each in self.arrays.items()]
        return hashlib.sha256(repr((self._source.sha256, kinds)).encode()).hexdigest()

    def parts(self) -> Iterator[Batch]:
        at = 0
        for batch in self._source.batches(rows_per_chunk(self._source.sample_bytes)):
            yield {
                each.name: _converted(self._source, self._taken[each.name], batch[self._taken[each.name]], each, at)
                for each in self._wanted
            }
            at += len(next(iter(batch.values())))


def pair(dataset: Dataset, inputs: Sequence[ValueType]) -> Mapping[str, str]:
    """The array for each input of a model. Raises CompileError for an input without an array."""
    names = [each.name for each in inputs]
    if not names:
        raise fail("the model has no inputs, so no data fits it", code=Code.DATA_FIT)
    if all(name in dataset.arrays for name in names):
        return {name: name for name in names}
    if len(names) == 1 and len(dataset.arrays) == 1:
        return {names[0]: next(iter(dataset.arrays))}
    missing = next(each for each in inputs if each.name not in dataset.arrays)
    close = nearest(missing.name, dataset.arrays) or next(iter(dataset.arrays))
    raise fail(
        f"data `{dataset.name}` has no array for the model's input `{missing.name}`",
        facts=(
            ("data", ", ".join(described(name, kind) for name, kind in dataset.arrays.items())),
            ("model", ", ".join(str(each) for each in inputs)),
        ),
        help=f'name the arrays like the inputs, or map the names: inputs={{"{missing.name}": "{close}"}}',
        code=Code.DATA_FIT,
    )


def _check_shape(dataset: Dataset, name: str, given: SampleType, wanted: ValueType, sizes: dict[str, int]) -> None:
    if wanted.shape is None:
        return
    facts = (("data", described(name, given)), ("model", str(wanted)))
    if not wanted.shape:
        raise fail(
            f"the model's input `{wanted.name}` is a single number, but data gives one value for each sample",
            facts=facts,
            code=Code.DATA_FIT,
        )
    message = f"array `{name}` of data `{dataset.name}` does not fit the model's input `{wanted.name}`"
    advice = dataset.advice(wanted) or _advice(given, wanted, len(dataset))
    if len(given.shape) != len(wanted.shape) - 1:
        raise fail(
            f"{message}: {_dimensions(given)} for {len(wanted.shape)}", facts=facts, help=advice, code=Code.DATA_FIT
        )
    for axis, (got, want) in enumerate(zip(given.shape, wanted.shape[1:], strict=True), 1):
        if isinstance(want, int) and got != want:
            raise fail(f"{message}: {got} along axis {axis} for {want}", facts=facts, help=advice, code=Code.DATA_FIT)
        if isinstance(want, str) and sizes.setdefault(want, got) != got:
            raise fail(
                f"{message}: `{want}` is {sizes[want]} in another input and {got} here", facts=facts, code=Code.DATA_FIT
            )


def _dimensions(given: SampleType) -> str:
    return counted(len(given.shape) + 1, "dimension")


def _advice(given: SampleType, wanted: ValueType, samples: int) -> str:
    """How to make the shape fit, where that is obvious; else ""."""
    shape = list(wanted.shape or ())[1:]
    if len(given.shape) == 3 == len(shape):
        height, width, channels = given.shape
        if _equal((channels, height, width), shape):
            return "the model takes channels first: numpy.transpose(x, (0, 3, 1, 2))"
        if _equal((width, channels, height), shape):
            return "the model takes channels last: numpy.transpose(x, (0, 2, 3, 1))"
    for axis, size in enumerate(shape):
        if size == 1 and len(given.shape) == len(shape) - 1 and _equal(given.shape, shape[:axis] + shape[axis + 1 :]):
            return f"the axis of length 1 is missing: numpy.expand_dims(x, {axis + 1})"
    if given.shape and len(given.shape) == len(shape) + 1 and given.shape[0] == 1 and _equal(given.shape[1:], shape):
        return "each sample is a batch of one: x[:, 0]"
    if _equal((samples, *given.shape), shape):
        return "the first axis counts the samples: x[None] makes one sample of one array"
    return ""


def _equal(given: Sequence[int], wanted: Sequence[Size]) -> bool:
    return len(given) == len(wanted) and all(
        not isinstance(want, int) or got == want for got, want in zip(given, wanted, strict=True)
    )


def _kind(dtype: np.dtype[np.generic]) -> str:
    """The kind of a type: float, integer, bool or string. Extension types (bfloat16, float8) have numpy's kind V."""
    if dtype.kind in "Vf":
        return "integer" if "int" in dtype.name else "float"
    kinds = {"i": "integer", "u": "integer", "b": "bool", "c": "complex"}
    return kinds.get(dtype.kind, "string")


def _check_type(dataset: Dataset, name: str, given: SampleType, wanted: ValueType) -> None:
    got, want = _kind(given.dtype), _kind(wanted.dtype)
    if got == want or (got == "float" and want == "integer"):
        return
    message = (
        f"array `{name}` of data `{dataset.name}` is {type_text(given.dtype)}, "
        f"but the model's input `{wanted.name}` is {type_text(wanted.dtype)}"
    )
    advice = f"save it as {type_text(wanted.dtype)}"
    if got == "integer" and want == "float":
        advice = (
            "scale it as in training and save it as float32; x.astype(numpy.float32) alone is right "
            "only for a model that takes the numbers as they are"
        )
    raise fail(message, help=advice, code=Code.DATA_FIT)


def _converted(dataset: Dataset, name: str, array: Array, wanted: ValueType, first: int) -> Array:
    """A batch in the type of the input. `first` is the number of its first sample, for messages."""
    where = f"array `{name}` of data `{dataset.name}`"
    kind = _kind(array.dtype)
    if kind == "float" and not np.isfinite(array).all():
        bad, number = _first_bad(array, ~np.isfinite(array))
        raise fail(
            f"{where} has {'NaN' if np.isnan(number) else 'infinity'} in sample {first + bad}",
            help="remove that sample, or repair what wrote it",
            code=Code.NOT_FINITE_DATA,
        )
    if array.dtype == wanted.dtype:
        return array
    if kind == "string":
        return array.astype(object)
    with np.errstate(over="ignore", invalid="ignore"):
        result = array.astype(wanted.dtype)
    if kind == "float" and _kind(wanted.dtype) == "float":
        wrong = ~np.isfinite(result.astype(np.float64))
    else:
        wrong = result.astype(array.dtype) != array
        if array.dtype.kind in "iu":
            # A wrapped number can survive the way back; it has changed its sign then.
            wrong |= (array < 0) != (result < 0)
    if wrong.any():
        bad, number = _first_bad(array, wrong)
        raise fail(
            f"{where}: {number} in sample {first + bad} does not fit {type_text(wanted.dtype)}",
            code=Code.NOT_FINITE_DATA,
        )
    return result


def _first_bad(array: Array, wrong: Array) -> tuple[int, np.generic]:
    at = np.unravel_index(int(np.argmax(wrong)), array.shape)
    return int(at[0]), array[at]
