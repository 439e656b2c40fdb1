"""Go back to the graph of the last requirement that held."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vggc.graph import Graph
from vggc.report.record import StepRecord


class Rollback:
    """Keeps the graph of the last requirement that held. Before the first one, this is the model as read, `original`.

    Nothing is copied unless `needed`, because most recipes cannot roll back.
    """

    def __init__(self, original: Callable[[], Graph], *, needed: bool) -> None:
        self._graph = original
        self._needed = needed
        self._steps = 0

    def keep(self, graph: Graph, steps: Sequence[StepRecord]) -> None:
        """Record that a requirement holds for `graph` after `steps`."""
        self._steps = len(steps)
        if self._needed:
            copy = graph.copy()
            self._graph = lambda: copy

    def restore(self, steps: Sequence[StepRecord]) -> Graph:
        """The graph of the last requirement that held. Marks the steps since then as undone."""
        for record in steps[self._steps :]:
            record.undone = True
        self._steps = len(steps)
        graph = self._graph().copy()
        graph.infer_shapes()
        return graph
