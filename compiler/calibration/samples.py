"""The calibration samples of a pass, in batches of a size that keeps memory bounded."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from vggc.calibration.variations import Variations, is_image
from vggc.data import Batch, Dataset
from vggc.data.content import apart_by_content
from vggc.data.selected import Selected
from vggc.diagnostics import Code, CompileError, fail
from vggc.diagnostics.number_text import counted
from vggc.diagnostics.progress import Inside
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Int64
from vggc.graph.signature import ValueType, fixed_batch, inputs_of, outputs_of
from vggc.rewrite import Context

BATCH_BYTES = 256 << 20
"""About what all values of a batch take together; a model that runs holds a few of them at a time."""

_LARGEST_BATCH = 64

_TRIED = 256
"""Samples that are kept for trials at most; a quarter of all where that is less."""

FEW = 32
"""Samples below which what is found on them are guesses."""


class Samples:
    """All samples of a data set as batches of one size, the same ones on every reading.

    `labels` are the class numbers of all samples of the data, or None. `random` says that they are made up.
    A model of a fixed batch size gets batches of that size; what is left over at the end is not used.
    A pass makes them once of its graph, and they serve for copies of it too. Raises CompileError when the data does not
    fit the model or is not enough for one batch.
    """

    def __init__(self, graph: Graph, data: Dataset) -> None:
        self.inputs: tuple[ValueType, ...] = inputs_of(graph)
        self.name = data.name
        self.labels = data.labels
        self.random = data.random
        self.data = data.fit(self.inputs)
        self._seed: int | None = None
        self._shown: tuple[Inside, str] | None = None
        count = len(self.data)
        fixed = fixed_batch(self.inputs)
        self.fixed = fixed is not None
        self.size = fixed or max(1, min(_LARGEST_BATCH, BATCH_BYTES // self._bytes_per_sample(graph), count))
        self.count = count - count % fixed if fixed else count
        if self.count < 1:
            given = counted(len(self.data), "sample")
            raise fail(
                f"data `{data.name}` has {given}, but the model takes batches of {self.size}",
                help="give it more samples",
                code=Code.TOO_FEW_SAMPLES,
            )

    def _bytes_per_sample(self, graph: Graph) -> int:
        """About what the values of one sample take, all of them at once.

        Where the shapes of the model do not say it, the first sample says it.
        """
        values = [value for node in graph.nodes for value in node.outputs if value.name]
        fixed = fixed_batch(self.inputs) or 1
        if all(_is_sized(graph, value) for value in values):
            return max(1, sum(_bytes(graph, value) for value in values) // fixed)
        session = Session(graph, [value.name for value in values])
        first = next(iter(self.data.batches(fixed, fixed)))
        found = session.run({each.name: first[each.name] for each in session.inputs})
        arrays = [part for each in found.values() for part in (each if isinstance(each, list) else [each])]
        return max(1, sum(each.nbytes for each in arrays) // fixed)

    def __len__(self) -> int:
        """The number of batches; of images that are varied, those of their variations too."""
        batches = (self.count + self.size - 1) // self.size
        return batches if self._seed is None else 2 * batches

    def few(self, count: int) -> Batch:
        """The first samples, or one batch where its size is fixed: each array is (samples, ...)."""
        return next(iter(self.data.batches(self.size if self.fixed else min(count, self.count), self.count)))

    def __iter__(self) -> Iterator[Batch]:
        batches = self.data.batches(self.size, self.count)
        found = batches if self._seed is None else self._variations(batches, self._seed)
        return found if self._shown is None else self._show(found, *self._shown)

    def shown(self, progress: Inside, what: str) -> Samples:
        """The same samples. Whoever reads them shows that the work `what` has come to the next batch."""
        found = copy.copy(self)
        found._shown = progress, what
        return found

    def _show(self, batches: Iterator[Batch], progress: Inside, what: str) -> Iterator[Batch]:
        for index, batch in enumerate(batches):
            progress(what, index, len(self))
            yield batch

    def varied(self, seed: int) -> Samples:
        """The same samples, and behind each batch a variation of its images; the same ones where there are no images.

        Other inputs of a variation are those of the batch.
        """
        found = copy.copy(self)
        if self.images:
            found._seed = seed
        return found

    @property
    def images(self) -> list[str]:
        """The names of the inputs that take images which can be varied."""
        return [each.name for each in self.inputs if is_image(each, self.data.arrays[each.name].shape)]

    def _variations(self, batches: Iterator[Batch], seed: int) -> Iterator[Batch]:
        variations = {name: Variations(seed) for name in self.images}
        for batch in batches:
            yield batch
            yield {name: variations[name](array) if name in variations else array for name, array in batch.items()}

    def up_to(self, count: int) -> Samples:
        """The first `count` samples, or all where there are fewer; in whole batches where their size is fixed."""
        least = self.size if self.fixed else 1
        found = copy.copy(self)
        found.count = min(self.count, max(least, count - count % least))
        if self.labels is not None:
            found.labels = self.labels[: found.count]
        return found

    def spread(self, count: int) -> Samples:
        """About `count` samples at even distances, or all where there are fewer; in whole batches of a fixed size."""
        rows = self._spread(count)
        found = self._selected(rows)
        found.size = min(self.size, len(rows))
        return found

    def beside(self, count: int) -> Samples | None:
        """The samples that are not among those of `spread(count)`, if there are such."""
        others = np.setdiff1d(np.arange(self.count), self._spread(count))
        return self._selected(others) if len(others) else None

    def _spread(self, count: int) -> Int64:
        least = self.size if self.fixed else 1
        wanted = min(self.count, max(least, count - count % least))
        return np.arange(wanted) * self.count // wanted

    def in_batches_of(self, size: int) -> Samples:
        """The same samples in smaller batches; in their own where the model fixes the size."""
        found = copy.copy(self)
        if not self.fixed:
            found.size = min(self.size, size)
        return found

    def apart(self, parts: int = 4) -> tuple[Samples, Samples]:
        """One of so many parts for trials, at most 256 samples, and the others; all of them twice where they are few.

        Images for trials are such whose content the others do not have.
        """
        batches = min(len(self) // parts, max(1, _TRIED // self.size))
        if not batches:
            return self, self
        count = batches * self.size
        divided = None if self.random or self.fixed else apart_by_content(self.data, count)
        if divided is not None:
            return self._selected(divided.judge), self._selected(divided.learn)
        return self._selected(np.arange(count)), self._selected(np.arange(count, self.count))

    def _selected(self, rows: Int64) -> Samples:
        found = copy.copy(self)
        found.data, found.count = Selected(self.data, rows), len(rows)
        if self.labels is not None:
            found.labels = self.labels[rows]
        return found


def sample_sizes(graph: Graph, data: Dataset) -> dict[str, tuple[int, ...]]:
    """The dimensions of one sample of each input, without the batch. Raises CompileError when the data does not fit."""
    return {name: kind.shape for name, kind in data.fit(inputs_of(graph)).arrays.items()}


def warn_of_samples(context: Context, samples: Samples, found: str) -> None:
    """Warn of samples that say too little of what the model will see; `found` is what is found on them, in plural."""
    if samples.count < FEW:
        given = counted(samples.count, "sample")
        context.warn(
            f"data `{samples.name}` has {given}: {found} found on fewer than {FEW} are guesses; use a few hundred"
        )
    if samples.random:
        context.warn(f"data `{samples.name}` is random: {found} found on it do not hold for real inputs")
        return
    arrays = list(samples.few(FEW).values())
    if arrays and all(len(each) > 1 and bool((each == each[:1]).all()) for each in arrays):
        first = len(arrays[0])
        context.warn(f"the samples of data `{samples.name}` are all equal, at least the first {first}: is it complete?")


def _is_sized(graph: Graph, value: gs.Tensor) -> bool:
    """Whether the dimensions of a value are known, but for the batch."""
    shape = graph.shape(value)
    return shape is not None and graph.dtype(value) is not None and all(isinstance(size, int) for size in shape[1:])


def _bytes(graph: Graph, value: gs.Tensor) -> int:
    shape, dtype = graph.shape(value), graph.dtype(value)
    assert shape is not None
    assert dtype is not None
    return math.prod(size if isinstance(size, int) else 1 for size in shape) * dtype.itemsize


def floating_outputs(graph: Graph) -> list[str]:
    """The outputs whose error can be measured."""
    return [each.name for each in outputs_of(graph) if each.dtype.kind in "fV"]


def not_finite(what: str, data: str) -> CompileError:
    return fail(
        f"{what} has NaN or infinite numbers on the samples of data `{data}`",
        help="look at the samples and at the model before pruning it: vggc inspect, vggc diff",
        code=Code.NOT_FINITE_RESULT,
    )
