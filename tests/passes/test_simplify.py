"""simplify beyond what a graph in text shows: types without kernels, failures of other tools, names, large weights."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper, numpy_helper

from vggc.analysis import onnxsim_tail
from vggc.graph import Graph, StoredWeights
from vggc.graph.extras import node_extras
from vggc.passes.simplify import simplify
from vggc.rewrite import Context


def parse(text: str, opset: int = 17) -> Graph:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> g {text}')
    onnx.checker.check_model(model, full_check=True)
    return Graph.from_model(model)


def simplified(graph: Graph, context: Context | None = None) -> Graph:
    simplify(graph, context=context)
    graph.tidy()
    onnx.checker.check_model(graph.export(1 << 40).model, full_check=True)
    return graph


def test_constants_of_a_type_onnxruntime_cannot_multiply() -> None:
    """The reference implementation takes over."""
    a, b = (np.array(each, ml_dtypes.bfloat16) for each in ([1.5, 2, 3], [2, 2, 0.5]))
    weights = [numpy_helper.from_array(a, "a"), numpy_helper.from_array(b, "b")]
    infos = [helper.make_tensor_value_info(name, onnx.TensorProto.BFLOAT16, [3]) for name in "xy"]
    nodes = [helper.make_node("Mul", ["a", "b"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    graph = Graph.from_model(
        helper.make_model(
            helper.make_graph(nodes, "g", infos[:1], infos[1:], weights),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=8,
        )
    )
    context = Context()
    (constant,) = simplified(graph, context).constants()
    array = graph.array(constant)
    assert array is not None
    assert array.dtype == ml_dtypes.bfloat16
    assert array.astype(float).tolist() == [3, 4, 1.5]
    assert not context.log.declined


def test_one_node_that_fails_keeps_no_other_from_being_folded() -> None:
    graph = parse(
        """(float[2] x) => (float[2] y) <float[2] a = {1.0, 2.0}, int64[1] far = {7}>
        { b = Neg (a) c = Gather (a, far) d = Mul (b, a) e = Add (d, c) y = Sub (x, e) }"""
    )
    context = Context()
    assert [node.op for node in simplified(graph, context).nodes] == ["Gather", "Add", "Sub"]
    ((what, reason),) = context.log.declined
    assert what == "Gather of `c`"
    assert reason.startswith("it cannot be computed at compile time: ")
    assert "indices element out of data bounds" in reason


@pytest.mark.parametrize("op", ["Div", "Mod"])
@pytest.mark.parametrize("numbers", [(5, 0), (-(2**63), -1)])
def test_divisions_that_end_a_process_are_left_alone(op: str, numbers: tuple[int, int]) -> None:
    divisor = f"c = {op} (a, b)"
    a, b = numbers
    graph = parse(
        f"(int64[1] x) => (int64[1] y) <int64[1] a = {{{a}}}, int64[1] b = {{{b}}}> {{ {divisor} y = Add (x, c) }}"
    )
    assert [node.op for node in simplified(graph).nodes] == [op, "Add"]


def test_a_division_by_a_computed_constant_waits_for_it() -> None:
    graph = parse(
        """(int64[1] x) => (int64[1] y) <int64[1] a = {7}, int64[1] b = {-2}>
        { c = Neg (b) d = Div (a, c) y = Add (x, d) }"""
    )
    (constant,) = simplified(graph).constants()
    assert graph.array(constant) == [3]


REMNANT = """(float[N,8,8] x) => (float[N,4,4] y) <int64[1] two = {2}, int64[1] six = {6}, int64[1] one = {1}>
{ a = Slice (x, two, six, one, one) y = Slice (a, two, six, two, one) }"""


def test_onnxsim_that_fails_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(model: onnx.ModelProto) -> onnx.ModelProto:
        raise RuntimeError("no supported data type: 17\nand more")

    monkeypatch.setattr(onnxsim_tail, "_by_onnxsim", fail)
    graph = parse(REMNANT)
    context = Context()
    assert [node.op for node in simplified(graph, context).nodes] == ["Slice", "Slice"]
    assert dict(context.log.declined.keys()) == {
        "onnxsim": "it failed on 2 nodes that compute shapes: no supported data type: 17"
    }


def test_a_result_of_onnxsim_with_as_many_nodes_is_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxsim_tail, "_by_onnxsim", lambda model: model)
    graph = parse(REMNANT)
    first, second = graph.nodes
    context = Context()
    assert simplified(graph, context).nodes == [first, second]
    assert not context.log.total


def test_what_onnxsim_does_not_change_stays_as_it_is() -> None:
    """The same node objects, with their names and metadata; a new one says what it stands for."""
    graph = parse(
        """(float[N,8,8] x) => (float[N,16] y, float[N,8,8] z)
        <int64[1] two = {2}, int64[1] six = {6}, int64[1] one = {1}, int64[2] flat = {-1, 16}>
        { [relu] r = Relu (x) [turn] z = Transpose <perm = [0, 2, 1]> (r) [cut] a = Slice (r, two, six, one, one)
          [trim] b = Slice (a, two, six, two, one) [flat] y = Reshape (b, flat) }"""
    )
    relu, turn, _, _, flat = graph.nodes
    node_extras(flat).metadata = {"namespace": "net.flat"}
    assert [node.op for node in simplified(graph).nodes] == ["Relu", "Transpose", "Slice", "Reshape"]
    assert graph.nodes[0] is relu
    assert graph.nodes[1] is turn
    # It reads a value of another name now.
    assert (graph.nodes[3].name, node_extras(graph.nodes[3]).metadata["namespace"]) == ("flat", "net.flat")
    assert graph.nodes[3].outputs[0].name == "y"


def test_onnxsim_is_not_asked_without_need(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(model: onnx.ModelProto) -> onnx.ModelProto:
        raise AssertionError("there was nothing to do for it")

    monkeypatch.setattr(onnxsim_tail, "_by_onnxsim", fail)
    graph = parse(
        """(float[N,3,4] x) => (float[N,12] y) <int64[1] zero = {0}, int64[1] one = {1}, int64[1] rest = {12}>
        { s = Shape (x) b = Slice (s, zero, one) t = Concat <axis = 0> (b, rest) y = Reshape (x, t) }"""
    )
    context = Context()
    assert [node.op for node in simplified(graph, context).nodes] == ["Reshape"]
    assert not context.log.declined


def test_a_constant_keeps_the_name_of_what_it_replaces() -> None:
    graph = parse("(float[2] x) => (float[2] y) <float[2] a = {1.0, 2.0}> { b = Neg (a) y = Add (x, b) }")
    assert [value.name for value in simplified(graph).constants()] == ["b"]


def test_large_weights_are_neither_read_nor_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = [numpy_helper.from_array(np.ones((64, 64, 3, 3), np.float32), name) for name in ("v", "w")]
    infos = [helper.make_tensor_value_info(name, 1, ["N", 64, 8, 8]) for name in "xy"]
    nodes = [
        helper.make_node("Identity", ["v"], ["u"]),
        helper.make_node("Conv", ["x", "u"], ["a"], pads=[1] * 4),
        helper.make_node("Shape", ["w"], ["s"]),
        helper.make_node("Conv", ["a", "w"], ["b"], pads=[1] * 4),
        helper.make_node("ConstantOfShape", ["s"], ["z"]),
        helper.make_node("Conv", ["b", "z"], ["y"], pads=[1] * 4),
    ]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "in.onnx")
    loaded = Graph.load(tmp_path / "in.onnx")
    read = []
    load = StoredWeights.load
    monkeypatch.setattr(StoredWeights, "load", lambda self: read.append(self.tensor.name) or load(self))
    assert [node.op for node in simplified(loaded).nodes] == ["Conv", "Conv", "Conv"]
    assert not {"v", "w"} & set(read)


def test_the_same_model_gives_the_same_bytes() -> None:
    def content() -> bytes:
        graph = parse(REMNANT.replace("y)", "y, float[N,4,8] a)", 1).replace("a = Slice", "k = Neg (x) a = Slice"))
        return bytes(simplified(graph).export().model.SerializeToString(deterministic=True))

    assert content() == content()


def test_opsets_before_broadcasting_from_the_right() -> None:
    """Mul of opset 6 broadcasts by an attribute: what is neutral since opset 7 is not touched there."""
    graph = parse("(float[2,3] x) => (float[2,3] y) <float[1] k = {1.0}> { y = Mul <broadcast = 1> (x, k) }", opset=6)
    assert [node.op for node in simplified(graph).nodes] == ["Mul"]


def test_operators_of_another_domain_with_names_of_onnxs() -> None:
    """What they mean is not known: they may have fewer inputs, and other results."""
    header = '<ir_version: 8, opset_import: ["": 17, "my": 1]>'
    nodes = "{ a = my.Identity(x) s = my.Shape(a) c = my.CastLike(s) y = my.Reshape(c) }"
    graph = Graph.from_model(onnx.parser.parse_model(f"{header} g (float[2,3] x) => (float[n] y) {nodes}"))
    simplify(graph)
    graph.tidy()
    assert [(node.op, node.domain) for node in graph.nodes] == [
        ("Identity", "my"),
        ("Shape", "my"),
        ("CastLike", "my"),
        ("Reshape", "my"),
    ]
