"""A graph written in a newer opset: the same weights, nodes and results."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from vggc.diagnostics import Code, CompileError
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.extras import node_extras
from vggc.graph.opset_upgrade import raise_opset

OLD = """
<ir_version: 6, opset_import: ["": 11]>
g (float[N,4,1] x, bool c) => (float[N,3] y)
{
   s = Squeeze <axes = [2]> (x)
   m = MatMul (s, w)
   y = If (c) <
      then_branch = a () => (float[N,3] p) { p = Add (m, b) },
      else_branch = e () => (float[N,3] q) { q = Mul (m, b) }
   >
}
"""


def old_graph() -> Graph:
    model = onnx.parser.parse_model(OLD)
    random = np.random.default_rng(0)
    for name, shape in (("w", (4, 3)), ("b", (3,))):
        array = random.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    for node in model.graph.node:
        node.name = f"{node.op_type}_{node.output[0]}"
    graph = Graph.from_model(model)
    graph.infer_shapes()
    return graph


def test_attributes_become_inputs_and_results_stay() -> None:
    graph = old_graph()
    feeds = {"x": np.random.default_rng(1).standard_normal((2, 4, 1)).astype(np.float32), "c": np.array(True)}
    before = Session(graph).run(feeds)["y"]
    weights = {value.name: graph.array(value) for value in graph.constants()}
    node_extras(graph.nodes[1]).metadata = {"vggc.from": "matmul"}
    raise_opset(graph, 17, "this test")
    assert graph.opset == 17
    assert [value.name for value in graph.inputs] == ["x", "c"]
    for value in graph.constants():
        if value.name in weights:
            assert np.array_equal(graph.array(value), weights[value.name])  # type: ignore[arg-type]
    squeeze, product = (next(node for node in graph.nodes if node.op == op) for op in ("Squeeze", "MatMul"))
    assert len(squeeze.inputs) == 2
    assert node_extras(product).metadata == {"vggc.from": "matmul"}
    assert np.array_equal(Session(graph).run(feeds)["y"], before)
    onnx.checker.check_model(graph.export(1 << 40).model, full_check=True)


def test_a_newer_one_is_left_alone() -> None:
    graph = old_graph()
    nodes = list(graph.nodes)
    raise_opset(graph, 9, "this test")
    assert graph.opset == 11
    assert all(one is other for one, other in zip(graph.nodes, nodes, strict=True))


def test_what_cannot_be_raised_is_said() -> None:
    graph = old_graph()
    with pytest.raises(CompileError) as caught:
        raise_opset(graph, 1000, "this test")
    assert str(caught.value.diagnostics[0].message).startswith("this test needs opset 1000, but opset 11 cannot")
    assert caught.value.diagnostics[0].code is Code.OPSET
