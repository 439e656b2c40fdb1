"""The IR that the target writes computes what onnxruntime computes; what OpenVINO computes otherwise is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vggc.bench import bench_models, measurable_files
from vggc.diagnostics import Code, CompileError
from vggc.diagnostics.packages import OPENVINO
from vggc.execution.threads import limited_threads
from vggc.graph import Graph
from vggc.runtimes.sidecar import is_sidecar, read_sidecar
from vggc.targets import openvino as module
from vggc.targets.contract import Lowering
from vggc.targets.openvino import openvino

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]

installed = pytest.mark.skipif(find_spec("openvino") is None, reason="the package openvino is not installed")

QUANTIZED = """g (float[N,4] x) => (float[N,5] y) {
    q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) w = DequantizeLinear(codes, s)
    m = MatMul(d, w) y = Relu(m) }"""


@pytest.fixture
def net(make_graph: GraphMaker) -> Graph:
    weights = np.random.default_rng(0).integers(-127, 127, (4, 5)).astype(np.int8)
    return make_graph(QUANTIZED, s=np.float32(0.05), z=np.uint8(128), codes=weights)


@installed
def test_a_quantized_model_keeps_its_numbers(net: Graph, lower: LoweringMaker) -> None:
    lowering = lower(net)
    artifacts = openvino(lowering)
    names = ["openvino/model.xml", "openvino/model.bin", "openvino/model.xml.json"]
    assert [each.path for each in artifacts] == names
    (run,) = lowering.runs
    assert run.largest_error < 1e-5 and run.allowed == 5e-2 and run.seconds > 0 and run.batch == 1
    sidecar = read_sidecar(lowering.directory / names[2])
    assert sidecar.settings == {"compute": "float32"} and sidecar.provenance["recipe"] == "net.opt"
    assert sidecar.compared == {
        "with": "onnxruntime",
        "inputs": "random numbers",
        "largest_error": run.largest_error,
        "allowed": 5e-2,
    }
    # The weights stay integers in the file.
    assert (lowering.directory / names[1]).stat().st_size < 80


@installed
def test_bench_finds_the_model_and_compares_it(net: Graph, lower: LoweringMaker, tmp_path: Path) -> None:
    lowering = lower(net)
    net.save(lowering.directory / "model.onnx")
    openvino(lowering)
    files = measurable_files(lowering.directory)
    assert [each.name for each in files] == ["model.onnx", "model.xml.json"]
    with limited_threads(1):
        found = bench_models(files, [1, 3], seconds=0.02)
    assert [(row.runtime, row.batch) for row in found.rows] == [
        (runtime, batch) for batch in (1, 3) for runtime in ("onnxruntime CPU", "OpenVINO CPU")
    ]
    assert all(row.error is not None and row.error < 1e-5 and row.load_seconds for row in found.rows)


@installed
def test_a_difference_is_an_error_and_leaves_no_comparison(net: Graph, lower: LoweringMaker) -> None:
    with pytest.raises(CompileError, match="with OpenVINO CPU, the output `y` differs from onnxruntime's") as caught:
        openvino(lower(net), tolerance=-1.0)
    assert caught.value.diagnostics[0].code == Code.CONVERSION_DIFFERS


@installed
def test_an_operator_that_openvino_does_not_know(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph("g (float[N,4] x) => (float[N,4] y) { y = my.Twist(x) }", domains=', "my": 1')
    with pytest.raises(CompileError, match=r"OpenVINO has no conversion for my\.Twist") as caught:
        openvino(lower(graph))
    assert caught.value.diagnostics[0].code == Code.CONVERSION


@installed
def test_float64_would_become_float32(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph("g (double[N,4] x) => (double[N,4] y) { y = Exp(x) }")
    with pytest.raises(CompileError, match=r"OpenVINO would compute Exp.* in float32, but it computes float64"):
        openvino(lower(graph))


@pytest.mark.parametrize("options", [{"folder": "../up"}, {"folder": "openvino"}])
def test_a_missing_package_is_named_before_any_work(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPENVINO", replace(OPENVINO, modules=("no_such_module",)))
    messages = [each.message for each in openvino.check((), options)]
    wanted = "the target `openvino` needs the Python package `openvino`, which is not installed"
    assert (wanted in messages) == (options["folder"] == "openvino")
    assert messages


def test_another_json_file_is_not_a_sidecar(tmp_path: Path) -> None:
    for name, text in {"a.json": "{", "b.json": "[]", "c.json": json.dumps({"kind": "other"})}.items():
        (tmp_path / name).write_text(text)
        assert not is_sidecar(tmp_path / name)
        with pytest.raises(CompileError, match="does not describe a model of a runtime"):
            read_sidecar(tmp_path / name)
    (tmp_path / "d.json").write_text(json.dumps({"kind": "vggc runtime model", "format": 99}))
    with pytest.raises(CompileError, match="was written by another version of vggc"):
        read_sidecar(tmp_path / "d.json")
