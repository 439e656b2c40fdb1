"""`vggc lint` and `vggc inspect --target`: what stands between a model and an engine."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel for this platform"
)


def save(text: str, opset: int = 17, **weights: Any) -> None:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}, "my": 1]> {text}')
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(each), name) for name, each in weights.items())
    Path("model.onnx").write_bytes(model.SerializeToString())


def test_nothing_to_say(vggc: Any) -> None:
    ran = vggc("lint", "model.onnx")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("model.onnx: nothing found (TensorRT RTX 1.")
    ran = vggc("inspect", "model.onnx", "--target", "tensorrt_rtx")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.endswith(": found nothing that it would refuse\n")


def test_errors_end_with_1(vggc: Any) -> None:
    save("g (float[3] x) => (float[3] y) { [mine] a = my.Foo(x) [own] y = my.Neg(a) }")
    ran = vggc("lint", "model.onnx", "--target", "tensorrt_rtx")
    assert ran.status == 1
    assert [line for line in ran.err.splitlines() if line.startswith("error")] == [
        "error: TensorRT RTX does not support Neg `own` of the domain `my` [VGGC611]",
        "error: TensorRT RTX cannot import Foo `mine` [VGGC615]",
    ]


def test_nodes_of_one_cause_share_a_message(vggc: Any) -> None:
    nodes = " ".join(f"[n{each}] y{each} = my.Foo(x)" for each in range(8))
    outputs = ", ".join(f"float[3] y{each}" for each in range(8))
    save(f"g (float[3] x) => ({outputs}, float[3] z) {{ {nodes} [other] z = my.Bar(x) }}")
    ran = vggc("lint", "model.onnx")
    assert ran.status == 1
    assert [line for line in ran.err.splitlines() if line.startswith(("error", " = others"))] == [
        "error: TensorRT RTX cannot import Foo `n0` (and 7 more nodes for the same reason) [VGGC615]",
        " = others: `n1`, `n2`, `n3`, `n4`, `n5` and 2 more",
        "error: TensorRT RTX cannot import Bar `other` [VGGC615]",
    ]


def test_all_names_every_node(vggc: Any) -> None:
    nodes = " ".join(f"[n{each}] y{each} = my.Foo(x)" for each in range(8))
    outputs = ", ".join(f"float[3] y{each}" for each in range(8))
    save(f"g (float[3] x) => ({outputs}) {{ {nodes} }}")
    ran = vggc("lint", "model.onnx", "--all")
    assert " = others: `n1`, `n2`, `n3`, `n4`, `n5`, `n6`, `n7`\n" in ran.err
    assert ran.out.startswith("model.onnx: 8 nodes, 1 cause: 1 error (")


def test_numbers_and_names_do_not_make_another_cause(vggc: Any) -> None:
    save(
        "g (float[1,3,4,4] x) => (float[1,3,4,4] y, float[1,3,4,4] v) {"
        " [one] a = QuantizeLinear(x, s, z) y = DequantizeLinear(a, s, z)"
        " [two] b = QuantizeLinear(x, s, u) v = DequantizeLinear(b, s, u) }",
        s=np.float32(0.1),
        z=np.int8(3),
        u=np.int8(7),
    )
    ran = vggc("lint", "model.onnx")
    errors = [line for line in ran.err.splitlines() if line.startswith("error")]
    assert len(errors) == 1 and "(and 3 more nodes for the same reason) [VGGC614]" in errors[0]
    assert ran.out.startswith("model.onnx: 4 nodes, 1 cause: 1 error (")


def test_warnings_alone_end_with_0(vggc: Any) -> None:
    save(
        "g (float[1,16,8,8] x) => (float[1,16,8,8] y) { wd = DequantizeLinear(w, s, z) [conv] y = Conv(x, wd) }",
        w=np.ones((16, 16, 1, 1), np.int8),
        s=np.float32(0.1),
        z=np.int8(0),
    )
    ran = vggc("lint", "model.onnx")
    assert ran.status == 0
    assert ran.err.startswith(
        "warning: Conv `conv` runs in float: its weights are quantized and its input is not [VGGC621]\n"
    )
    assert ran.out.startswith("model.onnx: 1 node, 1 cause: 1 warning (TensorRT RTX 1.")


def test_the_table_has_a_row_for_each(vggc: Any) -> None:
    save("g (float[3] x) => (float[3] y, int64[1,n] z) { [mine] y = my.Foo(x) [nz] z = NonZero(x) }")
    model = onnx.load("model.onnx")
    model.graph.node[0].metadata_props.add(key="vggc.line", value="net.opt:4")
    model.graph.node[0].metadata_props.add(key="vggc.pass", value="swap")
    model.graph.node[0].metadata_props.add(key="vggc.from", value="old")
    onnx.save(model, "model.onnx")
    ran = vggc("inspect", "model.onnx", "--target", "tensorrt_rtx")
    assert ran.status == 0
    head, *rows, _, last = ran.out.splitlines()
    assert head.split("  ") != [] and [each.strip() for each in head.split("  ") if each.strip()] == [
        "node",
        "operator",
        "reason",
        "recipe line",
        "made from",
        "instead",
    ]
    assert any(row.split()[:3] == ["error", "nz", "NonZero"] for row in rows)
    assert any(row.split()[:3] == ["error", "mine", "Foo"] and "net.opt:4" in row and "old" in row for row in rows)
    assert last.endswith(": 2 errors")


def test_capabilities(vggc: Any) -> None:
    ran = vggc("lint", "model.onnx", "--compute", "sm75", "--compute", "sm86")
    assert ran.status == 1
    assert ran.err == (
        "error: TensorRT RTX cannot build Gemm `head` for sm75 [VGGC604]\n"
        " = note: sm75 GPUs have no float32 matrix product\n"
        "help: remove sm75 from compute, or compile the model to float16\n"
    )
    ran = vggc("lint", "model.onnx", "--compute", "sm87")
    assert (ran.status, ran.err.splitlines()[0]) == (1, "error: unknown compute capability `sm87` [VGGC601]")
    assert vggc("inspect", "model.onnx", "--compute", "sm86").status == 2


def test_a_target_that_is_not_there(vggc: Any) -> None:
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("tensorrt is installed")
    for words in (("lint",), ("inspect",)):
        ran = vggc(*words, "model.onnx", "--target", "tensorrt")
        assert ran.status == 1
        assert ran.err.startswith("error: the target `tensorrt` needs the Python package `tensorrt`")
    assert vggc("lint", "model.onnx", "--target", "onnx").status == 2


@pytest.mark.parametrize("content", [b"", b"\x00\x01garbage" * 50, b"vtrt\x00\x00"])
def test_what_is_no_model(vggc: Any, content: bytes) -> None:
    Path("model.onnx").write_bytes(content)
    ran = vggc("lint", "model.onnx")
    assert ran.status == 1
    assert ran.err.startswith("error: ")


def test_rebuild_says_whether_an_engine_is_the_same(vggc: Any, recipe: Any) -> None:
    text = recipe("set_batch(2)\nsimplify\ntarget onnx\ntarget tensorrt_rtx(compute=[sm86])")
    assert vggc(text, "model.onnx", "-o", "out").status == 0
    ran = vggc("rebuild", "out/model.engine.json")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("model.engine: built again from out/model.onnx, byte for byte the same (")
    sidecar = Path("out/model.engine.json")
    sidecar.write_text(sidecar.read_text().replace('"sm86"', '"sm89"'))
    ran = vggc("rebuild", "out/model.engine.json")
    assert ran.status == 1
    assert ran.err.startswith("error: the engine built again from `out/model.onnx` is not `model.engine`")
    ran = vggc("rebuild", "model.onnx")
    assert (ran.status, ran.err.splitlines()[0]) == (
        1,
        "error: `model.onnx` is not the sidecar of an engine: it is not JSON [VGGC641]",
    )


@pytest.mark.parametrize(
    "text",
    [
        "g (float[3] x) => (float[3] y) { [mine] a = my.Foo(x) [own] y = my.Neg(a) }",
        "g (float[N, 4] x) => (float[2, 2] y) <int64[2] s = {2, 2}> { [r] y = Reshape(x, s) }",
        "g (float[3] x) => (int64[1, n] y) { [nz] y = NonZero(x) }",
        "g (float[3] x) => (float[3] y) { y = Relu(x) }",
    ],
)
def test_inspect_and_lint_agree(vggc: Any, text: str) -> None:
    save(text)
    lines = vggc("lint", "model.onnx").err.splitlines()
    refused = [line.removeprefix("error: ").partition(" [VGGC")[0] for line in lines if "error: " in line]
    shown = vggc("inspect", "model.onnx").out.partition("TensorRT RTX would refuse:\n")[2]
    assert [line.strip() for line in shown.splitlines()] == refused
