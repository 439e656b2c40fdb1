"""The smallest reproduction: a recipe of one step, and a piece of the model on which the step has the same effect.

The piece is cut out of the model before the step. The values that reached it there are its data. The search begins with
the nodes of the change alone, and the piece grows until the step has the same effect on it as on the whole model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vggc.bisect.changes import Segments, joined
from vggc.bisect.cut import around, cut
from vggc.bisect.recipe_text import call, declarations
from vggc.bisect.search import Bisection
from vggc.bisect.stages import GuiltyStep, apply_step
from vggc.data import ArrayDataset
from vggc.diagnostics import CompileError
from vggc.execution.array_distance import distance
from vggc.execution.intermediates import fetch
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.graph.signature import inputs_of
from vggc.measures import Subject
from vggc.measures.outputs import sqnr
from vggc.pipeline.model import BoundData, Pipeline

SAMPLES = 64
"""Samples of each data set that a reproduction keeps."""

RECIPE, MODEL = "bisect.opt", "model.onnx"

_DEPTHS = (0, 1, 2, 4, 8, 16)
_ENOUGH = 0.5
"""The share of the error that the step must cause on a piece."""

_MARGIN = 10
"""Decibels between the limit of the reproduction's gate and what the step reaches."""


@dataclass(frozen=True)
class Reproduction:
    """A recipe's text, its model, and its data sets as arrays by input; `whole` when no smaller piece was found."""

    text: str
    graph: Graph
    data: Mapping[str, Feeds]
    whole: bool

    def write(self, folder: Path) -> list[Path]:
        """Write recipe, model and data into an existing folder. Returns the files."""
        (folder / RECIPE).write_text(self.text, encoding="utf-8")
        written = [each.path for each in self.graph.save(folder / MODEL)]
        for name, arrays in self.data.items():
            path = folder / f"{name}.npz"
            numbered: dict[str, Any] = {f"array_{at}": array for at, array in enumerate(arrays.values())}
            np.savez(path, **numbered)
            written.append(path)
        return [folder / RECIPE, *written]


def reproduce(bisection: Bisection, pipeline: Pipeline, data: BoundData | None, folder: Path) -> Reproduction:
    """The reproduction, for `folder`, of a bisection that found a guilty step. `data` is the data of the measure."""
    assert bisection.guilty is not None
    return _ReproductionSearch(bisection, bisection.guilty, pipeline, data).run(folder)


