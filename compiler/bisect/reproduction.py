"""The smallest reproduction: a recipe of one step, and the piece of the model on which it does what it did.

The piece is taken from the model as it was before the step, with the numbers that reached it as its data. It begins
as the nodes of the change alone, and grows until the step does there what it did in the whole.
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
from vggc.bisect.stages import Guilty, apply
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
"""The share of an error that a piece has to show."""

_MARGIN = 10
"""Decibels by which the reproduction's gate is above what the step reaches."""


@dataclass(frozen=True)
class Reproduction:
    """A recipe's text, its model, and its data sets as arrays by input; `whole` when no smaller piece would do."""

    text: str
    graph: Graph
    data: Mapping[str, Feeds]
    whole: bool

    def write(self, folder: Path) -> list[Path]:
        """Write the three into a folder that is there, and say which files that are."""
        (folder / RECIPE).write_text(self.text, encoding="utf-8")
        written = [each.path for each in self.graph.save(folder / MODEL)]
        for name, arrays in self.data.items():
            path = folder / f"{name}.npz"
            numbered: dict[str, Any] = {f"array_{at}": array for at, array in enumerate(arrays.values())}
            np.savez(path, **numbered)
            written.append(path)
        return [folder / RECIPE, *written]


def reproduce(found: Bisection, pipeline: Pipeline, asked: BoundData | None, folder: Path) -> Reproduction:
    """The reproduction of a bisection that found a guilty step, for `folder`; `asked` is what the measure ran on."""
    assert found.guilty is not None
    return _ReproductionSearch(found, found.guilty, pipeline, asked).run(folder)


class _ReproductionSearch:
    def __init__(self, found: Bisection, guilty: Guilty, pipeline: Pipeline, asked: BoundData | None) -> None:
        self._found = found
        self._guilty = guilty
        self._pipeline = pipeline
        used = [each for each in guilty.step.options.values() if isinstance(each, BoundData)]
        self._sets = list(dict.fromkeys([*used, *([asked] if asked is not None else [])]))
        self._feeds = {each.name: self._feed(each) for each in self._sets}
        self._asked = asked

    def run(self, folder: Path) -> Reproduction:
        graph, whole = self._smallest()
        data = self._captured(graph)
        assert data is not None, "the samples fit the model they were measured on"
        return Reproduction(self._text(graph, data, folder), graph, data, whole)

    def _feed(self, data: BoundData) -> Feeds:
        fitted = data.load().fit(inputs_of(self._guilty.before))
        return next(iter(fitted.batches(SAMPLES, limit=SAMPLES)))

    def _smallest(self) -> tuple[Graph, bool]:
        """The smallest piece found on which the step does it, and whether it is the whole model."""
        before = self._guilty.before
        for computed in self._candidates():
            try:
                graph = cut(before, computed)
                inputs_of(graph)
            except CompileError:
                # Where it is cut, a value has no type: the next piece is larger.
                continue
            if len(graph.nodes) < len(before.nodes) and graph.inputs and self._does_it(graph):
                return graph, False
        return before.copy(), True

    def _candidates(self) -> list[set[str]]:
        before, after = self._guilty.before, self._guilty.after
        if after is None:
            # Where a step fails nothing says where: the model's beginning, a node longer at a time.
            names = [{value.name for value in node.outputs if value.name} for node in before.nodes]
            return [set().union(*names[: at + 1]) for at in range(len(names))] if len(names) <= 256 else []
        if not self._found.worst:
            return []
        segment = Segments(before, self._found.shared).of(self._found.worst[0].change.value)
        return [around(before, segment.nodes, depth) for depth in _DEPTHS]

    def _captured(self, graph: Graph) -> dict[str, Feeds] | None:
        """Samples for the inputs of a piece, by data set; None where an input has not one row for each sample."""
        found: dict[str, Feeds] = {}
        for name, feed in self._feeds.items():
            count = len(next(iter(feed.values())))
            values = fetch(self._guilty.before, [each.name for each in graph.inputs], dict(feed))
            arrays = {each.name: feed.get(each.name, values.get(each.name)) for each in graph.inputs}
            kept = {key: array for key, array in arrays.items() if isinstance(array, np.ndarray) and array.ndim}
            if len(kept) < len(arrays) or any(len(array) != count for array in kept.values()):
                return None
            found[name] = kept
        return found

    def _does_it(self, graph: Graph) -> bool:
        data = self._captured(graph)
        if data is None:
            return False
        try:
            after = self._applied(graph, data)
        except CompileError:
            return self._guilty.after is None
        if self._guilty.after is None or self._asked is None:
            return False
        change = self._found.worst[0].change
        wanted = self._error(
            self._guilty.before,
            joined(self._guilty.before, self._guilty.after, [change], self._found.shared, self._found.scaled),
            self._feeds,
        )
        return self._error(graph, after, data) >= _ENOUGH * wanted > 0

    def _applied(self, graph: Graph, data: Mapping[str, Feeds]) -> Graph:
        """A piece after the step. Raises CompileError where the step fails on it."""
        step, after = self._guilty.step, graph.copy()
        options = {
            key: _dataset(each.name, data[each.name]).fit(inputs_of(graph)) if isinstance(each, BoundData) else each
            for key, each in step.options.items()
        }
        apply(step, after, options, self._pipeline, graph)
        after.infer_shapes()
        return after

    def _error(self, before: Graph, after: Graph, data: Mapping[str, Feeds]) -> float:
        """How far the change's value is from what it was, on the measure's data; infinite where it is not computed."""
        assert self._asked is not None
        name, feed = self._found.worst[0].change.value, dict(data[self._asked.name])
        try:
            old, new = fetch(before, [name], feed), fetch(after, [name], feed)
        except CompileError:
            return math.inf
        return distance(old[name], new[name]).error if name in old and name in new else math.inf

    def _text(self, graph: Graph, data: Mapping[str, Feeds], folder: Path) -> str:
        step = self._guilty.step
        lines = [f"# Step `{step.name}` ({step.label}) alone, on the piece of the model where it does its harm."]
        lines += declarations(step, self._pipeline.source, folder)
        for name, arrays in data.items():
            pairs = ", ".join(f'"{key}": "array_{at}"' for at, key in enumerate(arrays))
            lines.append(f'data {name} = npz("{name}.npz", inputs={{{pairs}}})')
        lines += ["", call(step), *self._gate(graph, data), "target onnx"]
        return "\n".join(lines) + "\n"

    def _gate(self, graph: Graph, data: Mapping[str, Feeds]) -> list[str]:
        """A requirement that the step does not meet; none where it fails by itself."""
        if self._asked is None or self._guilty.after is None:
            return []
        name = self._asked.name
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
    found = ArrayDataset(dict(arrays), None, f"samples of {name}")
    found.name = name
    return found
