"""The targets for other runtimes: each converts, runs and compares the model where its packages are installed."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vggc.binding.registry import shipped
from vggc.data.arrays import ArrayDataset
from vggc.diagnostics import CompileError
from vggc.diagnostics.packages import ONNX2TF, TORCHSERVE, TVM, Optional
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.signature import ValueType
from vggc.runtimes import packages
from vggc.runtimes.packages import python_of
from vggc.runtimes.sidecar import read_sidecar
from vggc.targets import torchserve_handler
from vggc.targets.contract import Lowering
from vggc.targets.onnx2tf import with_zero_padding
from vggc.targets.onnxruntime import onnxruntime

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]

NEEDED: dict[str, Optional] = {
    "tvm": TVM,
    "litert": ONNX2TF,
    "saved_model": ONNX2TF,
    "tf_serving": ONNX2TF,
    "torchserve": TORCHSERVE,
}
BODY = "c = Conv<pads=[1,1,1,1]>(image, k) r = Relu(c) p = GlobalAveragePool(r) f = Flatten(p) logits = MatMul(f, w)"
QUANTIZED = "g (float[N,4] x) => (float[N,4] y) { q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }"


def _convolution(make_graph: GraphMaker) -> Graph:
    random = np.random.default_rng(0)
    weights = {"k": random.normal(size=(4, 3, 3, 3)), "w": random.normal(size=(4, 5))}
    text = f"g (float[N,3,8,8] image) => (float[N,5] logits) {{ {BODY} }}"
    return make_graph(text, **{name: values.astype(np.float32) for name, values in weights.items()})


def _needs(name: str) -> None:
    if python_of(NEEDED[name]) is None:
        pytest.skip(f"the package {NEEDED[name].packages[0]} is not installed, and no variable names its Python")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("tvm", "model.tvm.so"),
        ("litert", "model.tflite"),
        ("saved_model", "saved_model"),
        ("tf_serving", "tf_serving/model/1"),
    ],
)
def test_a_model_is_converted_run_and_compared(
    name: str, file: str, make_graph: GraphMaker, lower: LoweringMaker
) -> None:
    _needs(name)
    lowering = lower(_convolution(make_graph))
    target = shipped().targets[name]
    artifacts = target(lowering)
    assert (lowering.directory / file).exists()
    assert {each.path for each in artifacts} <= set(target.files({}))
    (run,) = lowering.runs
    assert run.target == name and run.largest_error < 1e-4 and run.version
    assert read_sidecar(lowering.directory / f"{file}.json").compared["largest_error"] == run.largest_error


def test_litert_quantizes_the_float_model(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    _needs("litert")
    lowering = lower(_convolution(make_graph))
    litert = shipped().targets["litert"]
    images = np.random.default_rng(1).normal(size=(64, 3, 8, 8)).astype(np.float32)
    litert(lowering)
    litert(lowering, weights="int8", name="weights.tflite")
    data = ArrayDataset({"image": images}, None, "images")
    # A sample that the converter has not seen can have numbers beyond the ranges, which are clipped.
    litert(lowering, weights="int8", data=data, tolerance=0.2, name="int8.tflite")
    assert [each.allowed for each in lowering.runs] == [1e-4, 5e-2, 0.2]
    plain, weights, int8 = lowering.runs
    # TFLite leaves weights of less than 1024 numbers as they are.
    assert plain.largest_error < 1e-5 and weights.largest_error < 2e-2 and 1e-5 < int8.largest_error < 0.2
    assert (plain.inputs, int8.inputs) == ("random numbers", "8 samples of `data` that the converter has not seen")
    settings = read_sidecar(lowering.directory / "int8.tflite.json").settings
    assert settings == {"weights": "int8", "activations": "int8"}


@pytest.mark.parametrize(
    ("before", "pool", "explicit"),
    [
        ("Relu", "pads=[1,1,1,1]", True),
        ("Relu", "pads=[0,1,1,0], strides=[2,2]", True),
        ("Relu", "pads=[1,1,1,1], ceil_mode=1", False),
        ("Relu", "pads=[0,0,0,0]", False),
        ("Tanh", "pads=[1,1,1,1]", False),
    ],
)
def test_max_pools_pad_with_zeros_where_that_is_the_same(
    before: str, pool: str, explicit: bool, make_graph: GraphMaker
) -> None:
    body = f"r = {before}(x) y = MaxPool<kernel_shape=[3,3], {pool}>(r)"
    graph = make_graph(f"g (float[2,3,6,5] x) => (float[2,3,N,M] y) {{ {body} }}")
    found = with_zero_padding(graph)
    assert [node.op for node in graph.nodes] == [before, "MaxPool"]
    assert ("Pad" in [node.op for node in found.nodes]) == explicit
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 5)).astype(np.float32)
    np.testing.assert_array_equal(Session(found).run({"x": x})["y"], Session(graph).run({"x": x})["y"])


def test_samples_are_for_int8_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "python_of", lambda needed: "python")
    target = shipped().targets["litert"]
    data = ArrayDataset({"image": np.zeros((4, 3), np.float32)}, None, "images")
    (found,) = target.check((), {"data": data, "weights": "float16"})
    assert found.message == "`data` is of no use with weights=float16" and "weights=int8" in found.help
    assert target.check((), {"data": data, "weights": "int8"}) == target.check((), {"weights": "int8"}) == []


@pytest.mark.parametrize("name", ["litert", "saved_model", "tf_serving"])
def test_onnx2tf_would_compute_a_quantized_model_in_float(
    name: str, make_graph: GraphMaker, lower: LoweringMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "python_of", lambda needed: "python")
    graph = make_graph(QUANTIZED, s=np.float32(0.1), z=np.uint8(0))
    target = shipped().targets[name]
    with pytest.raises(CompileError, match=r"onnx2tf would compute QuantizeLinear.* in float32") as caught:
        target(lower(graph))
    assert target.check_graph(graph) == list(caught.value.diagnostics)


def test_tvm_tunes_for_fixed_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "python_of", lambda needed: "python")
    check = shipped().targets["tvm"].check
    open_batch, fixed = (ValueType("x", np.dtype("float32"), (size, 3, 8, 8)) for size in ("N", 1))
    (found,) = check([open_batch], {"minutes": 1.0})
    assert "TVM tunes for fixed sizes, but the input `x`" in found.message and "set_batch(1)" in found.help
    assert check([fixed], {"minutes": 1.0}) == check([open_batch], {}) == []


def test_tuning_needs_more_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "python_of", lambda needed: None)
    monkeypatch.setattr(packages, "_found", lambda module: module in ("tvm", "onnx", "psutil"))
    (found,) = shipped().targets["tvm"].check((), {"minutes": 1.0})
    assert found.help.endswith("pip install apache-tvm-ffi==0.1.14.post0 cloudpickle xgboost-cpu")


def test_tvm_tunes_for_this_machine(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    if "VGGC_TEST_TUNING" not in os.environ:
        pytest.skip("VGGC_TEST_TUNING is not set: preparing MetaSchedule takes half a minute of CPU time")
    graph = make_graph("g (float[4,16] x) => (float[4,16] y) { y = MatMul(x, w) }", w=np.eye(16, dtype=np.float32))
    lowering = lower(graph)
    shipped().targets["tvm"](lowering, minutes=0.1)
    settings = read_sidecar(lowering.directory / "model.tvm.so.json").settings
    assert settings["tuned"] >= 1 and settings["schedules"] >= 1
    assert lowering.runs[0].largest_error < 1e-5


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_missing_package_is_named_before_any_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "python_of", lambda needed: None)
    monkeypatch.setattr(packages, "_found", lambda module: module == "onnx")
    (found,) = shipped().targets[name].check((), {})
    needed = NEEDED[name]
    package = needed.packages[0]
    assert found.message == f"the target `{name}` needs the Python package `{package}`, which is not installed"
    assert f"pip install {package}" in found.help
    assert ("separate environment" in found.help) == needed.separate


def test_the_ort_format_runs_like_the_model(make_graph: GraphMaker, lower: LoweringMaker, tmp_path: Path) -> None:
    graph = _convolution(make_graph)
    lowering = lower(graph)
    artifacts = onnxruntime(lowering, format="ort")
    names = [f"onnxruntime/{each}" for each in ("model.ort", "model.ort.json", "session.json", "run.py")]
    assert [each.path for each in artifacts] == names
    assert (lowering.directory / names[0]).read_bytes()[4:8] == b"ORTM"
    assert json.loads((lowering.directory / names[2]).read_text())["model"] == "model.ort"
    assert lowering.runs[0].largest_error < 1e-5


def test_the_archive_for_torchserve(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    _needs("torchserve")
    lowering = lower(_convolution(make_graph))
    (artifact,) = shipped().targets["torchserve"](lowering, name="net", version="2.0")
    with zipfile.ZipFile(lowering.directory / artifact.path) as archive:
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
        assert manifest["model"] | {} == {
            "handler": "torchserve_handler.py",
            "modelName": "net",
            "modelVersion": "2.0",
            "serializedFile": "model.onnx",
        }
        assert archive.read("torchserve_handler.py") == Path(torchserve_handler.__file__).read_bytes()


def test_the_handler_answers_json_and_npz(make_graph: GraphMaker, tmp_path: Path) -> None:
    graph = _convolution(make_graph)
    graph.save(tmp_path / "model.onnx")
    context = SimpleNamespace(
        system_properties={"model_dir": str(tmp_path)}, manifest={"model": {"serializedFile": "model.onnx"}}
    )
    image = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)
    archive = io.BytesIO()
    np.savez(archive, image=image)
    requests: list[dict[str, Any]] = [
        {"body": {"inputs": {"image": image.tolist()}}},
        {"body": json.dumps({"inputs": {"image": image.tolist()}}).encode()},
        {"data": archive.getvalue()},
        {"body": b"{"},
        {"body": {"inputs": {}}},
    ]
    assert torchserve_handler.handle([], context) == []
    *answers, broken, empty = torchserve_handler.handle(requests, context)
    expected = Session(graph).run({"image": image})["logits"]
    for answer in answers:
        np.testing.assert_allclose(answer["outputs"]["logits"], expected, rtol=1e-5)
    assert broken["error"].startswith("JSONDecodeError") and empty["error"] == "KeyError: 'image'"
