"""Run a recipe and measure the model after every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggc.diagnostics import Code, CompileError, fail
from vggc.diagnostics.progress import Progress
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
from vggc.measures import Subject
from vggc.pipeline.conditions import Kind, Measured
from vggc.pipeline.execute import apply
from vggc.pipeline.model import BoundData, BoundStep, Pipeline
from vggc.pipeline.runner import Runner
from vggc.pipeline.step_cache import StepCache
from vggc.report.record import Report, StepRecord
from vggc.rewrite import Context


class MeasureScale:
    """A measure of a model as a number, and how bad that number is."""

    def __init__(self, measured: Measured, original: Graph) -> None:
        self.measure = measured.measure
        self.kind: Kind = measured.kind
        self._options = measured.options
        self._original = Subject(original)

    @property
    def data(self) -> BoundData | None:
        """The data set that the measure runs the model on."""
        return next((each for each in self._options.values() if isinstance(each, BoundData)), None)

    def value(self, graph: Graph) -> float | CompileError:
        """The measure of a graph, or the error when the model does not run."""
        inputs = inputs_of(graph)
        options = {
            name: each.load().fit(inputs) if isinstance(each, BoundData) else each
            for name, each in self._options.items()
        }
        try:
            return float(self.measure(Subject(graph, self._original), **options))
        except CompileError as error:
            return error

    def badness(self, value: float | CompileError) -> float:
        """A number that grows as the model gets worse; infinite when the measure is not a number.

        Decibels are converted to the share of noise, so that the noises of steps add up.
        """
        if isinstance(value, CompileError) or math.isnan(value):
            return math.inf
        if self.measure.unit == "dB":
            return 10 ** min(-value / 10, 300.0)
        return value if self.measure.better == "lower" else -value


@dataclass(frozen=True)
class Stage:
    """A step that ran, the measure after it, and how much worse this is than before the step.

    `cost` is in the unit of the measure (for dB, the share of noise), and infinite when the model broke.
    """

    name: str
    line: str
    value: float | CompileError
    cost: float


@dataclass(frozen=True)
class GuiltyStep:
    """The step that costs the most, with the graph before it and, unless the step itself failed, after it."""

    step: BoundStep
    before: Graph
    after: Graph | None


class _Broken(Exception):
    """The model cannot be measured any more, so the effect of later steps has no meaning."""


class MeasuredRun:
    """One run of a recipe's steps on a model, without gates and targets."""

    def __init__(self, pipeline: Pipeline, model: Path, measured: Measured, progress: Progress) -> None:
        self._pipeline = pipeline
        self._model = model
        self._progress = progress
        self.graph = Graph.load(model)
        self.graph.infer_shapes(check=True)
        self.original = self.graph.copy()
        self.scale = MeasureScale(measured, self.original)
        self.stages: list[Stage] = []
        self.guilty: GuiltyStep | None = None
        self._last = self.original
        self._steps = list(pipeline.steps())
        first = self.scale.value(self.original)
        if isinstance(first, CompileError):
            raise first
        self.first = first
        self._badness = self.scale.badness(first)
        if math.isinf(self._badness):
            raise fail(
                f"the measure `{measured.measure.name}` of the model as read is not a number, so nothing is worse",
                code=Code.BISECT,
            )
        self._worst = 0.0

    def run(self) -> None:
        """Run every step. Raises CompileError when the model as read cannot be measured."""
        report = Report({}, {}, "off")
        runner = Runner(
            self._pipeline,
            self.graph,
            self._model,
            verify="off",
            report=report,
            progress=self._progress,
            cache=StepCache.of_user(self._model, self.graph),
            stepped=self._stepped,
            gates=False,
        )
        try:
            runner.run()
        except _Broken:
            return
        except CompileError as error:
            failed = self._failed(error)
            self.stages.append(Stage(failed.name, failed.label, error, math.inf))
            self.guilty = GuiltyStep(failed, self._last, None)

    def _failed(self, error: CompileError) -> BoundStep:
        """The step that an error belongs to. Raises the error itself when it belongs to no step."""
        spans = {each.span for each in error.diagnostics}
        for step in self._steps:
            if step.span in spans:
                return step
        raise error

    def _stepped(self, record: StepRecord, graph: Callable[[], Graph]) -> None:
        step = next(each for each in self._steps if (each.name, each.label) == (record.name, record.line))
        if not record.total:
            return
        now = graph().copy()
        now.infer_shapes()
        self._progress.begin(f"measuring after {record.name}")
        value = self.scale.value(now)
        badness = self.scale.badness(value)
        cost = badness - self._badness
        self.stages.append(Stage(record.name, record.line, value, cost))
        if cost > self._worst:
            self._worst, self.guilty = cost, GuiltyStep(step, self._last, now)
        self._last, self._badness = now, badness
        if math.isinf(badness):
            raise _Broken


def apply_step(step: BoundStep, graph: Graph, options: Mapping[str, Any], pipeline: Pipeline, original: Graph) -> None:
    """Run a step on a graph like the compiler does. Raises CompileError when the pass refuses or fails."""
    context = Context(targets=pipeline.destinations, original=lambda: original)
    apply(step, graph, context, options, doing="while bisecting")
