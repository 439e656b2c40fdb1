"""The packages an engine needs: missing, too old, broken, and the target `tensorrt` with a stand-in for its package."""

from __future__ import annotations

import importlib.util
import json
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vggc.diagnostics import Code, CompileError, render
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
from vggc.targets import flavours
from vggc.targets.contract import Lowering
from vggc.targets.tensorrt import tensorrt, tensorrt_rtx
from vggc.values import File

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]
RELU = "g (float[2,3] x) => (float[2,3] y) { [relu1] y = Relu(x) }"


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    flavours.full_release.cache_clear()
    yield
    flavours.full_release.cache_clear()


def text(error: pytest.ExceptionInfo[CompileError]) -> str:
    return "\n".join(render(each) for each in error.value.diagnostics)


@pytest.mark.usefixtures("nothing_installed")
def test_tensorrt_is_missing(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    expected = (
        "error: the target `tensorrt` needs the Python package `tensorrt`, which is not installed\n"
        "help: pip install tensorrt, on a machine with an NVIDIA GPU; "
        "`target tensorrt_rtx` builds without one"
    )
    lowering = lower(make_graph(RELU))
    with pytest.raises(CompileError) as error:
        tensorrt(lowering)
    assert text(error) == expected
    assert error.value.diagnostics[0].code is Code.MISSING_PACKAGE
    assert [render(each) for each in tensorrt.check(inputs_of(lowering.graph), {})] == [expected]


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("system", "machine", "advice"),
    [
        ("linux", "x86_64", "pip install tensorrt-rtx"),
        ("win32", "AMD64", "pip install tensorrt-rtx"),
        (
            "darwin",
            "arm64",
            "tensorrt-rtx needs Linux or Windows on x86-64; `target onnx` writes the compiled model here",
        ),
    ],
)
def test_tensorrt_rtx_is_missing(monkeypatch: pytest.MonkeyPatch, system: str, machine: str, advice: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    [problem] = tensorrt_rtx.check([], {})
    assert render(problem) == (
        "error: the target `tensorrt_rtx` needs the Python package `tensorrt_rtx`, which is not installed\n"
        f"help: {advice}"
    )


def test_a_release_older_than_the_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(flavours, "release", lambda package: (10, 3))
    [problem] = tensorrt.check([], {})
    assert problem.message == "TensorRT 10.3 is installed, but vggc needs 10.12 or newer"


def test_the_release_of_a_package_installed_without_pip(
    fake_tensorrt: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_known(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", not_known)
    assert flavours.release("tensorrt") == (10, 13)


def test_an_engine_of_tensorrt(
    make_graph: GraphMaker, lower: LoweringMaker, fake_tensorrt: Callable[[str], None]
) -> None:
    fake_tensorrt("built")
    lowering = lower(make_graph(RELU))
    engine, sidecar, log = tensorrt(lowering, tf32=False)
    assert (engine.path, engine.target) == ("model.engine", "tensorrt")
    values = json.loads((lowering.directory / sidecar.path).read_text())
    assert (values["flavour"], values["version"], values["tf32"]) == ("tensorrt", "10.13.3.9", False)
    assert values["compute_capabilities"] == []
    assert (lowering.directory / log.path).read_text().splitlines() == ["WARNING: Detected a slow path"] * 2
    assert values["warnings"] == ["Detected a slow path"]


def test_an_error_of_tensorrt_leaves_nothing(
    make_graph: GraphMaker, lower: LoweringMaker, fake_tensorrt: Callable[[str], None]
) -> None:
    fake_tensorrt("error and engine")
    lowering = lower(make_graph(RELU))
    with pytest.raises(CompileError) as error:
        tensorrt(lowering)
    assert text(error) == "error: TensorRT cannot build Relu `relu1`\n = TensorRT: [relu1] cannot be fused."
    assert list(lowering.directory.iterdir()) == []


def test_timings_are_kept_and_used_again(
    make_graph: GraphMaker, lower: LoweringMaker, fake_tensorrt: Callable[[str], None], tmp_path: Path
) -> None:
    fake_tensorrt("built")
    cache = tmp_path / "old.timings"
    cache.write_bytes(b"old")
    lowering = lower(make_graph(RELU))
    artifacts = tensorrt(lowering, timing_cache=File(cache), keep_timings=True, refit=True, optimization=5)
    names = ["model.engine", "model.engine.json", "model.engine.log", "model.engine.timings"]
    assert [each.path for each in artifacts] == names
    assert tensorrt.files({"keep_timings": True}) == tuple(names)
    assert (lowering.directory / "model.engine.timings").read_bytes() == b"old and this build's"
    values = json.loads((lowering.directory / "model.engine.json").read_text())
    assert values["flags"] == ["REFIT", "TF32"]


def test_timings_of_another_gpu(
    make_graph: GraphMaker, lower: LoweringMaker, fake_tensorrt: Callable[[str], None], tmp_path: Path
) -> None:
    fake_tensorrt("built")
    cache = tmp_path / "old.timings"
    cache.write_bytes(b"another GPU's")
    lowering = lower(make_graph(RELU))
    with pytest.raises(CompileError) as error:
        tensorrt(lowering, timing_cache=File(cache))
    assert text(error) == (
        f"error: TensorRT cannot use the timing cache `{cache}`\n"
        "help: it belongs to another release or GPU: build without it, and keep a new one with keep_timings=true"
    )
    assert list(lowering.directory.iterdir()) == []


def test_an_option_that_this_release_lacks(
    make_graph: GraphMaker, lower: LoweringMaker, fake_tensorrt: Callable[[str], None]
) -> None:
    fake_tensorrt("built")
    with pytest.raises(CompileError) as error:
        tensorrt(lower(make_graph(RELU)), hardware="same_capability")
    assert text(error) == (
        "error: TensorRT 10.13.3.9 does not support the option `hardware`: "
        "it has no HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY"
    )
