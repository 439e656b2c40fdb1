"""Running models: outputs, types, weights handed over without copies, and onnxruntime's errors in our words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from vggc.diagnostics import Code
from vggc.execution.errors import WITHOUT_RUNNING
from vggc.execution.session import Optimise, Session
from vggc.graph import Graph

Refused = Callable[[str], AbstractContextManager[None]]
HEAD = '<ir_version: 10, opset_import: ["" : 21, "my" : 1]>\n'
X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2


def graph(text: str, **weights: Any) -> Graph:
    model = parser.parse_model(HEAD + text)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in weights.items())
    return Graph.from_model(model)


def test_outputs_by_name_in_order() -> None:
    both = graph("g (float[N,3] x) => (float[N,3] y, float[N,3] z) { y = Relu(x) z = Neg(x) }")
    found = Session(both).run({"x": X})
    assert list(found) == ["y", "z"]
    np.testing.assert_array_equal(found["y"], np.maximum(X, 0))
    np.testing.assert_array_equal(found["z"], -X)


def test_an_input_of_unknown_rank_takes_any_array() -> None:
    model = graph("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    model.inputs[0].shape = None
    model.outputs[0].shape = None
    session = Session(model)
    assert session.inputs[0].shape is None
    np.testing.assert_array_equal(session.run({"x": X})["y"], np.maximum(X, 0))


def test_intermediate_values() -> None:
    chain = graph("g (float[N,3] x) => (float[N,3] y) { a = Relu(x) b = Neg(a) y = Exp(b) }")
    found = Session(chain, ["b", "x", "a"]).run({"x": X})
    assert list(found) == ["b", "x", "a"]
    np.testing.assert_array_equal(found["b"], -np.maximum(X, 0))


def test_nothing_runs_that_is_not_asked_for() -> None:
    late = graph("g (float[N,3] x, int64[K] s) => (float[A,B] y) { a = Relu(x) y = Reshape(a, s) }")
    found = Session(late, ["a"]).run({"x": X, "s": np.array([99])})
    np.testing.assert_array_equal(found["a"], np.maximum(X, 0))


@pytest.mark.parametrize("optimise", ["none", "basic", "extended", "all"])
def test_large_weights_reach_onnxruntime(tmp_path: Path, optimise: Optimise) -> None:
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    product = graph("g (float[N,64] x) => (float[N,64] y) { a = MatMul(x, w) y = Relu(a) }", w=weights)
    data = np.random.default_rng(1).standard_normal((5, 64)).astype(np.float32)
    expected = np.maximum(data @ weights, 0)
    for model in (product, _saved(product, tmp_path, False), _saved(product, tmp_path, True)):
        session = Session(model, optimise=optimise)
        np.testing.assert_allclose(session.run({"x": data})["y"], expected, rtol=1e-4, atol=1e-4)


def _saved(model: Graph, folder: Path, external: bool) -> Path:
    path = folder / f"{external}.onnx"
    model.save(path, external=external)
    return path


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory in use from /proc")
def test_weights_are_not_copied() -> None:
    weights = np.ones((1024, 1, 64, 1024), np.float32)  # 256 MiB
    big = graph("g (float[N,1024,64,1024] x) => (float[N,1024,1,1] y) { y = Conv<group = 1024>(x, w) }", w=np.zeros(0))
    big.nodes[0].inputs[1] = big.constant(weights, "w")
    before = resident_bytes()
    session = Session(big)
    assert resident_bytes() - before < weights.nbytes // 4
    copying = Session(big, optimise="basic")
    assert resident_bytes() - before >= weights.nbytes
    del session, copying


def test_shapes_in_large_constants_are_read_by_shape_inference() -> None:
    ones = np.ones(900, np.int64)
    tiled = graph("g (float[1] x) => (float[M] y) { s = Shape(w) y = Expand(x, s) }", w=ones)
    assert Session(tiled).run({"x": X[0, :1]})["y"].shape == (900,)
    wide = graph("g (float[N,3] x) => (float[1] y) { a = Expand(x, w) s = Size(a) f = Cast<to = 1>(s) "
                 "y = Reshape(f, one) }", w=ones[:600], one=np.array([1]))  # fmt: skip
    wide.nodes[0].inputs[1] = wide.constant(np.array([2, 3]), "shape")
    assert Session(wide).run({"x": X})["y"].tolist() == [6]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("float16", np.float16),
        ("bfloat16", ml_dtypes.bfloat16),
        ("float8e4m3fn", ml_dtypes.float8_e4m3fn),
        ("double", np.float64),
        ("bool", np.bool_),
        ("uint16", np.uint16),
    ],
)
def test_types(name: str, dtype: Any) -> None:
    same = graph(f"g ({name}[N,3] x) => ({name}[N,3] y) {{ y = Identity(x) }}")
    given = np.arange(6).reshape(2, 3).astype(dtype)
    found = Session(same).run({"x": given})["y"]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, given)


def test_text() -> None:
    same = graph("g (string[N] x) => (string[N] y) { y = Identity(x) }")
    assert Session(same).run({"x": np.array(["a", "bc"])})["y"].tolist() == ["a", "bc"]


def test_int4_weights(tmp_path: Path) -> None:
    numbers = np.arange(64 * 160).reshape(64, 160) % 15 - 7
    packed = helper.make_tensor("w", TensorProto.INT4, numbers.shape, numbers.reshape(-1))
    model = parser.parse_model(
        HEAD + "g (float[N,64] x, float s) => (float[N,160] y) { d = DequantizeLinear(w, s) y = MatMul(x, d) }"
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(packed), "w"))
    onnx.save(model, tmp_path / "a.onnx")
    data = np.eye(2, 64, dtype=np.float32)
    found = Session(Graph.load(tmp_path / "a.onnx")).run({"x": data, "s": np.array(0.5, np.float32)})["y"]
    np.testing.assert_array_equal(found, numbers[:2] * 0.5)


def test_feeds_that_do_not_fit(refused: Refused) -> None:
    session = Session(graph("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }"))
    with refused("error: no value is given for the model's input `x`"):
        session.run({})
    with refused("error: the model has no input `X`\nhelp: a similar name exists: `x`"):
        session.run({"x": X, "X": X})
    with refused("error: the model's input `x` is float32, but float64 is given"):
        session.run({"x": X.astype(np.float64)})
    with refused("error: the model's input `x` has shape [N, 3], but [3, 2] is given"):
        session.run({"x": X.T.copy()})
    with refused("error: the model's input `x` has shape [N, 3], but [3] is given"):
        session.run({"x": X[0]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "g (float[N,3] x) => (float[N,3] y) { [n1] y = my.Foo(x) }",
            f"onnxruntime has no operator Foo of the domain `my`\n = node: Foo `n1`\nhelp: {WITHOUT_RUNNING}",
        ),
        (
            "g (int4[N,3] x) => (int4[N,3] y) { y = Identity(x) }",
            "onnxruntime cannot load the model: its CPU has no kernel for this operator with these types\n"
            " = node: Identity of `y`\n"
            f"help: {WITHOUT_RUNNING}",
        ),
        (
            "g (int4[N,3] x) => (float[N,3] y) { y = Cast<to = 1>(x) }",
            f"the model's input `x` is a tensor(int4), which vggc cannot feed\nhelp: {WITHOUT_RUNNING}",
        ),
        (
            "g (float[N,3] x, float[4,4] w) => (float[A,B] y) { [n1] y = MatMul(x, w) }",
            "onnxruntime cannot load the model: Incompatible dimensions for matrix multiplication\n"
            " = node: MatMul `n1`",
        ),
        (
            "g (bfloat16[N,3,4,4] x, bfloat16[2,3,1,1] w) => (bfloat16[N,2,4,4] y) { [n1] y = Conv(x, w) }",
            "onnxruntime cannot load the model: Type Error: Type 'tensor(bfloat16)' of input parameter (x) of "
            "operator (Conv) is invalid\n = node: Conv `n1`",
        ),
    ],
)
def test_models_that_cannot_be_loaded(refused: Refused, text: str, message: str) -> None:
    code = Code.MODEL_INPUT if "cannot feed" in message else Code.ONNXRUNTIME
    with refused(f"error: {message}", code):
        Session(graph(text))


def test_an_opset_onnxruntime_does_not_know(refused: Refused) -> None:
    newer = graph("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    newer.opset = 99
    advice = "export the model with an older opset, or use --verify off"
    with refused(f"error: onnxruntime does not know opset 99 yet\nhelp: {advice}"):
        Session(newer)


def test_a_format_newer_than_onnxruntime_runs() -> None:
    newer = graph("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    newer.ir_version = 99
    np.testing.assert_array_equal(Session(newer).run({"x": X})["y"], np.maximum(X, 0))


def test_a_type_without_a_kernel_names_the_node(refused: Refused) -> None:
    newer = graph("g (float[N,3] x) => (float4e2m1[N,3] y) { [n1] y = Cast<to = 23>(x) }")
    newer.opset = 25
    with refused(
        "error: onnxruntime cannot load the model: its CPU has no kernel for this operator with these types\n"
        " = node: Cast `n1`\n"
        f"help: {WITHOUT_RUNNING}"
    ):
        Session(newer)


def test_an_output_numpy_cannot_hold(refused: Refused) -> None:
    session = Session(graph("g (float[N,3] x) => (int4[N,3] y) { y = Cast<to = 22>(x) }"))
    with refused(f"error: a value of type int4 cannot be read from onnxruntime\nhelp: {WITHOUT_RUNNING}"):
        session.run({"x": X})


def test_files_that_cannot_be_loaded(tmp_path: Path, refused: Refused) -> None:
    with refused(f"error: there is no model `{tmp_path}/no.onnx`"):
        Session(tmp_path / "no.onnx")
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"garbage")
    with refused(f"error: `{path}` is not an ONNX model\nhelp: vggc reads the .onnx files that exporters write"):
        Session(path)


OTHER_INPUTS = (
    '\nhelp: check the model with samples on which it runs: data samples = npz("samples.npz", limit=8); '
    "or use --verify off, which checks nothing"
)


@pytest.mark.parametrize(
    ("text", "feeds", "message"),
    [
        (
            "g (float[N,3] x, int64[K] s) => (float[A,B] y) { [n1] y = Reshape(x, s) }",
            {"x": X, "s": np.array([7, 7])},
            "onnxruntime cannot run the model: The input tensor cannot be reshaped to the requested shape. "
            "Input shape:{2,3}, requested shape:{7,7}\n = node: Reshape `n1`" + OTHER_INPUTS,
        ),
        (
            "g (float[N,3] x, int64[K] s) => (float[A,B] y) { y = Gather(x, s) }",
            {"x": X, "s": np.array([7])},
            "onnxruntime cannot run the model: indices element out of data bounds, idx=7 must be within the "
            "inclusive range [-2,1]\n = node: Gather of `y`" + OTHER_INPUTS,
        ),
        (
            "g (int64[N] x, int64[N] s) => (int64[N] y) { y = Div(x, s) }",
            {"x": np.array([1]), "s": np.array([0])},
            "onnxruntime cannot run the model: Integer division by zero\n = node: Div of `y`" + OTHER_INPUTS,
        ),
        (
            "g (float[N,3] x, bool c, int64[K] s) => (float[A,B] y) { y = If(c) <"
            "then_branch = t () => (float[A,B] r) { [inner] r = Gather(x, s) }, "
            "else_branch = e () => (float[N,B] q) { q = Add(x, x) }> }",
            {"x": X, "c": np.array(True), "s": np.array([9])},
            "onnxruntime cannot run the model: indices element out of data bounds, idx=9 must be within the "
            "inclusive range [-2,1]\n = node: Gather `inner`" + OTHER_INPUTS,
        ),
        (
            "g (int64[K] x) => (float[A,B] y) { y = ConstantOfShape(x) }",
            {"x": np.array([1 << 30, 1 << 20])},
            "there is not enough memory to run the model\n = node: ConstantOfShape of `y`",
        ),
    ],
)
def test_nodes_that_fail(refused: Refused, text: str, feeds: dict[str, Any], message: str) -> None:
    session = Session(graph(text))
    with refused(f"error: {message}"):
        session.run(feeds)


def test_onnxruntime_prints_nothing(capfd: pytest.CaptureFixture[str], refused: Refused) -> None:
    test_nodes_that_fail(
        refused,
        "g (int64[N] x, int64[N] s) => (int64[N] y) { y = Div(x, s) }",
        {"x": np.array([1]), "s": np.array([0])},
        "onnxruntime cannot run the model: Integer division by zero\n = node: Div of `y`" + OTHER_INPUTS,
    )
    assert capfd.readouterr() == ("", "")
