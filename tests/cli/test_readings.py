"""Models that say things in unusual ways keep their meaning, or are refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest

Write = Callable[[str], str]

RECIPE = "simplify\nfold_batch_norm\ntarget onnx\n"


def outputs(path: Path, feeds: dict[str, Any]) -> list[Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return list(ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, feeds))


X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3)

FUNCTION = """<ir_version: 9, opset_import: ["" : 17, "my" : 1]>
g (float[N,3] x) => (float[N,3] y) { y = my.F (x) }
<domain: "my", opset_import: ["" : %d]>
F %s (a) => (b) { %s }
"""


def with_default(text: str, name: str, value: float) -> onnx.ModelProto:
    model = onnx.parser.parse_model(text)
    function = model.functions[0]
    del function.attribute[:]
    function.attribute_proto.append(onnx.helper.make_attribute(name, value))
    return model


def models() -> dict[str, onnx.ModelProto]:
    leaky = "b = LeakyRelu <alpha: float = @alpha> (a)"
    nested = with_default(FUNCTION % (17, "", leaky), "alpha", 0.5)
    outer = onnx.parser.parse_model(FUNCTION % (17, "", "c = my.F (a) b = Neg (c)")).functions[0]
    outer.name = "Outer"
    outer.opset_import.append(onnx.helper.make_opsetid("my", 1))
    nested.functions.append(outer)
    nested.graph.node[0].op_type = "Outer"
    sparse = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 17]> g (float[N,3] x) => (float[N,3] y, float[2,3] z) '
        "{ y = Relu (x) s = Constant <value_float: float = 0.0> () z = Identity (s) }"
    )
    values = onnx.helper.make_tensor("v", onnx.TensorProto.FLOAT, [2], [1.0, 2.0])
    places = onnx.helper.make_tensor("i", onnx.TensorProto.INT64, [2], [1, 5])
    del sparse.graph.node[1].attribute[:]
    tensor = onnx.helper.make_sparse_tensor(values, places, [2, 3])
    sparse.graph.node[1].attribute.append(onnx.helper.make_attribute("sparse_value", tensor))
    return {
        "a default of a function's attribute": with_default(FUNCTION % (17, "", leaky), "alpha", 0.5),
        "a default of a function that a function calls": nested,
        "a function of an older opset, same operators": onnx.parser.parse_model(FUNCTION % (13, "", "b = Tanh (a)")),
        "a function of an older opset, other operators": onnx.parser.parse_model(
            FUNCTION % (11, "", "c = Softmax <axis = 1> (a) b = Neg (c)")
        ),
        "a sparse constant as an output": sparse,
        "a Range of one-element constants": onnx.parser.parse_model(
            '<ir_version: 9, opset_import: ["" : 20]> g (float[N,3] x) => (float[K] y) '
            "<int64[2] s = {6, 4}, int64 a = {0}, int64 d = {1}> "
            "{ p, q = Split <num_outputs = 2> (s) r = Range (a, p, d) f = Cast <to = 1> (r)"
            " z = ReduceSum <keepdims = 0> (x) y = Mul (f, z) }"
        ),
        "a NaN that the model selects": onnx.parser.parse_model(
            '<ir_version: 9, opset_import: ["" : 17]> g (float[N,3] x) => (float[N,3] y, float[N,3] z) '
            "<float zero = {0}, float two = {2}, float nan = {nan}> "
            "{ less = Less (x, zero) y = Where (less, nan, x) m = Mul (x, two) z = Identity (m) }"
        ),
    }


@pytest.mark.parametrize("name", models())
def test_the_meaning_is_kept(vggc: Any, recipe: Write, name: str) -> None:
    onnx.save(models()[name], "model.onnx")
    ran = vggc(recipe(RECIPE), "model.onnx", "-o", "out")
    assert ran.status == 0, ran.err
    for before, after in zip(
        outputs(Path("model.onnx"), {"x": X}), outputs(Path("out/model.onnx"), {"x": X}), strict=True
    ):
        np.testing.assert_allclose(after, before, rtol=2e-5, atol=1e-6)


REFUSED = {
    "a reference to an attribute outside of a function": (
        '<ir_version: 8, opset_import: ["" : 17]> g (float[N,3] x) => (int64[1] z) '
        "{ c = Constant <value_ints: ints = @attr> () z = Shape (c) }",
        "attribute `value_ints` of Constant `c` refers to an attribute `attr` of a function",
    ),
    "an If whose branches give too little": (
        '<ir_version: 8, opset_import: ["" : 17]> g (float[5] x) => (float[5] y) <bool c = {1}> '
        "{ y, z = If (c) <then_branch = t () => (float[5] p) { p = Neg (x) },"
        " else_branch = e () => (float[5] q) { q = Identity (x) }> }",
        "If `y, z` has 2 outputs, and its body `then_branch` gives 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_valid_is_refused(vggc: Any, recipe: Write, name: str) -> None:
    text, words = REFUSED[name]
    onnx.save(onnx.parser.parse_model(text), "model.onnx")
    ran = vggc(recipe(RECIPE), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert words in ran.err
    assert not Path("out").exists()


def test_a_weight_that_is_nan_is_still_named(vggc: Any, recipe: Write) -> None:
    model = onnx.load("model.onnx")
    weight = next(each for each in model.graph.initializer if each.name == "w")
    array = onnx.numpy_helper.to_array(weight).copy()
    array[0, 0, 0, 1] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(array, "w"))
    onnx.save(model, "model.onnx")
    ran = vggc(recipe(RECIPE), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert "`w` is NaN at [0, 0, 0, 1]" in ran.err


def test_defaults_of_inputs_that_are_lost_are_said(vggc: Any, recipe: Write) -> None:
    model = onnx.load("model.onnx")
    model.graph.input.append(onnx.helper.make_tensor_value_info("fb", onnx.TensorProto.FLOAT, [4]))
    onnx.save(model, "model.onnx")
    ran = vggc(recipe(RECIPE), "model.onnx", "-o", "out")
    assert ran.status == 0, ran.err
    assert "`fb`" in ran.err and "default values" in ran.err


def test_metadata_of_the_graph_and_its_inputs_is_kept(vggc: Any, recipe: Write) -> None:
    model = onnx.load("model.onnx")
    model.ir_version = 10
    model.graph.metadata_props.add(key="task", value="digits")
    model.graph.input[0].metadata_props.add(key="unit", value="grey")
    onnx.save(model, "model.onnx")
    ran = vggc(recipe(RECIPE), "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (0, "")
    graph = onnx.load("out/model.onnx").graph
    assert [(each.key, each.value) for each in graph.metadata_props] == [("task", "digits")]
    assert [(each.key, each.value) for each in graph.input[0].metadata_props] == [("unit", "grey")]


def test_the_library_works_on_the_oldest_opsets(vggc: Any, recipe: Write) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 3, opset_import: ["" : 4]> g (float[1,3] x) => (float[1,3] y) { r = Relu (x) y = Relu (r) }'
    )
    onnx.save(model, "model.onnx")
    ran = vggc(recipe('use "vggc:rules/all.opt"\n\noptimize'), "model.onnx", "-o", "out", "--verify", "off")
    assert ran.status == 0, ran.err


def test_a_model_whose_every_size_is_open_runs_on_random_numbers(vggc: Any, recipe: Write) -> None:
    model = onnx.load("model.onnx")
    for at, dimension in enumerate(model.graph.input[0].type.tensor_type.shape.dim):
        dimension.Clear()
        dimension.dim_param = f"d{at}"
    onnx.save(model, "model.onnx")
    ran = vggc(recipe(RECIPE), "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (0, "")
