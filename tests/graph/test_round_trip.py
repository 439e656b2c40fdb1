"""What a model holds is still there after it was read and written, whatever graphsurgeon makes of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vggc.graph import Graph


def parse(text: str) -> onnx.ModelProto:
    header = "" if text.startswith("<ir_version") else '<ir_version: 10, opset_import: ["": 21]>'
    return onnx.parser.parse_model(header + text)


def written(graph: Graph, folder: Path, **options: Any) -> onnx.ModelProto:
    graph.save(folder / "out.onnx", **options)
    return onnx.load(folder / "out.onnx")


def told(message: Any) -> str:
    """What a message says: an empty text is as good as none."""
    return re.sub(r'^ *\w+: ""\n', "", str(message), flags=re.MULTILINE)


def reread(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    onnx.save(model, folder / "in.onnx")
    return written(Graph.load(folder / "in.onnx"), folder)


def numbers(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}


def test_what_a_model_says_of_itself(tmp_path: Path) -> None:
    model = parse("g (float[N] x) => (float[N] y) { y = Relu (x) }")
    model.producer_name, model.producer_version, model.domain = "maker", "7", "org.example"
    model.model_version, model.doc_string = 12, "what it does"
    model.graph.doc_string, model.graph.name = "inside", "net"
    model.metadata_props.add(key="author", value="someone")
    model.graph.node[0].doc_string = "a node"
    model.graph.node[0].metadata_props.add(key="namespace", value="net.relu")
    after = reread(model, tmp_path)
    for name in ("producer_name", "producer_version", "domain", "model_version", "doc_string", "ir_version"):
        assert getattr(after, name) == getattr(model, name)
    assert list(after.metadata_props) == list(model.metadata_props)
    assert list(after.opset_import) == list(model.opset_import)
    assert told(after.graph.node[0]) == told(model.graph.node[0])
    assert (after.graph.doc_string, after.graph.name) == ("inside", "net")
    assert list(after.graph.input) == list(model.graph.input)
    assert list(after.graph.output) == list(model.graph.output)


def test_the_parts_of_a_copy(tmp_path: Path) -> None:
    model = parse("g (float[N] x) => (float[N] y) { a = Relu (x) y = Neg (a) }")
    model.graph.node[0].metadata_props.add(key="namespace", value="net.relu")
    onnx.save(model, tmp_path / "in.onnx")
    graph = Graph.load(tmp_path / "in.onnx")
    twin = graph.copy()
    graph.replace(graph.nodes[0].outputs[0], graph.inputs[0])
    graph.tidy()
    assert [node.op for node in graph.nodes] == ["Neg"]
    assert told(written(twin, tmp_path)) == told(model)


ATTRIBUTES = """
g (float[N,4] x) => (float[N,4] y) {
   a = LeakyRelu <alpha: float = 0.5> (x)
   s = Shape <start: int = 1> (a)
   b = Transpose <perm: ints = [0, 1]> (a)
   c = ReduceSum <keepdims: int = 1, noop_with_empty_axes: int = 1> (b)
   y = org.example.Odd <text: string = "hé", words: strings = ["a", "b"], many: floats = [1.0, 2.0]> (c, s)
}
"""


def test_attributes_of_every_kind(tmp_path: Path) -> None:
    model = parse('<ir_version: 10, opset_import: ["": 21, "org.example": 3]>' + ATTRIBUTES)
    odd = model.graph.node[-1]
    odd.attribute.append(helper.make_attribute("tensor", helper.make_tensor("t", TensorProto.FLOAT, [2], [1.0, 2.0])))
    odd.attribute.append(helper.make_attribute("no_ints", [], attr_type=onnx.AttributeProto.INTS))
    odd.attribute.append(helper.make_attribute("no_strings", [], attr_type=onnx.AttributeProto.STRINGS))
    odd.attribute.append(helper.make_attribute("tensors", [helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0])]))
    odd.attribute.append(helper.make_attribute("type", helper.make_tensor_type_proto(1, [2])))
    after = reread(model, tmp_path)
    for before, now in zip(model.graph.node, after.graph.node, strict=True):
        by_name = {each.name: each for each in now.attribute}
        assert by_name == {each.name: each for each in before.attribute}
        assert (now.op_type, now.domain) == (before.op_type, before.domain)
        assert (list(now.input), list(now.output)) == (list(before.input), list(before.output))
    assert list(after.opset_import) == list(model.opset_import)


def test_omitted_inputs_and_outputs(tmp_path: Path) -> None:
    model = parse(
        """g (float[5,N,3] x, float[1,8,3] w, float[1,8,2] r, float[1,N,2] h) => (float[1,N,2] last) {
           "", last = LSTM <hidden_size: int = 2> (x, w, r, "", "", h)
        }"""
    )
    after = reread(model, tmp_path).graph.node[0]
    assert list(after.input) == ["x", "w", "r", "", "", "h"]
    assert list(after.output) == ["", "last"]


BRANCHES = """
g (float[N,4] x, bool p) => (float[N,4] y, float[N,4] z) <float[4] k = {1.0, 2.0, 3.0, 4.0}> {
   a = Mul (x, k)
   y = If (p) <
      then_branch = t () => (float[N,4] r) <float[4] own = {4.0, 3.0, 2.0, 1.0}> { b = Add (a, own) r = Mul (b, k) },
      else_branch = e () => (float[N,4] r) <float[4] own = {0.0, 1.0, 0.0, 1.0}> {
         r = If (p) <
            then_branch = u () => (float[N,4] q) { q = Sub (a, own) },
            else_branch = v () => (float[N,4] q) { c = Constant <value: tensor = float {2.0}> () q = Div (a, c) }
         >
      }
   >
   z = Neg (a)
}
"""


def test_branches_that_read_what_is_outside(tmp_path: Path) -> None:
    model = parse(BRANCHES)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, tmp_path / "in.onnx")
    graph = Graph.load(tmp_path / "in.onnx")
    for each in (graph, graph.copy()):
        after = written(each, tmp_path)
        onnx.checker.check_model(after, full_check=True)
        assert [tensor.name for tensor in after.graph.initializer] == ["k"]
        assert outputs(after, p=True) == outputs(model, p=True)
        assert outputs(after, p=False) == outputs(model, p=False)
        branches = {each.name: each.g for each in after.graph.node[1].attribute}
        assert [each.name for each in branches["then_branch"].initializer] == ["own"]
        assert [each.name for each in branches["else_branch"].initializer] == ["own"]
    a = graph.nodes[0].outputs[0]
    assert sorted(node.op for node in graph.readers(a)) == ["Add", "Div", "Neg", "Sub"]
    assert graph.only_reader(a) is None


def outputs(model: onnx.ModelProto, **given: Any) -> list[list[float]]:
    from onnx.reference import ReferenceEvaluator

    feed = {name: np.array(value) for name, value in given.items()}
    feed["x"] = np.arange(8, dtype=np.float32).reshape(2, 4)
    return [each.tolist() for each in ReferenceEvaluator(model).run(None, feed)]


def test_a_loop(tmp_path: Path) -> None:
    model = parse(
        """g (float[4] x) => (float[4] y, float[3,4] all)
           <int64 n = {3}, bool go = {1}, float[4] k = {1.0, 2.0, 3.0, 4.0}> {
           y, all = Loop (n, go, x) <
              body = b (int64 i, bool c, float[4] v) => (bool d, float[4] w, float[4] seen) {
                 d = Identity (c)
                 w = Add (v, k)
                 seen = Identity (w)
              }
           >
        }"""
    )
    onnx.checker.check_model(model, full_check=True)
    after = reread(model, tmp_path)
    onnx.checker.check_model(after, full_check=True)
    body = after.graph.node[0].attribute[0].g
    assert told(body) == told(model.graph.node[0].attribute[0].g)
    assert sorted(each.name for each in after.graph.initializer) == ["go", "k", "n"]


def test_a_sequence_as_output(tmp_path: Path) -> None:
    model = parse("g (float[6] x) => (seq(float[2]) y) <int64 n = {2}> { y = SplitToSequence (x, n) }")
    assert list(reread(model, tmp_path).graph.output) == list(model.graph.output)


def test_initializers_that_are_inputs_too(tmp_path: Path) -> None:
    # The way of IR version 3, where every initializer had to be an input: as such it could be overridden.
    model = parse(
        """<ir_version: 3, opset_import: ["": 9]>
        g (float[2] x, float[2] w = {1.0, 2.0}) => (float[2] y) { y = Mul (x, w) }"""
    )
    after = reread(model, tmp_path)
    assert [each.name for each in after.graph.input] == ["x"]
    assert numbers(after)["w"].tolist() == [1, 2]
    onnx.checker.check_model(after, full_check=True)


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    model = parse(
        """<ir_version: 10, opset_import: ["": 21, "local": 1]>
        g (float[N] x) => (float[N] y) { y = local.twice (x) }
        <opset_import: ["": 21], domain: "local">
        twice (a) => (b) { b = Add (a, a) }"""
    )
    after = reread(model, tmp_path)
    assert [node.op_type for node in after.graph.node] == ["Add"]
    assert not after.functions
    onnx.checker.check_model(after, full_check=True)


def test_constant_nodes_become_constants(tmp_path: Path) -> None:
    model = parse(
        """g (float[2] x) => (float[2] y) {
           k = Constant <value_floats: floats = [1.0, 2.0]> ()
           l = Constant <value_float: float = 3.0> ()
           a = Mul (x, k)
           y = Mul (a, l)
        }"""
    )
    after = reread(model, tmp_path)
    assert [node.op_type for node in after.graph.node] == ["Mul", "Mul"]
    assert {name: array.tolist() for name, array in numbers(after).items()} == {"k": [1, 2], "l": 3}
