"""Engines of TensorRT RTX, really built: the package needs no GPU for it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vggc
from vggc.diagnostics import CompileError, render
from vggc.graph import Graph
from vggc.graph.extras import annotate
from vggc.graph.signature import inputs_of
from vggc.targets.contract import Lowering
from vggc.targets.onnx import onnx
from vggc.targets.tensorrt import tensorrt_rtx
from vggc.values import Bytes, Interval

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel for this platform"
)

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]
CONV = "g (float[N,16,8,8] x) => (float[N,16,8,8] y) { [conv] c = Conv(x, w) [relu] y = Relu(c) }"
GEMM = "g (float[3,4] x) => (float[3,5] y) { [gemm] y = Gemm(x, w) }"
RELU = "g (float[3,4] x) => (float[3,4] y) { [relu] y = Relu(x) }"


@pytest.fixture
def conv(make_graph: GraphMaker) -> Graph:
    weights = np.linspace(-1, 1, 256, dtype=np.float32).reshape(16, 16, 1, 1)
    return make_graph(CONV.replace("{", "{ ", 1), w=weights)


def message(lowering: Lowering, **options: object) -> str:
    """The text of the error that lowering ends in; nothing is left in the folder."""
    with pytest.raises(CompileError) as error:
        tensorrt_rtx(lowering, **options)
    assert list(lowering.directory.iterdir()) == []
    return "\n".join(render(each) for each in error.value.diagnostics)


# --- engines -----------------------------------------------------------------------------------------------


def test_an_engine_and_its_sidecar(conv: Graph, lower: LoweringMaker) -> None:
    lowering = lower(conv)
    engine, sidecar, log = tensorrt_rtx(lowering, compute=["sm86", "sm89"], batch=Interval((1, 8, 32)), tf32=False)
    data = (lowering.directory / "model.engine").read_bytes()
    assert (engine.path, engine.target, engine.bytes) == ("model.engine", "tensorrt_rtx", len(data))
    assert f"net (vggc {vggc.__version__}, net.opt aaaaaaaaaaaa)".encode() in data
    assert engine.sha256 == hashlib.sha256(data).hexdigest()
    text = (lowering.directory / "model.engine.json").read_text()
    assert (lowering.directory / log.path).read_text().startswith("INFO: ")
    assert sidecar.sha256 == hashlib.sha256(text.encode()).hexdigest()
    values = json.loads(text)
    assert text == json.dumps(values, indent=2, sort_keys=True) + "\n"
    assert values.pop("build_seconds") > 0
    assert values.pop("version").split(".")[0].isdigit()
    assert values.pop("workspace") > 0
    with lowering.model_file() as files:
        model_hash = files[0].sha256
    assert values == {
        "calibration": {"calib": "c" * 64},
        "compute_capabilities": ["sm86", "sm89"],
        "engine": {"file": "model.engine", "bytes": engine.bytes, "sha256": engine.sha256},
        "flags": [],
        "flavour": "tensorrt_rtx",
        "format": 1,
        "inputs": [{"name": "x", "type": "float32", "shape": [-1, 16, 8, 8]}],
        "network": f"net (vggc {values['vggc']}, net.opt aaaaaaaaaaaa)",
        "onnx": {"sha256": model_hash, "data_sha256": None},
        "options": {
            "hardware": None,
            "optimization": None,
            "refit": False,
            "strip": False,
            "version_compatible": False,
            "weight_streaming": False,
            "workspace": None,
        },
        "outputs": [{"name": "y", "type": "float32", "shape": [-1, 16, 8, 8]}],
        "passes": ["simplify", "fold_batch_norm"],
        "profiles": [{"x": {"min": [1, 16, 8, 8], "opt": [8, 16, 8, 8], "max": [32, 16, 8, 8]}}],
        "recipe": {"path": "net.opt", "sha256": "a" * 64, "parameters": {"keep": 0.5}},
        "source": {"sha256": "b" * 64},
        "tf32": False,
        "timing_cache": None,
        "validated_on": None,
        "vggc": values["vggc"],
        "warnings": [],
    }


def test_a_fixed_model_needs_no_profile_and_builds_the_same_bytes_again(
    make_graph: GraphMaker, lower: LoweringMaker
) -> None:
    lowering = lower(make_graph(GEMM, w=np.ones((4, 5), np.float32)))
    first, sidecar, _ = tensorrt_rtx(lowering, name="a.engine", batch=Interval((1, 8, 32)), workspace=Bytes(1 << 28))
    second, _, _ = tensorrt_rtx(lowering, name="b.engine", workspace=Bytes(1 << 28))
    assert first.sha256 == second.sha256
    values = json.loads((lowering.directory / sidecar.path).read_text())
    assert values["compute_capabilities"] == ["sm80", "sm86", "sm89", "sm120"]
    assert values["flags"] == ["TF32"]
    assert values["tf32"] is True
    assert values["profiles"] == []
    assert values["workspace"] == 1 << 28


def test_weights_in_a_file_of_their_own(conv: Graph, lower: LoweringMaker, tmp_path: Path) -> None:
    conv.save(tmp_path / "source.onnx")
    lowering = lower(Graph.load(tmp_path / "source.onnx"))
    model, data = onnx(lowering, external=True)
    _, sidecar, _ = tensorrt_rtx(lowering, batch=1, compute=["sm86"])
    values = json.loads((lowering.directory / sidecar.path).read_text())
    assert values["onnx"] == {"sha256": model.sha256, "data_sha256": data.sha256}
    assert sorted(each.name for each in lowering.directory.iterdir()) == [
        "model.engine",
        "model.engine.json",
        "model.engine.log",
        "model.onnx",
        "model.onnx.data",
    ]


def test_the_engine_says_which_line_a_layer_comes_from(conv: Graph, lower: LoweringMaker) -> None:
    annotate(conv.nodes[0], {"vggc.line": "7", "vggc.pass": "fold_batch_norm", "vggc.from": "bn1"})
    lowering = lower(conv)
    tensorrt_rtx(lowering, batch=1, compute=["sm86"])
    data = (lowering.directory / "model.engine").read_bytes()
    assert b"[ONNX Layer: conv] [vggc: fold_batch_norm, line 7, from bn1]" in data


def test_a_text_longer_than_metadata_can_be_is_cut(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph(RELU)
    annotate(graph.nodes[0], {"vggc.from": "ä" * 5000})
    lowering = lower(graph)
    tensorrt_rtx(lowering, compute=["sm86"])
    assert ("ä" * 1000).encode() in (lowering.directory / "model.engine").read_bytes()


@pytest.mark.parametrize("operator", ["Conv", "DequantizeLinear"])
def test_types_decide_which_gpus_are_built_for(make_graph: GraphMaker, lower: LoweringMaker, operator: str) -> None:
    import ml_dtypes

    text = (
        "g (float[3,4] x) => (float[3,4] y) { q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }"
        if operator == "DequantizeLinear"
        else CONV.replace("N", "1")
    )
    weights = (
        {"s": np.float32(0.5), "z": np.array(0, ml_dtypes.float8_e4m3fn)}
        if operator == "DequantizeLinear"
        else {"w": np.ones((16, 16, 1, 1), np.float32)}
    )
    lowering = lower(make_graph(text, opset=19, **weights))
    _, sidecar, _ = tensorrt_rtx(lowering)
    values = json.loads((lowering.directory / sidecar.path).read_text())
    every = ["sm80", "sm86", "sm89", "sm120"]
    assert values["compute_capabilities"] == (every[2:] if operator == "DequantizeLinear" else every)


def test_what_makes_it_slow_is_a_warning(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    lowering = lower(
        make_graph(
            "g (float[1,16,8,8] x) => (float[1,16,8,8] y) { wd = DequantizeLinear(w, s, z) [conv] y = Conv(x, wd) }",
            w=np.ones((16, 16, 1, 1), np.int8),
            s=np.float32(0.1),
            z=np.int8(0),
        )
    )
    tensorrt_rtx(lowering, compute=["sm86"])
    tensorrt_rtx(lowering, compute=["sm89"], name="again.engine")
    assert lowering.warnings == [
        "Conv `conv` runs in float: its weights are quantized and its input is not; quantize all of its inputs, or none"
    ]


def test_several_profiles(conv: Graph, lower: LoweringMaker) -> None:
    lowering = lower(conv)
    tensorrt_rtx(lowering, batch=[1, Interval((2, 8, 32))], compute=["sm86"], weight_streaming=True)
    values = json.loads((lowering.directory / "model.engine.json").read_text())
    assert [each["x"]["max"][0] for each in values["profiles"]] == [1, 32]
    assert "WEIGHT_STREAMING" in values["flags"]
    assert lowering.engine("model.engine", ("tensorrt_rtx",)) == lowering.directory / "model.engine"


# --- options -----------------------------------------------------------------------------------------------


def test_a_missing_profile(conv: Graph, lower: LoweringMaker) -> None:
    expected = (
        "error: the input `x` has no fixed shape: an engine is built for a range of sizes\n"
        " = input: `x` float32 [N, 16, 8, 8]\n"
        'help: write the range (min..opt..max): batch=1..8..32, or shapes={"x": [1..8..32, 16, 8, 8]}'
    )
    assert message(lower(conv)) == expected
    assert "\n".join(render(each) for each in tensorrt_rtx.check(inputs_of(conv), {})) == expected
    assert tensorrt_rtx.check(inputs_of(conv), {"batch": Interval((1, 8, 32))}) == []


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (["sm88"], "error: unknown compute capability `sm88`\nhelp: a similar name exists: `sm89`"),
        (["sm86", "sm89", "sm86"], "error: compute names `sm86` twice\nhelp: write it once"),
        (
            [],
            "error: compute=[] names no GPU\nhelp: allowed: `sm120`, `sm121`, `sm75`, `sm80`, `sm86`, `sm89`",
        ),
    ],
)
def test_compute(make_graph: GraphMaker, lower: LoweringMaker, compute: list[str], expected: str) -> None:
    graph = make_graph(RELU)
    assert message(lower(graph), compute=compute) == expected
    assert "\n".join(render(each) for each in tensorrt_rtx.check(inputs_of(graph), {"compute": compute})) == expected


def test_a_capability_without_a_type(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph("g (float[3] x) => (float[3] y) { b = Cast<to=16>(x) c = Relu(b) y = Cast<to=1>(c) }")
    assert message(lower(graph), compute=["sm75", "sm86"]) == (
        "error: sm75 GPUs do not support bfloat16, which the model uses\n"
        "help: compute=[sm80, sm86, sm89, sm120, sm121] support it"
    )


def test_options_that_allow_nothing(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    assert message(lower(make_graph(RELU)), workspace=Bytes(0), timeout=-1.0) == (
        "error: workspace must be more than 0, not 0\nerror: timeout must be more than 0, not -1.0"
    )


def test_a_name_that_is_taken(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    lowering = lower(make_graph(RELU))
    tensorrt_rtx(lowering, compute=["sm86"])
    with pytest.raises(CompileError, match=r"two targets write the file `model\.engine`"):
        tensorrt_rtx(lowering, compute=["sm86"])
    assert tensorrt_rtx.files({}) == ("model.engine", "model.engine.json", "model.engine.log")


# --- what TensorRT refuses ---------------------------------------------------------------------------------


def test_a_custom_operator(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph("g (float[3] x) => (float[3] y) { a = Relu(x) [mine] y = my.Foo(a) }", domains=', "my": 1')
    annotate(graph.nodes[1], {"vggc.line": "3", "vggc.pass": "my_pass"})
    assert message(lower(graph)) == (
        "error: TensorRT RTX cannot import Foo `mine`\n"
        " = made by: my_pass, line 3\n"
        " = note: this operator is not supported\n"
        ' = TensorRT RTX: creator && "Plugin not found, are the plugin name, version, and namespace correct?"\n'
        "help: rewrite it with supported operators (a `rule` can do this), or run the model with `target onnxruntime`"
    )


def test_a_node_without_a_name_is_named_by_its_output(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph("g (float[3] x) => (float[3] y) { a = Relu(x) y = my.Foo(a) }", domains=', "my": 1')
    assert message(lower(graph)).startswith("error: TensorRT RTX cannot import Foo of `y`\n")


def test_a_node_in_the_body_of_an_if(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph(
        "g (float[3] x, bool c) => (float[3] y) "
        "{ [choose] y = If(c) <then_branch = t () => (float[3] a) { [inner] a = my.Foo(x) }, "
        "else_branch = e () => (float[3] b) { b = Neg(x) }> }",
        domains=', "my": 1',
    )
    assert message(lower(graph)) == (
        "error: TensorRT RTX cannot import Foo `inner`\n"
        " = note: this operator is not supported\n"
        " = inside: choose (If), t (then_branch)\n"
        ' = TensorRT RTX: creator && "Plugin not found, are the plugin name, version, and namespace correct?"\n'
        "help: rewrite it with supported operators (a `rule` can do this), or run the model with `target onnxruntime`"
    )


def test_turing_has_no_float32_product(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph(GEMM, w=np.ones((4, 5), np.float32))
    annotate(graph.nodes[0], {"vggc.line": "2", "vggc.pass": "simplify"})
    assert message(lower(graph), compute=["sm75", "sm86"]) == (
        "error: TensorRT RTX cannot build Gemm `gemm` for sm75\n"
        " = made by: simplify, line 2\n"
        " = note: sm75 GPUs have no float32 matrix product\n"
        "help: remove sm75 from compute, or compile the model to float16"
    )


def test_an_error_of_the_builder_names_the_node(
    make_graph: GraphMaker, lower: LoweringMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vggc.targets.engine_target.findings", lambda subject, batch_varies: [])
    graph = make_graph(GEMM, w=np.ones((4, 5), np.float32))
    annotate(graph.nodes[0], {"vggc.line": "2", "vggc.pass": "simplify"})
    text = message(lower(graph), compute=["sm75"])
    assert text.startswith("error: TensorRT RTX cannot build Gemm `gemm`\n = made by: simplify, line 2\n")
    assert "FP32 GEMM is not supported" in text
    assert "cudaError" not in text


def test_workspace_too_small_for_any_kernel(conv: Graph, lower: LoweringMaker) -> None:
    assert message(lower(conv), batch=1, workspace=Bytes(1), compute=["sm86"]).startswith(
        "error: TensorRT RTX cannot build "
    )


def test_a_baked_batch(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph("g (float[N,4] x) => (float[2,4] y) { [baked] y = Reshape(x, s) }", s=np.array([2, 4], np.int64))
    assert message(lower(graph), batch=Interval((1, 4, 8)), compute=["sm86"]) == (
        "error: TensorRT RTX cannot build Reshape `baked` for more than one batch size\n"
        " = note: it reshapes a variable batch to [2, 4], which is correct only for a batch of 2\n"
        "help: export it with a variable batch (-1), or fix the batch: set_batch(2)"
    )
    tensorrt_rtx(lower(graph), batch=2, compute=["sm86"])


def test_the_rules_go_before_the_build(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph("g (double[3] x) => (int64[1,n] y) { [nz] y = NonZero(x) }")
    found = message(lower(graph))
    assert found.count("error:") == 2
    assert "NonZero `nz`" in found


def test_an_input_whose_numbers_are_a_shape(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph("g (float[4,4] x, int64[2] s) => (float[a,b] y) { y = Reshape(x, s) }")
    assert message(lower(graph)) == (
        "error: the values of the input `s` determine shapes inside the model, and TensorRT RTX has no profile for "
        "them\n"
        "help: make that input a constant before compiling"
    )


def test_an_output_declared_otherwise_than_it_is(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph(RELU)
    graph.infer_shapes = lambda: None  # type: ignore[method-assign]
    graph.outputs[0].shape = [7]
    graph.outputs[0].dtype = np.dtype("int64")
    assert message(lower(graph), compute=["sm86"]) == (
        "error: the model declares the output `y` int64 [7], but TensorRT RTX computes float32 [3, 4]\n"
        "help: export the model with the output's right type and shape"
    )


def test_a_timeout(conv: Graph, lower: LoweringMaker) -> None:
    # Below the interpreter's own start, so that no machine is fast enough.
    assert message(lower(conv), batch=1, timeout=0.0001) == (
        "error: TensorRT RTX did not finish the engine within 0.0001 s\nhelp: allow it more time with timeout="
    )
