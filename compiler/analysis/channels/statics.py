"""What is known of a graph before it runs: values computed from constants alone, and the shapes that follow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.analysis.shape_values import ShapeValues
from vggc.graph import Array, Graph

Dimensions = list[int | str | None]

_SMALL = 1 << 16
"""Values of more elements than this are evaluated only when somebody asks for their numbers."""

_RANDOM = frozenset({"Bernoulli", "Multinomial", "RandomNormalLike", "RandomUniformLike"})
_KNOWS_ONLY_SHAPE = frozenset({"Shape", "Size"})


class Statics:
    """Which values are computed from constants alone, their numbers, and the shapes of all values.

    Exporters compute biases and shapes where a constant would do (`Expand(CastLike(0, x), Shape(weight))`); to the
    analysis they are constants.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._static: set[int] = set()
        self._nodes: list[gs.Node] = []
        for node in graph.nodes:
            if self._is_static(node):
                self._nodes.append(node)
                self._static.update(id(value) for value in node.outputs)
        self._values: dict[int, Array] = {}
        self._shapes: dict[str, Dimensions] = {}
        self._integers = ShapeValues(graph)
        for node in graph.nodes:
            self._integers.visit(node)
        self._infer({})
        small = self._small_nodes()
        if small:
            self._values = self._evaluate(small)
            self._infer({value.name: self._values[id(value)] for node in small for value in node.outputs})

    def is_static(self, value: gs.Tensor) -> bool:
        """Whether a value does not depend on the graph's inputs."""
        return isinstance(value, gs.Constant) or id(value) in self._static

    def shape(self, value: gs.Tensor) -> Dimensions | None:
        """Dimensions as far as they are known: a number, a symbol, or None."""
        if isinstance(value, gs.Constant):
            return [int(each) for each in value.shape]
        if id(value) in self._values:
            return list(self._values[id(value)].shape)
        return self._shapes.get(value.name, self.graph.shape(value))

    def small(self, value: gs.Tensor) -> Array | None:
        """The numbers of a static value, when there are few enough of them to have at hand; else None."""
        if isinstance(value, gs.Constant):
            size = int(np.prod(value.shape, dtype=np.int64))
            return self.graph.array(value) if size <= _SMALL else None
        return self._values.get(id(value))

    def entries(self, value: gs.Tensor) -> list[int | str | None] | None:
        """What is known of a list of integers: numbers, names of dimensions, and None for anything."""
        array = self.small(value)
        if array is not None:
            return [int(each) for each in array.reshape(-1)]
        found = self._integers.entries(value)
        return None if found is None else list(found.reshape(-1))

    def arrays(self, values: Iterable[gs.Tensor]) -> dict[int, Array]:
        """The numbers of static values of any size, by id."""
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
        if node.domain not in (None, "", "ai.onnx") or node.op in _RANDOM or any(node.subgraphs()):
            return False
        return bool(node.inputs) and all(self.is_static(value) for value in _decisive(node))

    def _small_nodes(self) -> list[gs.Node]:
        """The static nodes whose inputs and results are small."""
        small: list[gs.Node] = []
        within: set[int] = set()
        for node in self._nodes:
            read = [] if node.op in _KNOWS_ONLY_SHAPE else list(_decisive(node))
            near = all(isinstance(value, gs.Constant) or id(value) in within for value in read)
            if near and all(_elements(self.shape(value)) <= _SMALL for value in (*read, *node.outputs)):
                small.append(node)
                within.update(id(value) for value in node.outputs)
        return small

    def _infer(self, constants: dict[str, Array]) -> None:
        """Shape inference by onnx, with the given values as constants."""
        model = self.graph.skeleton(known=False)
        if constants:
            kept = [node for node in model.graph.node if not any(name in constants for name in node.output)]
            del model.graph.node[:]
            model.graph.node.extend(kept)
            for name, array in constants.items():
                whole = np.ascontiguousarray(array).reshape(array.shape)
                model.graph.initializer.append(onnx.numpy_helper.from_array(whole, name))
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        for info in (*inferred.value_info, *inferred.output, *inferred.input):
            tensor = info.type.tensor_type
            if tensor.HasField("shape"):
                self._shapes[info.name] = [
                    each.dim_value if each.HasField("dim_value") else each.dim_param or None
                    for each in tensor.shape.dim
                ]

    def _evaluate(self, nodes: list[gs.Node]) -> dict[int, Array]:
        """Run static nodes, given in order, with onnx's reference implementation."""
        from onnx.reference import ReferenceEvaluator

        from vggc.graph.writing import node_proto

        given: dict[str, Array] = {}
        results: dict[str, gs.Tensor] = {}
        protos = []
        for node in nodes:
            for value in node.inputs:
                if value.name and value.name not in results and value.name not in given:
                    given[value.name] = self._stand_in(node, value)
            results |= {value.name: value for value in node.outputs if value.name}
            protos.append(node_proto(node))
        graph = onnx.helper.make_graph(
            protos,
            "static",
            [onnx.ValueInfoProto(name=name) for name in given],
            [onnx.ValueInfoProto(name=name) for name in results],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", self.graph.opset)])
        values: Any = ReferenceEvaluator(model).run(None, given)
        return {id(value): np.asarray(array) for value, array in zip(results.values(), values, strict=True)}

    def _stand_in(self, node: gs.Node, value: gs.Tensor) -> Array:
        """What an input is, or for one of which only shape or type matter, something like it."""
        if node.op in _KNOWS_ONLY_SHAPE:
            shape = [int(each or 0) for each in self.shape(value) or ()]
            return np.broadcast_to(np.zeros((), self.graph.dtype(value)), shape)
        if not self.is_static(value):
            return np.zeros(0, self.graph.dtype(value))
        array = self.graph.array(value)
        return array if array is not None else self._values[id(value)]


def _decisive(node: gs.Node) -> Iterator[gs.Tensor]:
    """The inputs that a node's result depends on: CastLike only looks at the type of its second."""
    for index, value in enumerate(node.inputs):
        if value.name and not (node.op == "CastLike" and index == 1 and value.dtype is not None):
            yield value


def _elements(shape: Dimensions | None) -> int:
    """At least how many elements a value of a shape has, counting what is unknown as one."""
    return int(np.prod([each for each in shape if isinstance(each, int)], dtype=np.int64)) if shape else 1
