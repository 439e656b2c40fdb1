"""The model while it is compiled, for conditions and steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vggc.diagnostics import at
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
from vggc.measures import Subject
from vggc.pipeline.model import BoundData


class CompileState:
    """The current graph, the model as read, measures of both (vggc.pipeline.conditions.State), and their data.

    Code that changes the graph must call `changed`.
    """

    def __init__(self, graph: Graph, model: Path) -> None:
        self.graph = graph
        self._model = model
        self._as_read: Graph | None = None
        self._subject: Subject | None = None
        self._original_subject: Subject | None = None
        self._fitted: dict[int, Any] = {}

    def changed(self, graph: Graph) -> None:
        """Record that the graph has changed, or that `graph` replaces it."""
        self.graph = graph
        self._subject = None

    def as_read(self) -> Graph:
        """The model as read. It is read again from its file, because the first copy is rewritten."""
        if self._as_read is None:
            self._as_read = Graph.load(self._model)
            self._as_read.infer_shapes()
        return self._as_read

    def measure(self, measure: Any, options: Mapping[str, Any]) -> float:
        if self._subject is None:
            self._subject = Subject(self.graph, self._reference())
        return float(measure(self._subject, **self.loaded(options)))

    def original(self, measure: Any, options: Mapping[str, Any]) -> float:
        return float(measure(self._reference(), **self.loaded(options)))

    def _reference(self) -> Subject:
        if self._original_subject is None:
            self._original_subject = Subject(self.as_read())
        return self._original_subject

    def loaded(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options with data sets fitted to the graph's inputs. Samples are read only once, also for several uses."""
        return {name: self._fit(each) if isinstance(each, BoundData) else each for name, each in options.items()}

    def _fit(self, data: BoundData) -> Any:
        if id(data) not in self._fitted:
            with at(data.span):
                self._fitted[id(data)] = data.load().fit(inputs_of(self.graph))
        return self._fitted[id(data)]
