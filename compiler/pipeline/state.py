"""The model while it is compiled, for conditions and steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggc.analysis.costs import Costs, costs
from vggc.diagnostics import at
from vggc.diagnostics.progress import NO_PROGRESS, Inside
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
from vggc.measures import Subject, Timing
from vggc.pipeline.dependencies import Dependencies
from vggc.pipeline.execute import size_of
from vggc.pipeline.kept_outputs import KeptOutputs
from vggc.pipeline.model import BoundData
from vggc.pipeline.step_cache import SLOW_SECONDS, StepCache
from vggc.report.record import ModelCost, StepRecord


@dataclass(eq=False)
class Point:
    """The model after some steps. `change` makes its graph from the graph before it, or `made` returns its graph."""

    key: str | None
    before: Point | None = None
    change: Callable[[Graph], Graph] = lambda graph: graph
    made: Callable[[], Graph] | None = None
    label: str | None = None
    """the line of the step that leads here"""
    seconds: float = 0.0
    """the time that it takes to get here from the last graph in the cache"""

    def labels(self) -> list[str]:
        """The lines of all steps up to here."""
        labels = []
        point: Point | None = self
        while point is not None:
            labels += [point.label] if point.label is not None else []
            point = point.before
        return labels[::-1]


@dataclass(frozen=True, eq=False)
class Moment:
    """The model at one moment of a compile: its graph, which is made when it is needed."""

    point: Point
    graph: Callable[[], Graph]

    @property
    def key(self) -> str | None:
        """The key of the model in the cache; None when it cannot be found again."""
        return self.point.key


class CompileState:
    """The current graph, the model as read, measures of both (vggc.pipeline.conditions.State), and their data.

    A step that the cache knows does not run: the graph after it is read, or made, when something asks for it.
    """

    def __init__(
        self,
        graph: Graph,
        model: Path,
        cache: StepCache,
        dependencies: Dependencies,
        progress: Inside = NO_PROGRESS.inside,
    ) -> None:
        self._progress = progress
        self._model = model
        self._cache = cache
        self._dependencies = dependencies
        self._first = self._point = Point(cache.root)
        self._graph = graph
        self._graph_is_of = self._point
        self._as_read: Graph | None = None
        self._subject: Subject | None = None
        self._original_subject: Subject | None = None
        self._fitted: dict[int, Any] = {}
        self._costs: Costs | None = None
        self._size: ModelCost | None = None

    # --- the current graph --------------------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        """The graph as it is now. A step that has changed it must be recorded by `stepped`."""
        if self._graph_is_of is not self._point:
            self._graph = self._brought_to(self._point, self._graph, self._graph_is_of)
            self._graph_is_of = self._point
        return self._graph

    @property
    def key(self) -> str | None:
        """The key of the model as it is now; None when it cannot be known in another run."""
        return self._point.key

    @property
    def costs(self) -> Costs:
        """The costs of the graph as it is now."""
        if self._costs is None:
            self._costs = costs(self.graph)
        return self._costs

    @property
    def size(self) -> ModelCost:
        """The size of the graph as it is now."""
        if self._size is None:
            self._size = size_of(self.costs)
        return self._size

    def now(self) -> Moment:
        """This moment, until the next step."""
        return Moment(self._point, lambda: self.graph)

    def held(self) -> Moment:
        """This moment, which later steps do not change."""
        if self._graph_is_of is self._point:
            copy = self._graph.copy()
            return Moment(self._point, lambda: copy)
        point, made = self._point, list[Graph]()

        def make() -> Graph:
            if not made:
                made.append(self._brought_to(point, None, None))
            return made[0]

        return Moment(point, make)

    def ran(self, key: str | None, record: StepRecord, change: Callable[[Graph], Graph], counted: Costs | None) -> None:
        """Record a step that has just run on the graph. `counted` are the costs after it, None for those before it."""
        graph = self.graph
        self._advance(key, record, change)
        self._graph_is_of = self._point
        if record.total:
            self._costs = counted
        self._keep(self._point, graph)

    def found(self, key: str, record: StepRecord, change: Callable[[Graph], Graph]) -> None:
        """Record a step that the cache knows."""
        self._advance(key, record, change)
        if record.total:
            self._costs = None
        if self._cache.has_graph(key):
            self._point.seconds = 0.0

    def restored(self, moment: Moment) -> None:
        """Go back to an earlier moment."""

        def restore() -> Graph:
            graph = moment.graph().copy()
            graph.infer_shapes()
            return graph

        # What follows does not depend on the steps that are undone.
        self._point = Point(self._cache.key_of_restored(moment.key), moment.point, made=restore)
        self._subject = self._costs = self._size = None

    def _advance(self, key: str | None, record: StepRecord, change: Callable[[Graph], Graph]) -> None:
        self._point = Point(key, self._point, change, label=record.line, seconds=self._point.seconds + record.seconds)
        self._size = record.after
        if record.total:
            self._subject = None

    def _keep(self, point: Point, graph: Graph) -> None:
        if point.seconds >= SLOW_SECONDS:
            self._cache.keep_graph(point.key, graph, point.labels())
            point.seconds = 0.0

    def _brought_to(self, point: Point, graph: Graph | None, graph_is_of: Point | None) -> Graph:
        """The graph of a point: of the cache, or made from the nearest one before it. It may change `graph`."""
        missing = []
        each = point
        found: Graph | None = None
        while True:
            if each is graph_is_of:
                found = graph
            elif each.made is not None:
                found = each.made()
            elif each.before is None:
                found = Graph.load(self._model)
                found.infer_shapes(check=True)
            else:
                found = self._cache.graph(each.key, each.labels())
            if found is not None:
                break
            missing.append(each)
            assert each.before is not None
            each = each.before
        for later in reversed(missing):
            found = later.change(found)
            self._keep(later, found)
        return found

    # --- measures -----------------------------------------------------------------------------------------

    def as_read(self) -> Graph:
        """The model as read. It is read again from its file, because the first copy is rewritten."""
        if self._as_read is None:
            self._as_read = Graph.load(self._model)
            self._as_read.infer_shapes()
        return self._as_read

    def original_moment(self) -> Moment:
        """The model as read, as the first moment."""
        return Moment(self._first, self.as_read)

    def measure(self, measure: Any, options: Mapping[str, Any]) -> float:
        def compute() -> float:
            if self._subject is None:
                self._subject = Subject(
                    self.graph, self._reference(), self._progress, KeptOutputs(self._cache, self.key)
                )
            return _number(measure(self._subject, **self.loaded(options, self.graph)))

        return self._measured(self.key, measure, options, compute)

    def original(self, measure: Any, options: Mapping[str, Any]) -> float:
        def compute() -> float:
            return _number(measure(self._reference(), **self.loaded(options, self.graph)))

        return self._measured(self._cache.root, measure, options, compute)

    def _measured(
        self, key: str | None, measure: Any, options: Mapping[str, Any], compute: Callable[[], float]
    ) -> float:
        parts = ("measure", key, self._dependencies.of_measure(measure, options))
        known = self._cache.find_check(*parts)
        if isinstance(known, float):
            return known
        value = compute()
        self._cache.keep_check(value, *parts)
        return value

    def _reference(self) -> Subject:
        if self._original_subject is None:
            self._original_subject = Subject(
                self.as_read(), progress=self._progress, kept=KeptOutputs(self._cache, self._cache.root)
            )
        return self._original_subject

    def loaded(self, options: Mapping[str, Any], graph: Graph) -> dict[str, Any]:
        """Options with data sets fitted to the inputs of `graph`. Samples are read only once, also for several uses."""
        return {name: self._fit(each, graph) if isinstance(each, BoundData) else each for name, each in options.items()}

    def _fit(self, data: BoundData, graph: Graph) -> Any:
        if id(data) not in self._fitted:
            with at(data.span):
                self._fitted[id(data)] = data.load().fit(inputs_of(graph))
        return self._fitted[id(data)]


def _number(value: Any) -> float:
    """A measured value as a float; a time keeps its noise."""
    return value if isinstance(value, Timing) else float(value)
