"""Engines on a real GPU: compiled, loaded, run, held against onnxruntime, timed, and noted in their sidecars.

Each test goes the way a user goes, through the command line. Without an NVIDIA GPU all of them are skipped.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from vggc.cli.main import run
from vggc.targets.capabilities import Capability
from vggc.targets.cuda_driver import Device

pytestmark = pytest.mark.gpu

FLAVOURS = ("tensorrt_rtx", "tensorrt")
CONV = (
    "g (float[{n},3,32,32] x) => (float[{n},10] y) {{ c = Conv<pads=[1,1,1,1]>(x, w) r = Relu(c) "
    "d = Conv<pads=[1,1,1,1]>(r, v) a = Add(d, r) m = GlobalAveragePool(a) f = Flatten(m) y = Gemm<transB=1>(f, k) }}"
)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    scale = np.sqrt(2 / np.prod(shape[1:]))
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


WEIGHTS = {"w": random(32, 3, 3, 3), "v": random(32, 32, 3, 3), "k": random(10, 32)}


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    """Each flavour that is installed."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"the Python package {request.param} is not installed")
    return str(request.param)


Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Compile a model with one `target` line, given as text; the path of the engine's sidecar."""

    def make(target: str, text: str, steps: str = "", opset: int = 17, **weights: Any) -> Path:
        monkeypatch.chdir(tmp_path)
        model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {text}')
        model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in weights.items())
        onnx.save(model, "net.onnx")
        Path("net.opt").write_text(f"{steps}\ntarget onnx\n{target}\n")
        assert run(["net.opt", "net.onnx", "-o", "out"]) == 0
        return tmp_path / "out/model.engine.json"

    return make


def here(flavour: str, options: str = "") -> str:
    """A target line for the GPU of this machine."""
    capability = Device().capability
    if flavour == "tensorrt_rtx" and capability not in get_args(Capability)[1:]:
        pytest.skip(f"TensorRT RTX has no float32 products for this GPU ({capability})")
    compute = f"compute=[{capability}]" if flavour == "tensorrt_rtx" else ""
    return f"target {flavour}({', '.join(each for each in (compute, options) if each)})"


def validated(sidecar: Path) -> dict[str, Any]:
    """What `vggc validate` notes of an engine."""
    assert json.loads(sidecar.read_text())["validated_on"] is None
    assert run(["validate", str(sidecar)]) == 0
    facts = json.loads(sidecar.read_text())["validated_on"]
    assert isinstance(facts, dict)
    assert facts["gpu"] == Device().name
    assert facts["compute_capability"] == Device().capability
    assert 0 <= facts["largest_error"] <= facts["tolerance"]
    assert all(each["milliseconds"] > 0 for each in facts["runs"])
    return facts


def test_float32_without_tf32(flavour: str, build: Build) -> None:
    facts = validated(build(here(flavour, "tf32=false"), CONV.format(n=4), **WEIGHTS))
    assert facts["tolerance"] == 1e-4
    assert [each["shapes"] for each in facts["runs"]] == [{"x": [4, 3, 32, 32]}]


def test_tf32(flavour: str, build: Build) -> None:
    assert validated(build(here(flavour), CONV.format(n=4), **WEIGHTS))["tolerance"] == 5e-3


def test_two_profiles(flavour: str, build: Build) -> None:
    sidecar = build(here(flavour, "batch=[1, 2..8..16]"), CONV.format(n="N"), **WEIGHTS)
    runs = validated(sidecar)["runs"]
    assert [(each["profile"], each["shapes"]["x"][0]) for each in runs] == [(0, 1), (1, 2), (1, 8), (1, 16)]


def test_folded_and_simplified(flavour: str, build: Build) -> None:
    text = (
        "g (float[N,3,16,16] x) => (float[N,8,16,16] y) "
        "{ c = Conv<pads=[1,1,1,1]>(x, w) n = BatchNormalization(c, s, b, m, v) i = Identity(n) y = Relu(i) }"
    )
    norm = {"s": random(8, 1)[:, 0], "b": random(8, 1)[:, 0], "m": random(8, 1)[:, 0], "v": np.ones(8, np.float32)}
    sidecar = build(here(flavour, "batch=1..4"), text, "simplify\nfold_batch_norm", w=random(8, 3, 3, 3), **norm)
    validated(sidecar)


def test_int8(flavour: str, build: Build) -> None:
    scale, zero = np.float32(0.02), np.int8(0)
    weights = random(32, 32, 3, 3)
    scales = (np.abs(weights).max(axis=(1, 2, 3)) / 127).astype(np.float32)
    stored = np.round(weights / scales[:, None, None, None]).astype(np.int8)
    text = (
        "g (float[2,32,16,16] x) => (float[2,32,16,16] y) { q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) "
        "e = DequantizeLinear<axis=0>(w, t, o) c = Conv<pads=[1,1,1,1]>(d, e) y = Relu(c) }"
    )
    zeros = np.zeros(32, np.int8)
    facts = validated(build(here(flavour), text, s=scale, z=zero, w=stored, t=scales, o=zeros))
    assert facts["tolerance"] == 5e-2


