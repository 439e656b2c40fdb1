"""The inputs of a model that is measured, and random numbers for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vggc.bench.folders import is_runtime_model
from vggc.data import Dataset
from vggc.diagnostics import Code, CompileError, fail
from vggc.execution.random_inputs import random_feeds, random_inputs
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.graph.signature import ValueType, inputs_of
from vggc.runtimes.model import RUNTIMES
from vggc.runtimes.sidecar import read_sidecar

CPU = "onnxruntime CPU"


class ModelInputs(ABC):
    """The inputs of a model. `fixed` is the only batch size that it takes, None when it takes any."""

    def __init__(self, model: Path, wanted: Sequence[ValueType], runtime: str) -> None:
        self._model = model
        self._wanted = tuple(wanted)
        self.runtime = runtime
        firsts = [each.shape[0] for each in wanted if each.shape]
        sizes = [each for each in firsts if isinstance(each, int)]
        # One dynamic first dimension makes the batch dynamic. Other inputs may have none.
        self.fixed = sizes[0] if sizes and len(sizes) == len(firsts) else None

    def takes(self, batch: int) -> bool:
        """Whether the model can run `batch` samples."""
        return self.fixed is None or self.fixed == batch

    def samples(self, data: Dataset, count: int) -> Feeds:
        """The first `count` samples of data as rows for these inputs. Raises CompileError when they do not fit."""
        try:
            return next(iter(data.fit(self._wanted).batches(count, count)))
        except CompileError as error:
            raise self._named(error) from None

    def _named(self, error: CompileError) -> CompileError:
        """The error with the model."""
        named = ("model", f"`{self._model}`")
        return CompileError(*(replace(each, facts=(named, *each.facts)) for each in error.diagnostics))

    @abstractmethod
    def feeds(self, batch: int) -> Feeds:
        """Random inputs, the same for all models with the same inputs. Raises CompileError when none fit."""


class OnnxInputs(ModelInputs):
    """The inputs of an ONNX model, which is run to find sizes that fit."""

    def __init__(self, model: Path) -> None:
        self._graph = Graph.load(model)
        self._graph.infer_shapes(check=True)
        super().__init__(model, inputs_of(self._graph), CPU)

    def feeds(self, batch: int) -> Feeds:
        try:
            return random_inputs(self._graph, self._wanted, batches=(batch,))[0]
        except CompileError as error:
            raise self._named(error) from None


class RuntimeInputs(ModelInputs):
    """The inputs of a model for another runtime, as its sidecar describes them."""

    def __init__(self, sidecar: Path) -> None:
        described = read_sidecar(sidecar)
        super().__init__(sidecar, described.input_types(), RUNTIMES[described.runtime].title)

    def feeds(self, batch: int) -> Feeds:
        wanted = []
        for each in self._wanted:
            shape = [
                batch if axis == 0 and not isinstance(size, int) else size for axis, size in enumerate(each.shape or ())
            ]
            if not all(isinstance(size, int) for size in shape):
                raise fail(
                    f"the input {each} of `{self._model}` has dimensions without a size besides the batch",
                    help="set them in the recipe with set_input_shapes",
                    code=Code.BENCH,
                )
            wanted.append(each._replace(shape=tuple(shape)))
        return random_feeds(wanted)


def inputs_of_file(model: Path) -> ModelInputs:
    """The inputs of an ONNX model, or of the model that a sidecar describes. Raises CompileError."""
    return RuntimeInputs(model) if is_runtime_model(model) else OnnxInputs(model)
