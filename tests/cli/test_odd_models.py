"""Models that are rare, or not quite right: each compiles to the same function, or is refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vggc.execution.session import Session
from vggc.graph import Graph

ONNX = '<ir_version: 8, opset_import: ["" : 17]> '


def save(text: str, head: str = ONNX, **weights: Any) -> onnx.ModelProto:
    model = onnx.parser.parse_model(head + text)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    Path("model.onnx").write_bytes(model.SerializeToString())
    return model


def compiled(vggc: Any, recipe: Any) -> onnx.ModelProto:
    ran = vggc(recipe("simplify\nfold_batch_norm"), "model.onnx", "-o", "out", "--verify", "each")
    assert ran.status == 0, ran.err
    assert vggc("inspect", "model.onnx").status == 0
    model = onnx.load("out/model.onnx")
    onnx.checker.check_model(model, full_check=True)
    return model


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_a_weight_that_is_an_output(vggc: Any, recipe: Any) -> None:
    numbers = np.array([1, 2, 3, 4], np.float32)
    save("g (float[N,3] x) => (float[4] s, float[N,3] y) { i = Identity(x) y = Relu(i) }", s=numbers)
    model = compiled(vggc, recipe)
    assert operators(model) == ["Relu"]
    assert [each.name for each in model.graph.output] == ["s", "y"]
    np.testing.assert_array_equal(
        Session(Graph.from_model(model)).run({"x": np.ones((1, 3), np.float32)})["s"], numbers
    )


def test_no_inputs_and_no_nodes(vggc: Any, recipe: Any) -> None:
    save("g () => (float[2] s) { }", s=np.array([1, 2], np.float32))
    assert operators(compiled(vggc, recipe)) == []


def test_an_input_that_is_an_output(vggc: Any, recipe: Any) -> None:
    save("g (float[N,3] x) => (float[N,3] x, float[N,3] y) { i = Identity(x) y = Relu(i) }")
    assert operators(compiled(vggc, recipe)) == ["Relu"]


def test_an_output_named_twice(vggc: Any, recipe: Any) -> None:
    save("g (float[N,3] x) => (float[N,3] y, float[N,3] y) { i = Identity(x) y = Relu(i) }")
    assert operators(compiled(vggc, recipe)) == ["Relu"]


def test_an_unknown_dimension_written_as_minus_one(vggc: Any, recipe: Any) -> None:
    model = save("g (float[N,3] x) => (float[N,3] y) { i = Identity(x) y = Relu(i) }")
    for each in (model.graph.input[0], model.graph.output[0]):
        each.type.tensor_type.shape.dim[0].dim_value = -1
    onnx.save(model, "model.onnx")
    assert operators(compiled(vggc, recipe)) == ["Relu"]
    assert "`x` float32 [?, 3]" in vggc("inspect", "model.onnx").out


def test_dimensions_named_with_a_question_mark(vggc: Any, recipe: Any) -> None:
    save('g (float["?",3,"?","?"] x) => (float["?",3,"?","?"] y) { i = Identity(x) y = Relu(i) }')
    [shape] = [each.type.tensor_type.shape for each in compiled(vggc, recipe).graph.input]
    assert [(each.dim_value, each.dim_param) for each in shape.dim] == [(0, ""), (3, ""), (0, ""), (0, "")]
    # Each of them can have a size of its own.
    ran = vggc(recipe('set_input_shapes({"x": [1, 3, 8, 9]})'), "model.onnx", "-o", "sized")
    assert ran.status == 0, ran.err
    assert [each.dim_value for each in onnx.load("sized/model.onnx").graph.output[0].type.tensor_type.shape.dim] == [
        *(1, 3, 8, 9)
    ]


def test_a_graph_without_a_name(vggc: Any, recipe: Any) -> None:
    model = save("g (float[N,3] x) => (float[N,3] y) { i = Identity(x) y = Relu(i) }")
    model.graph.name = ""
    onnx.save(model, "model.onnx")
    assert operators(compiled(vggc, recipe)) == ["Relu"]


def test_an_output_without_a_type(vggc: Any, recipe: Any) -> None:
    model = save("g (float[2,3] x) => (float[2,3] y, int64[2] z) { i = Identity(x) y = Relu(i) z = Shape(i) }")
    for each in model.graph.output:
        each.ClearField("type")
    onnx.save(model, "model.onnx")
    types = [each.type.tensor_type for each in compiled(vggc, recipe).graph.output]
    assert [each.elem_type for each in types] == [TensorProto.FLOAT, TensorProto.INT64]
    assert [[each.dim_value for each in type_.shape.dim] for type_ in types] == [[2, 3], [2]]


@pytest.mark.parametrize("shape", [[2, 7], [2, 3, 1], [3]])
def test_an_output_of_a_wrong_shape(vggc: Any, recipe: Any, shape: list[int]) -> None:
    model = save("g (float[2,3] x) => (float[2,3] y) { i = Identity(x) y = Relu(i) }")
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, shape))
    onnx.save(model, "model.onnx")
    [output] = compiled(vggc, recipe).graph.output
    assert [each.dim_value for each in output.type.tensor_type.shape.dim] == [2, 3]


@pytest.mark.parametrize("outputs", [[], [""]])
def test_a_constant_without_outputs(vggc: Any, recipe: Any, outputs: list[str]) -> None:
    model = save("g (float[N,3] x) => (float[N,3] y) { i = Identity(x) y = Relu(i) }")
    model.graph.node.append(helper.make_node("Constant", [], outputs, value_float=1.0))
    onnx.save(model, "model.onnx")
    assert operators(compiled(vggc, recipe)) == ["Relu"]


def test_the_domain_of_onnx_written_out(vggc: Any, recipe: Any) -> None:
    model = save("g (float[N,3] x) => (float[N,3] y) { i = Identity(x) y = Relu(i) }")
    model.opset_import[0].domain = "ai.onnx"
    for node in model.graph.node:
        node.domain = "ai.onnx"
    onnx.save(model, "model.onnx")
    assert operators(compiled(vggc, recipe)) == ["Relu"]


def test_nodes_of_one_name(vggc: Any, recipe: Any) -> None:
    save("g (float[N,3] x) => (float[N,3] y) { [a_1] i = Neg(x) [a] q = Relu(i) [a] r = Abs(q) [a] y = Neg(r) }")
    model = compiled(vggc, recipe)
    assert [node.name for node in model.graph.node] == ["a_1", "a", "a_2", "a_3"]


def test_nodes_in_the_wrong_order(vggc: Any, recipe: Any) -> None:
    save("g (float[N,3] x) => (float[N,3] y) { y = Neg(q) q = Relu(x) }")
    assert operators(compiled(vggc, recipe)) == ["Relu", "Neg"]


def test_names_of_all_kinds(vggc: Any, recipe: Any) -> None:
    save('g (float["a batch",3] "x y/ü") => (float["a batch",3] "出力") { i = Identity("x y/ü") "出力" = Relu(i) }')
    model = compiled(vggc, recipe)
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("x y/ü", "出力")


def test_an_output_without_elements(vggc: Any, recipe: Any) -> None:
    save("g (float[0,3] x) => (float[0,3] y) { i = Identity(x) y = Relu(i) }")
    compiled(vggc, recipe)
    assert json.loads(Path("out/report.json").read_text())["warnings"] == []


@pytest.mark.parametrize(
    "random",
    [
        "q = RandomNormalLike(i) y = Add(q, x)",
        "y = Dropout(i, half, yes)",
    ],
)
def test_random_outputs_are_told_of_and_not_compared(vggc: Any, recipe: Any, random: str) -> None:
    text = f"g (float[N,3] x) => (float[N,3] y, float[N,3] z) {{ i = Identity(x) z = Relu(i) {random} }}"
    save(text, half=np.array(0.5, np.float32), yes=np.array(True))
    compiled(vggc, recipe)
    warnings = json.loads(Path("out/report.json").read_text())["warnings"]
    assert warnings == ["output `y` is random, so that its numbers could not be compared"]


def test_equal_statistics_of_a_batch_norm_in_training_mode(vggc: Any, recipe: Any) -> None:
    equal = {name: np.ones(3, np.float32) for name in ("scale", "shift", "mean", "var")}
    save(
        "g (float[2,3,4,4] x) => (float[2,3,4,4] y) { i = Identity(x) "
        "y, m, v = BatchNormalization<training_mode = 1>(i, scale, shift, mean, var) }",
        **equal,
    )
    assert operators(compiled(vggc, recipe)) == ["BatchNormalization"]


def test_values_that_are_no_tensors(vggc: Any, recipe: Any) -> None:
    model = save(
        "g (float[N,3] x) => (seq(float[N,3]) s, float[N,3] y) "
        "{ i = Identity(x) s = SequenceConstruct(i, x) r = SequenceConstruct(i) y = SequenceAt(r, zero) }",
        zero=np.array(0),
    )
    Path("model.onnx").write_bytes(onnx.shape_inference.infer_shapes(model).SerializeToString())
    assert operators(compiled(vggc, recipe)) == ["SequenceConstruct", "SequenceConstruct", "SequenceAt"]
    assert "`s` sequence" in vggc("inspect", "model.onnx").out


@pytest.mark.parametrize(
    ("kind", "shown", "body"),
    [
        ("seq(float[3])", "sequence", "y = SequenceLength(x)"),
        ("optional(float[3])", "optional", "y = OptionalHasElement(x)"),
    ],
)
def test_inputs_that_are_no_tensors(vggc: Any, recipe: Any, kind: str, shown: str, body: str) -> None:
    result = "int64" if shown == "sequence" else "bool"
    save(f"g ({kind} x) => ({result} y) {{ {body} }}", head='<ir_version: 8, opset_import: ["" : 18]> ')
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert (
        ran.err.splitlines()[0] == "error: the model's input `x` is not a tensor, or its type is not declared [VGGC403]"
    )
    assert f"`x` {shown}" in vggc("inspect", "model.onnx").out


def test_an_optional_inside(vggc: Any, recipe: Any) -> None:
    """The result of an If may be an optional, whose type graphsurgeon keeps as a message."""
    info = helper.make_tensor_type_proto(TensorProto.FLOAT, [3])
    branch = helper.make_graph(
        [helper.make_node("Identity", ["i"], ["t"]), helper.make_node("Optional", ["t"], ["o"])],
        "branch",
        [],
        [helper.make_value_info("o", helper.make_optional_type_proto(info))],
    )
    other = helper.make_graph(
        [helper.make_node("Optional", ["x"], ["p"])],
        "other",
        [],
        [helper.make_value_info("p", helper.make_optional_type_proto(info))],
    )
    nodes = [
        helper.make_node("Identity", ["x"], ["i"]),
        helper.make_node("If", ["c"], ["q"], then_branch=branch, else_branch=other),
        helper.make_node("OptionalGetElement", ["q"], ["y"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [3]),
        helper.make_tensor_value_info("c", TensorProto.BOOL, []),
    ]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), "model.onnx")
    assert operators(compiled(vggc, recipe)) == ["If", "OptionalGetElement"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "g (float[N,3] x) => (float[N,3] y) { q = Relu(x) q = Neg(x) y = Abs(q) }",
            "error: the model is not valid ONNX: two nodes compute `q` [VGGC403]",
        ),
        (
            "g (float[N,3] x) => (float[N,3] y) { q = Add(x, y) y = Neg(q) }",
            "error: the graph has a cycle through Add `q` [VGGC403]",
        ),
        (
            "g (float[N,3] x) => () { y = Neg(x) }",
            "error: the model has no outputs, so there is nothing to compile [VGGC403]",
        ),
        (
            "g (float[N,3] x, float[N,3] x) => (float[N,3] y) { y = Neg(x) }",
            "error: the model is not valid ONNX: Graph must be in single static assignment (SSA) form, however 'x' has "
            "been used as graph input names multiple times. [VGGC403]",
        ),
    ],
)
def test_models_that_are_refused(vggc: Any, recipe: Any, text: str, message: str) -> None:
    save(text)
    for words in (["check", recipe("simplify")], ["inspect"], ["plan", "recipe.opt"], ["recipe.opt"]):
        ran = vggc(*words, "model.onnx")
        assert (ran.status, ran.err.splitlines()[0]) == (1, message)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("g (float[N,3] renamed) => (float[N,3] y) { y = Neg(renamed) }", "a text of a value"),
        ("g (float[N,3] x) => (float[N,3] y) { [renamed] y = Neg(x) }", "a text of a node"),
        ("g (float[N,3] x) => (float[N,3] y) { y = Renamed(x) }", "a text of a node"),
        ("g (float[N,3] x) => (float[N,3] y) { [n] renamed = Relu(x) y = Neg(renamed) }", "a text of Relu `n`"),
        ("g (float[renamed,3] x) => (float[renamed,3] y) { y = Neg(x) }", "a text of the shape of `x`"),
        ("g (float[N,3] x) => (float[N,3] y) { [n] y = Cast<to = 1, renamed = 1>(x) }", "a text of Cast `n`"),
        (
            'g (float[N,3,4,4] x) => (float[N,3,4,4] y) { [n] y = DepthToSpace<blocksize = 1, mode = "renamed">(x) }',
            "attribute `mode` of DepthToSpace `n`",
        ),
    ],
)
def test_texts_that_are_not_utf8(vggc: Any, recipe: Any, text: str, where: str) -> None:
    content = save(text).SerializeToString()
    Path("model.onnx").write_bytes(content.replace(b"renamed", b"\xffenamed").replace(b"Renamed", b"\xffenamed"))
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (
        1,
        f"error: the model is not valid ONNX: {where} is not UTF-8 [VGGC403]\n"
        "help: the file is damaged: copy or export it again\n",
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda graph: setattr(graph.input[0].type.tensor_type, "elem_type", 108),
        lambda graph: setattr(graph.initializer[0], "data_type", 108),
        lambda graph: setattr(graph.initializer[0], "data_type", 0),
    ],
)
def test_element_types_that_onnx_does_not_know(vggc: Any, recipe: Any, damage: Any) -> None:
    model = save("g (float[N,3] x) => (float[N,3] y) { y = Add(x, w) }", w=np.ones(3, np.float32))
    damage(model.graph)
    Path("model.onnx").write_bytes(model.SerializeToString())
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert "has an element type that onnx " in ran.err


def test_a_value_without_an_element_type(vggc: Any, recipe: Any) -> None:
    model = save("g (float[N,3] x) => (float[N,3] y) { i = Identity(x) y = Relu(i) }")
    model.graph.input[0].type.tensor_type.elem_type = 0
    Path("model.onnx").write_bytes(model.SerializeToString())
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert ran.err.startswith("error: the model is not valid ONNX: ")


def test_an_attribute_without_a_type(vggc: Any, recipe: Any) -> None:
    model = save("g (float[N,3] x) => (float[N,3] y) { [n] y = Cast<to = 1>(x) }")
    model.graph.node[0].attribute[0].ClearField("type")
    Path("model.onnx").write_bytes(model.SerializeToString())
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert ran.err.startswith("error: the model is not valid ONNX: attribute `to` of Cast `n` has no type")


def test_any_damage_ends_in_words(vggc: Any, recipe: Any) -> None:
    """Bytes flipped anywhere: whatever is read is compiled or refused, and never ends in a traceback."""
    weights = {name: np.ones(4, np.float32) for name in ("scale", "shift", "mean", "var")}
    content = save(
        "g (float[N,3,6,6] x, bool c) => (float[N,4,4,4] y) { y = If(c) <"
        "then_branch = t () => (float[N,4,4,4] a) { q = Conv(x, w) "
        "a = BatchNormalization(q, scale, shift, mean, var) }, "
        "else_branch = e () => (float[N,4,4,4] b) { i = Identity(x) b = Conv<kernel_shape = [3, 3]>(i, w) }> }",
        w=np.ones((4, 3, 3, 3), np.float32),
        **weights,
    ).SerializeToString()
    random = np.random.default_rng(0)
    words = recipe("simplify\nfold_batch_norm")
    seen = set()
    for _ in range(100):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), random.integers(1, 4)):
            damaged[place] ^= 1 << random.integers(8)
        Path("model.onnx").write_bytes(bytes(damaged))
        ran = vggc(words, "model.onnx", "-o", "out", "--verify", "off")
        assert ran.status in (0, 1), ran.err
        seen.add(ran.status)
    assert seen == {0, 1}