class _ReproductionSearch:
    def __init__(self, bisection: Bisection, guilty: GuiltyStep, pipeline: Pipeline, data: BoundData | None) -> None:
        self._bisection = bisection
        self._guilty = guilty
        self._pipeline = pipeline
        used = [each for each in guilty.step.options.values() if isinstance(each, BoundData)]
        self._sets = list(dict.fromkeys([*used, *([data] if data is not None else [])]))
        self._feeds = {each.name: self._feed(each) for each in self._sets}
        self._measure_data = data

    def run(self, folder: Path) -> Reproduction:
        graph, whole = self._smallest()
        data = self._captured(graph)
        assert data is not None, "the samples fit the model they were measured on"
        return Reproduction(self._text(graph, data, folder), graph, data, whole)

    def _feed(self, data: BoundData) -> Feeds:
        fitted = data.load().fit(inputs_of(self._guilty.before))
        return next(iter(fitted.batches(SAMPLES, limit=SAMPLES)))

    def _smallest(self) -> tuple[Graph, bool]:
        """The smallest piece found on which the step has its effect, and whether this is the whole model."""
        before = self._guilty.before
        for computed in self._candidates():
            try:
                graph = cut(before, computed)
                inputs_of(graph)
            except CompileError:
                # A value at the edge of this piece has no type. The next piece is larger.
                continue
            if len(graph.nodes) < len(before.nodes) and graph.inputs and self._reproduces(graph):
                return graph, False
        return before.copy(), True

    def _candidates(self) -> list[set[str]]:
        before, after = self._guilty.before, self._guilty.after
        if after is None:
            # A step that fails does not say where: try beginnings of the model, each longer by one node.
            names = [{value.name for value in node.outputs if value.name} for node in before.nodes]
            return [set().union(*names[: at + 1]) for at in range(len(names))] if len(names) <= 256 else []
        if not self._bisection.worst:
            return []
        segment = Segments(before, self._bisection.shared).of(self._bisection.worst[0].change.value)
        return [around(before, segment.nodes, depth) for depth in _DEPTHS]

    def _captured(self, graph: Graph) -> dict[str, Feeds] | None:
        """Samples for the inputs of a piece, by data set; None when an input does not have one row for each sample."""
        captured: dict[str, Feeds] = {}
        for name, feed in self._feeds.items():
            count = len(next(iter(feed.values())))
            values = fetch(self._guilty.before, [each.name for each in graph.inputs], dict(feed))
            arrays = {each.name: feed.get(each.name, values.get(each.name)) for each in graph.inputs}
            kept = {key: array for key, array in arrays.items() if isinstance(array, np.ndarray) and array.ndim}
            if len(kept) < len(arrays) or any(len(array) != count for array in kept.values()):
                return None
            captured[name] = kept
        return captured

    def _reproduces(self, graph: Graph) -> bool:
        data = self._captured(graph)
        if data is None:
            return False
        try:
            after = self._applied(graph, data)
        except CompileError:
            return self._guilty.after is None
        if self._guilty.after is None or self._measure_data is None:
            return False
        change = self._bisection.worst[0].change
        wanted = self._error(
            self._guilty.before,
            joined(self._guilty.before, self._guilty.after, [change], self._bisection.shared, self._bisection.scaled),
            self._feeds,
        )
        return self._error(graph, after, data) >= _ENOUGH * wanted > 0

    def _applied(self, graph: Graph, data: Mapping[str, Feeds]) -> Graph:
        """A piece after the step. Raises CompileError when the step fails on it."""
        step, after = self._guilty.step, graph.copy()
        options = {
            key: _dataset(each.name, data[each.name]).fit(inputs_of(graph)) if isinstance(each, BoundData) else each
            for key, each in step.options.items()
        }
        apply_step(step, after, options, self._pipeline, graph)
        after.infer_shapes()
        return after

    def _error(self, before: Graph, after: Graph, data: Mapping[str, Feeds]) -> float:
        """The error of the change's value on the measure's data; infinite when the value cannot be computed."""
        assert self._measure_data is not None
        name, feed = self._bisection.worst[0].change.value, dict(data[self._measure_data.name])
        try:
            old, new = fetch(before, [name], feed), fetch(after, [name], feed)
        except CompileError:
            return math.inf
        return distance(old[name], new[name]).error if name in old and name in new else math.inf

    def _text(self, graph: Graph, data: Mapping[str, Feeds], folder: Path) -> str:
        step = self._guilty.step
        lines = [f"# Only the step `{step.name}` ({step.label}), on the piece of the model that it damages."]
        lines += declarations(step, self._pipeline.source, folder)
        for name, arrays in data.items():
            pairs = ", ".join(f'"{key}": "array_{at}"' for at, key in enumerate(arrays))
            lines.append(f'data {name} = npz("{name}.npz", inputs={{{pairs}}})')
        lines += ["", call(step), *self._gate(graph, data), "target onnx"]
        return "\n".join(lines) + "\n"

    def _gate(self, graph: Graph, data: Mapping[str, Feeds]) -> list[str]:
        """A requirement that the step does not meet; none when the step itself fails."""
        if self._measure_data is None or self._guilty.after is None:
            return []
        name = self._measure_data.name
        samples = _dataset(name, data[name])
        try:
            reached = float(
                sqnr(Subject(self._applied(graph, data), Subject(graph)), data=samples.fit(inputs_of(graph)))
            )
        except CompileError:
            return [f"require sqnr({name}) >= 0  # the model does not run after the step"]
        if math.isinf(reached) and reached > 0:
            return []
        wanted = max(0, math.floor(reached) + _MARGIN) if math.isfinite(reached) else 0
        return [f"require sqnr({name}) >= {wanted}  # it reaches {reached:.1f} dB"]


def _dataset(name: str, arrays: Feeds) -> ArrayDataset:
    dataset = ArrayDataset(dict(arrays), None, f"samples of {name}")
    dataset.name = name
    return dataset
