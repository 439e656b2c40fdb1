"""Nodes whose result is known at compile time: which they are, and what they compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.diagnostics import CompileError
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.subgraph import part
from vggc.graph.weights import stored_bytes
from vggc.graph.writer import node_proto, onnx_type, weight_bytes
from vggc.operators.quantizers import QUANTIZERS
from vggc.operators.randomness import is_deterministic

# What these hand to a weighted operator is how a target recognises a quantized model.
_RECOGNISED = frozenset({*QUANTIZERS, "DynamicQuantizeLinear"})
# The size of their results depends on the numbers, but never exceeds a small multiple of the inputs'.
_BOUNDED = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})


class Foldable:
    """Collects, in topological order, the nodes that constants alone decide.

    A result of more than `largest` bytes is left to be computed at run time, unless it takes no more bytes than the
    constants it is made from: folding must not turn a few bytes of recipe (ConstantOfShape, Expand, Tile, Range) into
    a file full of copies. `largest` is far above what weights that somebody wants to see folded need.
    """

    def __init__(self, graph: Graph, largest: int) -> None:
        self.graph = graph
        self.largest = largest
        self.nodes: list[gs.Node] = []
        self.too_large: list[tuple[gs.Node, int]] = []
        self.failed: list[tuple[gs.Node, str]] = []
        self._values: set[int] = set()

    def offer(self, node: gs.Node) -> bool:
        """Take a node in if it can be folded."""
        # An Identity of a constant is left only where an output of the model is constant.
        if not node.inputs or node.op in _RECOGNISED or node.op == "Identity" or not is_deterministic(node):
            return False
        if not all(self._is_known(value) for value in node.inputs if value.name):
            return False
        size = self._result_bytes(node)
        if size is None or may_trap(self.graph, node):
            return False
        if size > max(self.largest, sum(self._bytes(value) for value in node.inputs if value.name)):
            self.too_large.append((node, size))
            return False
        self.nodes.append(node)
        self._values |= {id(value) for value in node.outputs if value.name}
        return True

    def evaluate(self) -> list[tuple[gs.Variable, Array]]:
        """What the collected nodes compute, as far as other nodes or outputs need it.

        All of them run in one onnxruntime session. Where that fails, each runs by itself, at last in the onnx library's
        reference implementation, which knows every type; a node that still fails is noted in `failed`.
        """
        wanted = self._results()
        if not wanted:
            return []
        try:
            found = computed(self.graph, self.nodes, wanted, {})
        except CompileError:
            found = self._evaluate_each()
            wanted = [value for node in self.nodes for value in node.outputs if id(value) in found]
        return [(value, found[id(value)]) for value in wanted]

    def _evaluate_each(self) -> dict[int, Array]:
        known: dict[int, Array] = {}
        for node in self.nodes:
            if not all(isinstance(value, gs.Constant) or id(value) in known for value in node.inputs if value.name):
                continue
            outputs = [value for value in node.outputs if value.name]
            try:
                known |= computed(self.graph, [node], outputs, known)
            except CompileError as error:
                try:
                    known |= _run_reference(self.graph, node, known)
                except Exception:  # noqa: BLE001 - any code of any operator may run here; what failed is reported
                    self.failed.append((node, error.diagnostics[0].message))
        return known

    def _results(self) -> list[gs.Variable]:
        """The values that nodes or outputs outside the collected ones need."""
        inside = {id(node) for node in self.nodes}
        return [
            value
            for node in self.nodes
            for value in node.outputs
            if value.name
            and (self.graph.is_output(value) or any(id(each) not in inside for each in self.graph.readers(value)))
        ]

    def _is_known(self, value: gs.Tensor) -> bool:
        if not isinstance(value, gs.Constant):
            return id(value) in self._values
        dtype = self.graph.dtype(value)
        return dtype is not None and dtype.kind != "O"

    def _bytes(self, value: gs.Tensor) -> int:
        if isinstance(value, gs.Constant):
            return weight_bytes(value)
        return _value_bytes(self.graph, value) or 0

    def _result_bytes(self, node: gs.Node) -> int | None:
        if node.op in _BOUNDED:
            return 0
        sizes = [_value_bytes(self.graph, value) for value in node.outputs if value.name]
        return None if any(size is None for size in sizes) else sum(size or 0 for size in sizes)


def computed(
    graph: Graph, nodes: Sequence[gs.Node], wanted: Sequence[gs.Tensor], known: dict[int, Array]
) -> dict[int, Array]:
    """What nodes, given in order, compute. `known` are the numbers, by id, of values that others compute.

    Raises CompileError where onnxruntime cannot run one of them.
    """
    found = Session(part(graph, nodes, wanted, known), threads=1).run({})
    return {id(value): found[value.name] for value in wanted}


def _run_reference(graph: Graph, node: gs.Node, known: dict[int, Array]) -> dict[int, Array]:
    from onnx.reference import ReferenceEvaluator

    feeds: dict[str, Any] = {}
    infos = []
    for value in node.inputs:
        if value.name and value.name not in feeds:
            feeds[value.name] = known[id(value)] if id(value) in known else graph.array(value)
            info = onnx.helper.make_tensor_value_info(
                value.name, onnx_type(feeds[value.name].dtype), feeds[value.name].shape
            )
            infos.append(info)
    outputs = [value for value in node.outputs if value.name]
    proto = onnx.helper.make_graph(
        [node_proto(node, provenance=False)], "node", infos, [onnx.ValueInfoProto(name=value.name) for value in outputs]
    )
    model = onnx.helper.make_model(proto, opset_imports=[onnx.helper.make_opsetid("", graph.opset)])
    results = ReferenceEvaluator(model).run(None, feeds)
    return {id(value): np.asarray(result) for value, result in zip(outputs, results, strict=True)}


def _value_bytes(graph: Graph, value: gs.Tensor) -> int | None:
    shape, dtype = graph.static_shape(value), value.dtype
    return None if shape is None or dtype is None else stored_bytes(onnx_type(dtype), shape)


def may_trap(graph: Graph, node: gs.Node) -> bool:
    """Whether an integer division could end the process: the processor traps on x / 0 and on the lowest x / -1."""
    if node.op not in ("Div", "Mod") or node.attrs.get("fmod", 0):
        return False
    divisor = graph.array(node.inputs[1])
    if divisor is None:
        dtype = graph.dtype(node.inputs[1])
        return dtype is None or dtype.kind in "iu"
    return divisor.dtype.kind in "iu" and bool(np.isin(divisor, (0, -1)).any())