def test_float16(flavour: str, build: Build) -> None:
    text = "g (float[4,64] x) => (float[4,32] y) { h = Cast<to=10>(x) m = MatMul(h, w) y = Cast<to=1>(m) }"
    facts = validated(build(here(flavour), text, w=random(64, 32).astype(np.float16)))
    assert facts["tolerance"] == 1e-2


def test_bfloat16(flavour: str, build: Build) -> None:
    # onnxruntime's CPU kernels multiply no bfloat16: there would be nothing to compare with.
    text = "g (float[4,64] x) => (float[4,64] y) { h = Cast<to=16>(x) y = Cast<to=1>(h) }"
    facts = validated(build(here(flavour), text))
    assert facts["tolerance"] == 3e-2


def test_an_if(flavour: str, build: Build) -> None:
    text = (
        "g (float[4] x, bool b) => (float[4] y) { y = If(b) <then_branch = t () => (float[4] p) { p = Relu(x) }, "
        "else_branch = e () => (float[4] q) { q = Neg(x) }> }"
    )
    validated(build(here(flavour), text))


def test_weight_streaming(flavour: str, build: Build) -> None:
    sidecar = build(here(flavour, "weight_streaming=true"), CONV.format(n=1), **WEIGHTS)
    assert "WEIGHT_STREAMING" in json.loads(sidecar.read_text())["flags"]
    validated(sidecar)


@pytest.mark.parametrize(
    ("option", "flag"), [("version_compatible=true", "VERSION_COMPATIBLE"), ("refit=true", "REFIT")]
)
def test_flags_of_tensorrt(build: Build, option: str, flag: str) -> None:
    if importlib.util.find_spec("tensorrt") is None:
        pytest.skip("the Python package tensorrt is not installed")
    sidecar = build(f"target tensorrt({option})", CONV.format(n=1), **WEIGHTS)
    assert flag in json.loads(sidecar.read_text())["flags"]
    validated(sidecar)


def test_timings_are_used_again(build: Build, tmp_path: Path) -> None:
    if importlib.util.find_spec("tensorrt") is None:
        pytest.skip("the Python package tensorrt is not installed")
    sidecar = build("target tensorrt(keep_timings=true)", CONV.format(n=1), **WEIGHTS)
    timings = sidecar.with_name("model.engine.timings")
    assert timings.stat().st_size > 0
    (tmp_path / "old.timings").write_bytes(timings.read_bytes())
    validated(build('target tensorrt(timing_cache="old.timings")', CONV.format(n=1), **WEIGHTS))


def test_an_engine_for_other_gpus_does_not_load(build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("tensorrt_rtx") is None:
        pytest.skip("the Python package tensorrt_rtx is not installed")
    other = "sm89" if Device().capability != "sm89" else "sm120"
    sidecar = build(f"target tensorrt_rtx(compute=[{other}])", CONV.format(n=1), **WEIGHTS)
    assert run(["validate", str(sidecar)]) == 1
    assert "error: TensorRT RTX cannot load the engine" in capsys.readouterr().err
    assert json.loads(sidecar.read_text())["validated_on"] is None


def test_a_tampered_engine_is_not_loaded(flavour: str, build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    sidecar = build(here(flavour), CONV.format(n=1), **WEIGHTS)
    engine = sidecar.with_name("model.engine")
    content = bytearray(engine.read_bytes())
    content[len(content) // 2] ^= 1
    engine.write_bytes(content)
    assert run(["validate", str(sidecar)]) == 1
    assert "is not the one that its sidecar describes" in capsys.readouterr().err


@pytest.mark.parametrize("name", FLAVOURS)
def test_onnxruntime_loads_the_engine(build: Build, name: str) -> None:
    import onnxruntime

    from vggc.targets.onnxruntime import PROVIDERS
    from vggc.targets.onnxruntime_runner import RTX, open_session

    provider = PROVIDERS[name]
    plug_in = provider == RTX and importlib.util.find_spec("onnxruntime_ep_nv_tensorrt_rtx") is not None
    if importlib.util.find_spec(name) is None or not (plug_in or provider in onnxruntime.get_available_providers()):
        pytest.skip(f"needs the package {name} and an onnxruntime with {provider}")
    sidecar = build(f"{here(name)}\ntarget ep_context", CONV.format(n=2), **WEIGHTS)
    folder = sidecar.parent
    x = np.random.default_rng(1).normal(size=(2, 3, 32, 32)).astype(np.float32)
    expected, found = (
        open_session(folder / file, onnxruntime.SessionOptions(), [each]).run(None, {"x": x})[0]
        for file, each in (("model.onnx", "CPUExecutionProvider"), ("model_ctx.onnx", provider))
    )
    assert np.abs(found - expected).max() <= 5e-3 * np.abs(expected).max()
