"""Engines beside models: the right profile is run, and where there is no GPU a line says so."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vggc.bench import bench_models, engines, measurable_files
from vggc.cli.main import run
from vggc.diagnostics import CompileError, fail
from vggc.targets.cuda_driver import Device


@pytest.fixture
def sidecar(net: Any, tmp_path: Path) -> Path:
    """A sidecar of an engine with two profiles, beside the model that it says it was built from."""
    made = net()
    made.graph(made.op("Relu", made.conv("x", 3, 4))).save(tmp_path / "model.onnx")
    (tmp_path / "model.engine").write_bytes(b"plan")
    digest = hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()
    options = dict.fromkeys(("workspace", "hardware", "optimization"))
    options |= dict.fromkeys(("weight_streaming", "refit", "strip", "version_compatible"), False)
    limits = [{"min": [low, 3, 8, 8], "opt": [best, 3, 8, 8], "max": [high, 3, 8, 8]} for low, best, high in SIZES]
    values = {
        "format": 1,
        "flavour": "tensorrt_rtx",
        "version": "1.7.1",
        "network": "net",
        "engine": {"file": "model.engine", "bytes": 4, "sha256": hashlib.sha256(b"plan").hexdigest()},
        "compute_capabilities": ["sm89"],
        "tf32": True,
        "options": options,
        "profiles": [{"x": each} for each in limits],
        "inputs": [{"name": "x", "type": "float32", "shape": [-1, 3, 8, 8]}],
        "outputs": [{"name": "y", "type": "float32", "shape": [-1, 4, 8, 8]}],
        "onnx": {"sha256": digest, "data_sha256": None},
    }
    (tmp_path / "model.engine.json").write_text(json.dumps(values))
    return tmp_path / "model.engine.json"


@pytest.mark.gpu
@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed")
def test_an_engine_on_a_real_gpu(net: Any, tmp_path: Path) -> None:
    made = net()
    made.graph(made.head(made.block("x", 3, 64), 64)).save(tmp_path / "net.onnx")
    target = f"target tensorrt_rtx(batch=1..8..32, compute=[{Device().capability}])"
    (tmp_path / "net.opt").write_text(f"target onnx\n{target}\n")
    assert run([str(tmp_path / "net.opt"), str(tmp_path / "net.onnx"), "-o", str(tmp_path / "out")]) == 0
    found = bench_models(measurable_files(tmp_path / "out"), [1, 32], seconds=0.1)
    assert not found.left_out
    assert [(row.runtime, row.batch) for row in found.rows] == [
        ("onnxruntime CPU", 1),
        (Device().name, 1),
        ("onnxruntime CPU", 32),
        (Device().name, 32),
    ]
    assert all(0 < row.p50 <= row.p99 for row in found.rows)


SIZES = ((1, 2, 4), (5, 8, 16))


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], tuple[int, ...]]]:
    """A GPU that takes 2 ms for a run; every job it was given, and the shape of the input."""
    given: list[tuple[dict[str, Any], tuple[int, ...]]] = []

    def ask(module: str, job: dict[str, Any], describe: Any, **_: Any) -> tuple[dict[str, Any], list[Any]]:
        assert module == "vggc.targets.run_engine"
        with np.load(job["runs"][0]["inputs"]) as arrays:
            given.append((dict(job), arrays["x"].shape))
        return {"gpu": "NVIDIA Test", "milliseconds": [2.0], "every_milliseconds": [[2.0] * job["repeats"]]}, []

    monkeypatch.setattr(engines, "ask", ask)
    return given


@pytest.mark.parametrize(("batch", "profile"), [(1, 0), (4, 0), (6, 1), (16, 1)])
def test_the_profile_that_holds_the_batch_is_run(sidecar: Path, jobs: list[Any], batch: int, profile: int) -> None:
    (row,) = bench_models([sidecar], [batch], seconds=0.2).rows
    assert (row.runtime, row.batch, row.p50, row.runs) == ("NVIDIA Test", batch, 0.002, 100)
    assert row.throughput == pytest.approx(batch / 0.002)
    assert (row.peak_bytes, row.load_seconds, row.ratio) == (None, None, 1.0)
    for job, shape in jobs:
        assert (job["runs"][0]["profile"], shape) == (profile, (batch, 3, 8, 8))
    assert [job["repeats"] for job, _ in jobs] == [20, 100]


def test_a_batch_that_no_profile_holds(sidecar: Path, jobs: list[Any]) -> None:
    found = bench_models([sidecar], [17], seconds=0.01)
    assert (found.rows, jobs) == ([], [])
    assert found.left_out == [f"{sidecar} is not measured at batch 17: no profile of the engine takes 17 samples"]


def test_an_engine_beside_its_model(sidecar: Path, jobs: list[Any]) -> None:
    model = sidecar.with_name("model.onnx")
    cpu, gpu = bench_models([model, sidecar], [2], seconds=0.02).rows
    assert (cpu.runtime, gpu.runtime) == ("onnxruntime CPU", "NVIDIA Test")
    assert gpu.ratio == pytest.approx(cpu.p50 / 0.002)


def test_without_a_gpu_a_line_says_so(sidecar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: Any, **__: Any) -> Any:
        raise fail("the engine cannot run here: there is no NVIDIA driver: libcuda.so.1 cannot be loaded")

    monkeypatch.setattr(engines, "ask", ask)
    found = bench_models([sidecar], [1], seconds=0.01)
    assert found.rows == []
    (line,) = found.left_out
    assert line.endswith(
        "is not measured at batch 1: the engine cannot run here: "
        "there is no NVIDIA driver: libcuda.so.1 cannot be loaded"
    )


def test_an_engine_without_its_model(sidecar: Path, jobs: list[Any]) -> None:
    sidecar.with_name("model.onnx").unlink()
    with pytest.raises(CompileError, match="does not contain the model"):
        engines.engine_times(sidecar, 1, 0.01)
