"""Where time and accuracy go, as a compile measures it for its report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vggc.binding import bind
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.graph import Graph
from vggc.pipeline.compile import compile_model
from vggc.pipeline.kernel_times import grouped
from vggc.pipeline.value_accuracy import value_accuracy
from vggc.report.record import ModelCost, Report, StepRecord

Compile = Callable[[Graph, str], Report]


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compile:
    monkeypatch.delenv("VGGC_MEASURE")

    def run(graph: Graph, text: str) -> Report:
        graph.save(tmp_path / "net.onnx")
        random = np.random.default_rng(0)
        images = random.normal(size=(32, 3, 8, 8)).astype(np.float32)
        np.savez(tmp_path / "samples.npz", x=images)
        pipeline = bind(parse(Source(str(tmp_path / "net.opt"), 'data samples = npz("samples.npz")\n' + text)))
        return compile_model(pipeline, tmp_path / "net.onnx", tmp_path / "out")

    return run


def test_kernels_are_grouped_with_what_they_compute(net: Any) -> None:
    made = net()
    x = made.op("Relu", made.conv("x", 3, 4))
    graph = made.graph(made.op("Relu", made.conv(x, 4, 4)))
    first, relu, second, last = (node.outputs[0].name for node in graph.nodes)
    # One kernel has the name of its convolution, the other that of its activation.
    times = grouped(graph, {first: 1e-3, last: 3e-3, "": 1e-4})
    assert [(each.values, each.seconds) for each in times] == [((second, last), 3e-3), ((first, relu), 1e-3)]


def test_a_quantized_model_is_measured(compiled: Compile, networks: ModuleType) -> None:
    report = compiled(networks.plain_with_global_pooling(), "quantize(int8, data=samples)\ntarget onnx\n")
    assert report.not_measured == []
    latency, accuracy = report.latency, report.accuracy
    assert latency is not None and accuracy is not None
    assert 0 < latency.before.low <= latency.before.median <= latency.before.high
    assert all(each.seconds > 0 for nodes in latency.nodes for each in nodes)
    assert sum(len(each.values) for each in latency.nodes[1]) > len(latency.nodes[1])
    assert accuracy.quantizers and all(sum(each.histogram) > 0 for each in accuracy.quantizers.values())
    worst = max(accuracy.values, key=lambda value: value.lost)
    assert any("int8" in cause for cause in worst.causes)
    assert 0 < len(accuracy.worst) <= 12
    assert accuracy.worst[0].difference >= accuracy.worst[-1].difference or accuracy.worst[0].before is not None


def test_of_pruned_values_the_channels_left_are_compared(net: Any) -> None:
    weight = np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32)

    def with_rows(rows: list[int]) -> Graph:
        made = net()
        graph: Graph = made.graph(made.op("Relu", made.op("Conv", "x", made.constant(weight[rows]))))
        graph.infer_shapes()
        return graph

    before, after = with_rows([0, 1, 2, 3]), with_rows([1, 3])
    cost = ModelCost(2, 12, 1, 48)
    name = after.nodes[0].name
    step = StepRecord("prune_channels", "r.opt:4", False, {}, [], 0.0, cost, cost, channels={name: [1, 3]})
    feeds = {"x": np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)}
    values, _ = value_accuracy(before, after, (feeds, feeds), [step])
    # The rows that are left compute what they did: nothing differs.
    assert [(each.sqnr, each.lost) for each in values] == [(None, 0.0)] * 2


def test_a_model_without_loss_has_times_only(compiled: Compile, networks: ModuleType) -> None:
    report = compiled(networks.batch_norms_unfolded(), "fold_batch_norm\ntarget onnx\n")
    assert report.accuracy is None and report.latency is not None
    assert report.latency.meant_for == ""


def test_the_report_names_the_targets_whose_time_is_another(compiled: Compile, networks: ModuleType) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT RTX")
    report = compiled(networks.plain_with_global_pooling(), "simplify\ntarget tensorrt_rtx(batch=1..1..2)\n")
    assert report.latency is not None and report.latency.meant_for == "tensorrt_rtx"


def test_a_slow_model_is_not_measured(compiled: Compile, networks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggc.pipeline.kernel_times._SLOW", 0.0)
    report = compiled(networks.batch_norms_unfolded(), "fold_batch_norm\ntarget onnx\n")
    assert report.latency is None
    (reason,) = report.not_measured
    assert reason.startswith("time: one run of both models takes 0.0 s")


def test_a_wrong_value_of_the_variable(
    compiled: Compile, networks: ModuleType, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    monkeypatch.setenv("VGGC_MEASURE", "no")
    with refused("error: VGGC_MEASURE is `no`\nhelp: set VGGC_MEASURE to on or off, or do not set it"):
        compiled(networks.batch_norms_unfolded(), "target onnx\n")


def test_measuring_can_be_switched_off(
    compiled: Compile, networks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGGC_MEASURE", "off")
    report = compiled(networks.batch_norms_unfolded(), "fold_batch_norm\ntarget onnx\n")
    assert report.latency is None
    assert report.not_measured == ["VGGC_MEASURE is off"]


def test_a_recipe_without_data_is_measured_on_demand(
    networks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks.batch_norms_unfolded().save(tmp_path / "net.onnx")
    pipeline = bind(parse(Source(str(tmp_path / "net.opt"), "fold_batch_norm\ntarget onnx\n")))
    monkeypatch.delenv("VGGC_MEASURE")
    report = compile_model(pipeline, tmp_path / "net.onnx", tmp_path / "out")
    assert report.not_measured == ["the recipe has no data; VGGC_MEASURE=on measures without"]
    monkeypatch.setenv("VGGC_MEASURE", "on")
    report = compile_model(pipeline, tmp_path / "net.onnx", tmp_path / "out")
    assert report.latency is not None and not report.not_measured


def test_the_second_compile_takes_the_accuracy_from_the_cache(
    compiled: Compile, networks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGGC_CACHE", str(tmp_path / "cache"))
    recipe = "quantize(int8, data=samples)\ntarget onnx\n"
    first = compiled(networks.plain_with_global_pooling(), recipe)
    monkeypatch.setattr("vggc.pipeline.report_measurements.value_accuracy", None)
    second = compiled(networks.plain_with_global_pooling(), recipe)
    assert first.accuracy is not None
    assert second.accuracy == first.accuracy
