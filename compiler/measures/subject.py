"""A model that is measured. It is loaded once, and its outputs on each data set are cached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from vggc.data import Batch, Dataset, fit
from vggc.diagnostics import Code, CompileError, fail
from vggc.diagnostics.progress import NO_PROGRESS, Inside
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.signature import fixed_batch, inputs_of, shape_text
from vggc.graph.writer import weight_bytes
from vggc.measures.output_checks import no_output
from vggc.operators.quantizers import QUANTIZERS

BATCH = 32
"""Samples in a run when the batch is dynamic."""

_BATCH_BYTES = 64 << 20
_CACHED_BYTES = 256 << 20
_COPIED_BYTES = 1 << 30


class Kept(Protocol):
    """Outputs of one model that were computed in an earlier run."""

    def read(self, data: Dataset, output: str) -> list[Array] | None:
        """The batches of an output for all samples; None when they have to be computed."""

    def write(self, data: Dataset, output: str, batches: list[Array]) -> None:
        """Keep the batches of an output for all samples."""


class Subject:
    """A graph at one moment of a compilation, with the model as read.

    The graph must not change while it is measured: make a new Subject after a step. `original` is the subject of the
    model as read, and the subject itself when it is the model as read. `kept` has outputs of earlier runs.
    """

    def __init__(
        self,
        graph: Graph,
        original: Subject | None = None,
        progress: Inside = NO_PROGRESS.inside,
        kept: Kept | None = None,
    ) -> None:
        self.graph = graph
        self.original = original or self
        self._progress = progress
        self._kept = kept
        self._outputs: dict[tuple[Dataset, str], list[Array]] = {}
        self.measured: dict[Any, Any] = {}

    @cached_property
    def session(self) -> Session:
        """A session of the graph. It is optimised, which about halves the time, when that does not change the results.

        A quantized graph runs unchanged: onnxruntime's integer kernels would measure the arithmetic of this CPU, which
        may saturate when a GPU does not. A large graph is not optimised, because that would copy it.
        """
        quantized = any(node.op in QUANTIZERS for node in self.graph.nodes)
        large = sum(map(weight_bytes, self.graph.constants())) > _COPIED_BYTES
        return Session(self.graph, optimise="none" if quantized or large else "all")

    def output_name(self, output: str | None) -> str:
        """The name of the given output, or of the first one. Raises CompileError when there is no such output."""
        names = [str(value.name) for value in self.graph.outputs]
        if output is None:
            return names[0]
        if output not in names:
            raise CompileError(no_output(output, names))
        return output

    def outputs(self, data: Dataset, output: str | None = None) -> Iterator[Array]:
        """One output for all samples of a data set, a batch at a time: (samples, ...).

        It is cached when it fits in 256 MB. Raises CompileError when the data does not fit the model, or the output
        does not have one row for each sample.
        """
        key = (data, self.output_name(output))
        if self._kept is not None and key not in self._outputs and (known := self._kept.read(*key)) is not None:
            self._outputs[key] = known
        if key in self._outputs:
            yield from self._outputs[key]
            return
        cached: list[Array] | None = []
        size = 0
        for batches in self._run(data, [key[1]]):
            batch = batches[key[1]]
            size += batch.nbytes
            if size > _CACHED_BYTES:
                cached = None
            if cached is not None:
                cached.append(batch)
            yield batch
        if cached is not None:
            self._outputs[key] = cached
            if self._kept is not None:
                self._kept.write(*key, cached)

    def all_outputs(self, data: Dataset) -> Iterator[Batch]:
        """All outputs for all samples of a data set, a batch at a time: (samples, ...) by name. They are not cached.

        Raises CompileError as `outputs` does.
        """
        return self._run(data, [str(value.name) for value in self.graph.outputs])

    def _run(self, data: Dataset, outputs: Sequence[str]) -> Iterator[Batch]:
        inputs = inputs_of(self.graph)
        fitted = fit(data, inputs)
        fixed = fixed_batch(inputs)
        size = fixed or max(1, min(BATCH, _BATCH_BYTES // max(1, fitted.sample_bytes)))
        for index, batch in enumerate(fitted.batches(size)):
            self._progress(f"run on `{data.name}`", index * size, len(fitted))
            count = len(next(iter(batch.values())))
            results = self.session.run(filled(batch, fixed))
            yield {name: self._rows(results[name], name, fixed or count)[:count] for name in outputs}

    def _rows(self, result: Any, output: str, rows: int) -> Array:
        """An output with its samples along the first axis. Raises CompileError when it has not one row for each."""
        if self._is_time_major(result, output, rows):
            # Samples first, then what stood last, the classes: as other outputs with places have them.
            result = np.moveaxis(result, (1, -1), (0, 1))
        if not isinstance(result, np.ndarray) or result.ndim == 0 or len(result) != rows:
            shape = f"has shape {shape_text(result.shape)}" if isinstance(result, np.ndarray) else "is a sequence"
            raise fail(
                f"output `{output}` {shape}, not one row for each of {rows} samples",
                help="name another output: output=...",
                code=Code.MODEL_OUTPUT,
            )
        return result

    def _is_time_major(self, result: Any, output: str, rows: int) -> bool:
        """Whether an output is (steps, samples, classes), as recurrent layers have it.

        The declared shape says so where it names the batch; otherwise the number of samples does.
        """
        if not isinstance(result, np.ndarray) or result.ndim < 3 or result.shape[1] != rows:
            return False
        declared = next((self.graph.shape(value) for value in self.graph.outputs if value.name == output), None)
        batches = {value.shape[0] for value in self.graph.inputs if value.shape and isinstance(value.shape[0], str)}
        if declared is not None and batches & {declared[0], declared[1]}:
            return declared[0] not in batches
        return len(result) != rows


def filled(batch: Mapping[str, Array], rows: int | None) -> Batch:
    """A batch of exactly `rows` samples: arrays (rows, ...). Missing samples are filled with copies of the last one."""
    if rows is None:
        return dict(batch)
    return {
        name: array if len(array) == rows else np.concatenate([array, np.repeat(array[-1:], rows - len(array), axis=0)])
        for name, array in batch.items()
    }
