"""The model with its session: the program beside it is run as a user runs it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from vggc.diagnostics import CompileError
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.targets.contract import Lowering
from vggc.targets.onnxruntime import LEVELS, PROVIDERS, RUNNER, onnxruntime

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]


@pytest.fixture
def net(make_graph: GraphMaker) -> Graph:
    weights = np.random.default_rng(0).uniform(-1, 1, (4, 5)).astype(np.float32)
    text = (
        "g (float[N,4] x, float b) => (float[N,5] y, float[N,4] file) { m = MatMul(x, w) y = Add(m, b) file = Relu(x) }"
    )
    return make_graph(text, w=weights)


def test_the_runner_gives_what_the_model_gives(net: Graph, lower: LoweringMaker, tmp_path: Path) -> None:
    lowering = lower(net)
    artifacts = onnxruntime(lowering, threads=1, spin=False, optimization="basic")
    assert [each.path for each in artifacts] == [
        f"onnxruntime/{each}" for each in ("model.onnx", "session.json", "run.py")
    ]
    feeds = {"x": np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32), "b": np.float32(2)}
    np.savez(tmp_path / "in.npz", **feeds)
    # From another folder: the program finds what stands beside it.
    command = [sys.executable, lowering.directory / "onnxruntime/run.py", "in.npz", "out.npz"]
    subprocess.run(command, cwd=tmp_path, check=True)
    expected = Session(net).run({name: np.asarray(each) for name, each in feeds.items()})
    with np.load(tmp_path / "out.npz") as found:
        assert set(found) == {"y", "file"}
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-6)


def test_the_sessions_options(net: Graph, lower: LoweringMaker) -> None:
    lowering = lower(net)
    onnxruntime(lowering, providers=["cuda", "cpu"], threads=3, spin=False, optimization="extended", folder="serve")
    assert json.loads((lowering.directory / "serve/session.json").read_text()) == {
        "model": "model.onnx",
        "providers": ["CUDAExecutionProvider", "CPUExecutionProvider"],
        "graph_optimization_level": "ORT_ENABLE_EXTENDED",
        "intra_op_num_threads": 3,
        "config": {"session.intra_op.allow_spinning": "0"},
        "inputs": [{"name": "x", "type": "float32", "shape": ["N", 4]}, {"name": "b", "type": "float32", "shape": []}],
        "outputs": [
            {"name": "y", "type": "float32", "shape": ["N", 5]},
            {"name": "file", "type": "float32", "shape": ["N", 4]},
        ],
    }


def test_the_names_are_onnxruntimes() -> None:
    # What onnxruntime 1.31.0 lists. Newer ones list fewer, since providers become plug-ins, which keep their names.
    listed = (
        *(
            "NvTensorRTRTX",
            "Tensorrt",
            "CUDA",
            "MIGraphX",
            "OpenVINO",
            "Dnnl",
            "VitisAI",
            "QNN",
            "Nnapi",
            "VSINPU",
            "Js",
        ),
        *("CoreML", "ACL", "Dml", "Rknpu", "WebNN", "WebGpu", "Xnnpack", "CANN", "Azure", "CPU"),
    )
    assert set(PROVIDERS.values()) <= {f"{provider}ExecutionProvider" for provider in listed}
    assert all(hasattr(ort.GraphOptimizationLevel, each) for each in LEVELS.values())


@pytest.fixture
def runner() -> ModuleType:
    """The program as a module of its own, with an onnxruntime whose parts a test may replace."""
    spec = importlib.util.spec_from_file_location("run", RUNNER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model(net: Graph, tmp_path: Path) -> Path:
    net.save(tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@dataclass
class PlugIn:
    """Stands for NVIDIA's plug-in on a machine with two GPUs."""

    registered: list[tuple[str, str]] = field(default_factory=list)
    gpus: int = 2

    def register(self, name: str, library: str) -> None:
        self.registered.append((name, library))

    def devices(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(ep_name=name) for name, _ in self.registered for _ in range(self.gpus)]


@pytest.fixture
def plug_in(runner: ModuleType, monkeypatch: pytest.MonkeyPatch) -> PlugIn:
    fake = PlugIn()
    package = SimpleNamespace(get_library_path=lambda: "plug_in.so")
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", package)
    monkeypatch.setattr(ort, "register_execution_provider_library", fake.register, raising=False)
    monkeypatch.setattr(ort, "get_ep_devices", fake.devices, raising=False)
    return fake


class Options(ort.SessionOptions):
    """Options of a session that note what is added instead of loading it."""

    def __init__(self) -> None:
        super().__init__()
        self.added: list[Any] = []

    def add_provider(self, name: str, options: dict[str, str]) -> None:
        self.added.append(name)

    def add_provider_for_devices(self, devices: list[Any], options: dict[str, str]) -> None:
        self.added.append([device.ep_name for device in devices])


def test_the_runner_registers_the_plug_in_under_the_providers_name(
    runner: ModuleType, plug_in: PlugIn, model: Path
) -> None:
    for _ in range(2):
        options = Options()
        assert runner.open_session(model, options, [runner.RTX, "CPUExecutionProvider"]).get_inputs()[0].name == "x"
        # One device: the plug-in takes no more. Registered once: a second time would be an error.
        assert options.added == [[runner.RTX], "CPUExecutionProvider"]
        assert plug_in.registered == [(PROVIDERS["tensorrt_rtx"], "plug_in.so")]


def test_the_runner_prefers_the_provider_that_onnxruntime_has(
    runner: ModuleType, plug_in: PlugIn, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(ort, "get_available_providers", lambda: [runner.RTX, "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", lambda *arguments: asked.append(arguments))
    options = Options()
    runner.open_session(model, options, [runner.RTX])
    assert asked == [(model, options, [runner.RTX])]
    assert (options.added, plug_in.registered) == ([], [])


def test_the_runner_without_the_plug_in_or_a_gpu(
    runner: ModuleType, plug_in: PlugIn, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in.gpus = 0
    with pytest.raises(RuntimeError, match="NvTensorRTRTXExecutionProvider finds no NVIDIA GPU"):
        runner.open_session(model, Options(), [runner.RTX])
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", None)
    with pytest.raises(RuntimeError, match=r"pip install .* onnxruntime-ep-nv-tensorrt-rtx-cu13"):
        runner.open_session(model, Options(), [runner.RTX])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"providers": []}, "providers=[] names no provider"),
        ({"providers": ["cpu", "cpu"]}, "providers names `cpu` twice"),
        ({"folder": "../up"}, "`../up` is not a file name"),
    ],
)
def test_options_that_make_no_sense(net: Graph, lower: LoweringMaker, options: dict[str, Any], message: str) -> None:
    lowering = lower(net)
    with pytest.raises(CompileError) as error:
        onnxruntime(lowering, **options)
    assert [each.message for each in error.value.diagnostics] == [message]
    assert list(lowering.directory.iterdir()) == []


def test_a_folder_that_is_taken(net: Graph, lower: LoweringMaker) -> None:
    lowering = lower(net)
    onnxruntime(lowering)
    with pytest.raises(CompileError, match="two targets write the folder `onnxruntime`"):
        onnxruntime(lowering)
