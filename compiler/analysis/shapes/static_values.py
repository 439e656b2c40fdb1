"""What is known of a graph before it runs: values computed from constants alone, and the shapes that follow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.constants import computed, may_trap
from vggc.analysis.shapes.integer_values import IntegerValues
from vggc.analysis.shapes.value_shapes import Shapes
from vggc.diagnostics import CompileError
from vggc.graph import Graph
from vggc.graph.arrays import Array, Dimensions
from vggc.operators.randomness import is_deterministic

_SMALL = 1 << 16
"""Values of more elements than this are evaluated only when somebody asks for their numbers."""


class Statics:
    """Which values are computed from constants alone, their numbers, and the shapes of all values.

    Exporters compute biases and shapes where a constant would do (`Expand(CastLike(0, x), Shape(weight))`); to the
    analysis they are constants.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._static: set[int] = set()
        self._nodes: list[gs.Node] = []
        self._integers: dict[int, Array] = {}
        integers = IntegerValues(graph)
        for node in graph.nodes:
            integers.visit(node)
            if self._is_static(node):
                self._nodes.append(node)
                self._static.update(id(value) for value in node.outputs)
                known = integers.known(node.outputs[0])
                if known is not None:
                    self._integers[id(node.outputs[0])] = np.array(known, graph.dtype(node.outputs[0]))
        self._values: dict[int, Array] = {}
        small = self._small_nodes()
        if small:
            self._values = self._evaluate(small)
        evaluated = [value for node in small for value in node.outputs if id(value) in self._values]
        self.shapes = Shapes(graph, {value.name: self._values[id(value)] for value in evaluated})
        self.shapes.complete()

    def is_static(self, value: gs.Tensor) -> bool:
        """Whether a value does not depend on the graph's inputs."""
        return isinstance(value, gs.Constant) or id(value) in self._static

    def shape(self, value: gs.Tensor) -> Dimensions | None:
        """Dimensions as far as they are known: a number, a symbol, or None."""
        return list(self._values[id(value)].shape) if id(value) in self._values else self.shapes.shape(value)

    def small(self, value: gs.Tensor) -> Array | None:
        """The numbers of a static value, in its shape, when there are few enough of them to have at hand; else None."""
        if isinstance(value, gs.Constant):
            size = int(np.prod(value.shape, dtype=np.int64))
            return self.graph.array(value) if size <= _SMALL else None
        return self._values.get(id(value))

    def entries(self, value: gs.Tensor) -> Dimensions | None:
        """What is known of a list of integers: numbers, names of dimensions, and None for anything."""
        array = self.small(value)
        if array is not None and array.dtype.kind in "iu":
            return [int(each) for each in array.reshape(-1)]
        found = self.shapes.integers.entries(value)
        return None if found is None else list(found.reshape(-1))

    def arrays(self, values: Iterable[gs.Tensor]) -> dict[int, Array]:
        """The numbers of static values of any size and shape, by id."""
        found: dict[int, Array] = {}
        missing: dict[int, gs.Tensor] = {}
        for value in values:
            array = self.graph.array(value)
            if array is None:
                array = self._values.get(id(value))
            if array is None:
                missing[id(value)] = value
            else:
                found[id(value)] = array
        if missing:
            needed = set(missing)
            nodes = []
            for node in reversed(self._nodes):
                if any(id(value) in needed for value in node.outputs):
                    nodes.append(node)
                    needed |= {id(value) for value in node.inputs if not isinstance(value, gs.Constant)}
            found |= {key: each for key, each in self._evaluate(nodes[::-1]).items() if key in missing}
        return found

    def _is_static(self, node: gs.Node) -> bool:
        if not node.inputs or not is_deterministic(node) or may_trap(self.graph, node):
            return False
        return all(self.is_static(value) for value in _decisive(node))

    def _small_nodes(self) -> list[gs.Node]:
        """The static nodes whose inputs and results are small."""
        small: list[gs.Node] = []
        within: set[int] = set()
        for node in self._nodes:
            read = [] if id(node.outputs[0]) in self._integers else list(_decisive(node))
            near = all(isinstance(value, gs.Constant) or id(value) in within for value in read)
            if near and all(_elements(self.graph.shape(value)) <= _SMALL for value in (*read, *node.outputs)):
                small.append(node)
                within.update(id(value) for value in node.outputs)
        return small

    def _evaluate(self, nodes: list[gs.Node]) -> dict[int, Array]:
        """What static nodes, given in order, compute. A node that onnxruntime cannot run is left out."""
        known = dict(self._values)
        typed: dict[int, Array] = {}
        wanted: list[gs.Tensor] = []
        running: list[gs.Node] = []
        for node in nodes:
            if id(node.outputs[0]) in self._integers:
                known[id(node.outputs[0])] = self._integers[id(node.outputs[0])]
                continue
            for value in node.inputs:
                if value.name and not self.is_static(value):
                    # Of this input only the type matters.
                    typed[id(value)] = np.zeros(0, self.graph.dtype(value))
            running.append(node)
            wanted += [value for value in node.outputs if value.name]
        try:
            return known | computed(self.graph, running, wanted, known | typed) if running else known
        except CompileError:
            for node in running:
                outputs = [value for value in node.outputs if value.name]
                if all(isinstance(value, gs.Constant) or id(value) in known for value in _decisive(node)):
                    with suppress(CompileError):
                        known |= computed(self.graph, [node], outputs, known | typed)
            return known


def _decisive(node: gs.Node) -> Iterator[gs.Tensor]:
    """The inputs that a node's result depends on: CastLike only looks at the type of its second."""
    for index, value in enumerate(node.inputs):
        if value.name and not (node.op == "CastLike" and index == 1 and value.dtype is not None):
            yield value


def _elements(shape: Dimensions | None) -> int:
    """At least how many elements a value of a shape has, counting what is unknown as one."""
    return int(np.prod([each for each in shape if isinstance(each, int)], dtype=np.int64)) if shape else 1
