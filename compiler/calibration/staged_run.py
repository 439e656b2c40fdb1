"""Running a graph over all samples piece by piece, so that a pass can look at values and change weights on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice

import onnx_graphsurgeon as gs

from vggc.calibration.samples import Samples
from vggc.calibration.spill import Spill
from vggc.data import Batch
from vggc.execution.session import Optimise, Session
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.node_order import dependencies, reads, subgraphs
from vggc.graph.subgraph import part


class StagedRun:
    """Computes values of a graph over all batches, each node once, and keeps what later nodes read.

    Between two calls of `reach` the weights of nodes that have not run yet may change. A graph with If or Loop nodes
    is run from its inputs each time, for their bodies see values of the graph around them.

    Nodes of the operators `again` are not kept but run again for each reader: those that are quick and whose results
    are larger than what they read. `optimise` is the level of onnxruntime's graph rewriting.

    With a pool `beside`, `begin` computes values in a thread of it while the caller works with others; all methods but
    `array` and `arrays` wait for it.

    It can begin with the first batches only, for the values of early nodes are large and a few samples say enough of
    them; `widen` brings more to where the first ones are. `count` is the number of batches that are there.
    """

    def __init__(
        self,
        graph: Graph,
        samples: Samples,
        spill: Spill,
        prefix: str,
        *,
        again: frozenset[str] = frozenset(),
        first: int | None = None,
        optimise: Optimise = "none",
        beside: Executor | None = None,
    ) -> None:
        self.graph = graph
        self.samples = samples
        self._spill = spill
        self._prefix = prefix
        self._done: set[int] = set()
        self._held: dict[str, int] = {}
        self._whole = any(True for node in graph.nodes for _ in subgraphs(node))
        self._again = again
        self._left: dict[str, set[int]] = {}
        for node in reversed(graph.nodes):
            readers = {id(node)}
            if node.op in again:
                readers = set[int]().union(*(self._left.get(value.name, set()) for value in node.outputs))
            for value in reads(node):
                self._left.setdefault(value.name, set()).update(readers)
        self._given = {value.name for value in graph.inputs}
        self._optimise: Optimise = optimise
        self._beside = beside
        self._begun: list[gs.Tensor] = []
        self._beginning: Future[None] | None = None
        self._lock = threading.RLock()
        self.count = 0
        self._read(len(samples) if first is None else min(first, len(samples)))

    def widen(self, count: int) -> None:
        """Have at least `count` batches, or all where there are fewer."""
        with self._lock:
            count = min(count, len(self.samples))
            if count <= self.count:
                return
            keys = self._spill.keys()
            held = [key.removeprefix(self._prefix) for key in keys if key.startswith(self._prefix)]
            names = [name for name in held if name not in self._given]
            old = self.count
            self._read(count)
            if names:
                self._compute(self.graph, names, range(old, count))

    def _read(self, count: int) -> None:
        """Take the inputs of more batches from the samples."""
        for batch in islice(self.samples, self.count, count):
            for name, array in batch.items():
                if name in self._given:
                    self._spill.add(self._prefix + name, array)
        self.count = count

    def _compute(self, graph: Graph, names: list[str], batches: Iterable[int]) -> None:
        session = Session(graph, names, optimise=self._optimise)
        for index in batches:
            for name, array in session.run(self.feeds(session, index)).items():
                self._spill.add(self._prefix + name, array)

    def feeds(self, session: Session, index: int) -> Batch:
        """What a session reads, of one batch: values that have been reached, by name."""
        return {each.name: self._spill.get(self._prefix + each.name, index) for each in session.inputs}

    def reach(self, values: Iterable[gs.Tensor]) -> None:
        """Compute values, unless they are there. Each stays until it is released as often as it was reached."""
        with self._lock:
            self._reach(list(values))

    def _reach(self, wanted: list[gs.Tensor]) -> None:
        for value in wanted:
            self._held[value.name] = self._held.get(value.name, 0) + 1
        missing = [value for value in wanted if self._prefix + value.name not in self._spill]
        if not missing:
            return
        if self._whole:
            nodes: list[gs.Node] = []
            graph, names = self.graph, [value.name for value in missing]
        else:
            nodes = self._needed(missing)
            mine = {id(node) for node in nodes}
            self._done |= mine
            kept = [
                value
                for node in nodes
                for value in node.outputs
                if value.name and (value.name in self._held or self._is_kept(node, value))
            ]
            graph, names = part(self.graph, nodes, kept), [value.name for value in kept]
        self._compute(graph, names, range(self.count))
        for name in dict.fromkeys(value.name for node in nodes for value in reads(node)):
            self._forget(name)

    def _is_kept(self, node: gs.Node, value: gs.Tensor) -> bool:
        return node.op not in self._again and bool(self._left.get(value.name, set()) - self._done)

    def arrays(self, value: gs.Tensor) -> Iterator[Array]:
        """A value that has been reached, batch by batch: (samples, ...)."""
        for index in range(self.count):
            yield self.array(value, index)

    def array(self, value: gs.Tensor, index: int) -> Array:
        """A value that has been reached, of one batch: (samples, ...)."""
        return self._spill.get(self._prefix + value.name, index)

    def release(self, values: Iterable[gs.Tensor]) -> None:
        """The caller needs these values no more."""
        with self._lock:
            for value in values:
                self._held[value.name] -= 1
                if not self._held[value.name]:
                    del self._held[value.name]
                    self._forget(value.name)

    def _forget(self, name: str) -> None:
        key = self._prefix + name
        # The inputs stay: anything can be computed anew from them.
        waits = name in self._given or (not self._whole and self._left.get(name, set()) - self._done)
        if key in self._spill and not waits and name not in self._held:
            self._spill.drop(key)

    def begin(self, values: Iterable[gs.Tensor]) -> None:
        """Compute values that will probably be reached next. They stay until other ones are begun."""
        if self._beside is None:
            return
        if self._beginning is not None:
            self._beginning.result()
            self.release(self._begun)
        self._begun = list(values)
        self._beginning = self._beside.submit(self.reach, self._begun)

    def _needed(self, values: list[gs.Tensor]) -> list[gs.Node]:
        """The nodes that have to run for these values, in order."""
        return dependencies(
            values, lambda each: None if self._prefix + each.name in self._spill else self.graph.producer(each)
        )
