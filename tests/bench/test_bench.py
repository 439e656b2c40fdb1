"""Measuring models: what is reported is what was run, and every model has a process of its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from vggc.bench import bench_models, measurable_files, plot
from vggc.bench.agreement import Answers, answers
from vggc.bench.models import _take_turns
from vggc.cli.main import run
from vggc.data.arrays import ArrayDataset
from vggc.diagnostics import CompileError
from vggc.execution.latency import times
from vggc.execution.session import Session
from vggc.graph import Graph

Make = Callable[..., Path]


@pytest.fixture
def model(net: Any, tmp_path: Path) -> Make:
    """Write a model of some convolutions, `weights` MB of them in one that is hardly any work."""

    def write(name: str, channels: int = 4, *, batch: int | str = "n", megabytes: int = 0) -> Path:
        made = net(shape=(batch, 3, 8, 8))
        x = made.op("Relu", made.conv("x", 3, channels))
        if megabytes:
            x = made.op("GlobalAveragePool", x)
            x = made.conv(x, channels, megabytes * 262_144 // channels, 1)
            x = made.op("ReduceMean", x, axes=[1])
        graph = made.graph(x)
        graph.save(tmp_path / name)
        return tmp_path / name

    return write


def test_every_model_is_measured_at_every_batch_size(model: Make) -> None:
    first, second = model("a.onnx"), model("b.onnx", 64)
    found = bench_models([first, second], [1, 4], seconds=0.05)
    assert [(row.model, row.batch) for row in found.rows] == [
        (str(first), 1),
        (str(second), 1),
        (str(first), 4),
        (str(second), 4),
    ]
    for row in found.rows:
        assert 0 < row.p50 <= row.p90 <= row.p99
        assert row.runs >= 1 and row.load_seconds > 0
        # The mean lies between the extremes of a list whose median is p50.
        assert row.batch / row.throughput >= row.p50 / 2
    assert found.rows[0].ratio == found.rows[2].ratio == 1.0
    assert found.rows[1].ratio == pytest.approx(found.rows[0].p50 / found.rows[1].p50)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["machine"]["threads"] == 1


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells the memory of a process")
def test_memory_is_the_models_own(model: Make) -> None:
    # The parent's memory is not the child's, nor that of the model beside it.
    held = np.ones(64 << 20, np.uint8)
    rows = bench_models([model("small.onnx"), model("large.onnx", megabytes=48)], [1], seconds=0.02).rows
    small, large = (row.peak_bytes for row in rows)
    assert small is not None and large is not None
    assert small < 40 << 20
    assert large >= 48 << 20
    assert held.nbytes == 64 << 20


def test_a_model_of_one_batch_size_is_measured_there_alone(model: Make) -> None:
    first, second = model("fixed.onnx", batch=2), model("open.onnx")
    found = bench_models([first, second], [1, 2], seconds=0.02)
    assert [(Path(row.model).name, row.batch) for row in found.rows] == [
        ("open.onnx", 1),
        ("fixed.onnx", 2),
        ("open.onnx", 2),
    ]
    assert found.left_out == [f"{first} is not measured at batch 1: it takes only batches of 2"]
    assert found.rows[0].ratio is None and found.rows[1].ratio == 1.0


def test_models_take_turns_in_changing_order() -> None:
    turns: list[str] = []

    class Fake:
        def __init__(self, name: str) -> None:
            self.name = name

        def times(self, seconds: float) -> Sequence[float]:
            turns.append(self.name)
            return [seconds]

    found = _take_turns([Fake("a"), Fake("b")], 0.3)  # type: ignore[list-item]
    assert turns == ["a", "b", "b", "a", "a", "b"]
    assert found == [[0.1] * 3] * 2


def test_a_slow_model_runs_at_least_once() -> None:
    class Slow:
        runs = itertools.count()

        def run(self, feeds: object) -> None:
            next(self.runs)

    slow = Slow()
    assert len(times(slow, {}, 0.0)) == 1 == next(slow.runs)  # type: ignore[arg-type]


def test_a_model_that_cannot_run_is_named(tmp_path: Path, model: Make) -> None:
    path = model("broken.onnx")
    proto = onnx.load(path)
    proto.graph.node[0].op_type = "NoSuchOperator"
    proto.graph.node[0].domain = "nowhere"
    proto.opset_import.append(onnx.helper.make_opsetid("nowhere", 1))
    onnx.save(proto, path)
    with pytest.raises(CompileError) as caught:
        bench_models([path], [1], seconds=0.02)
    (told,) = caught.value.diagnostics
    assert "nowhere" in told.message
    assert ("model", f"`{path}`") in told.facts


def test_of_a_folder_its_models_and_engines_are_measured(tmp_path: Path, model: Make) -> None:
    with pytest.raises(CompileError, match="contains neither a model nor an engine"):
        measurable_files(tmp_path)
    model("model.onnx")
    (tmp_path / "model.engine.json").write_text("{}")
    (tmp_path / "report.json").write_text("{}")
    assert [each.name for each in measurable_files(tmp_path)] == ["model.onnx", "model.engine.json"]
    assert measurable_files(tmp_path / "model.onnx") == [tmp_path / "model.onnx"]


@pytest.fixture
def classifier(net: Any, tmp_path: Path) -> Make:
    """Write a model that chooses one of 4 classes, with weights that depend on `seed`."""

    def write(name: str, seed: int = 0) -> Path:
        made = net(seed=seed)
        made.graph(made.head(made.op("Relu", made.conv("x", 3, 8)), 8, 4)).save(tmp_path / name)
        return tmp_path / name

    return write


def test_models_are_compared_on_samples(classifier: Make, tmp_path: Path) -> None:
    first, other = classifier("a.onnx"), classifier("b.onnx", seed=1)
    random = np.random.default_rng(0)
    images = (random.normal(size=(20, 3, 8, 8)) + 5 * random.normal(size=(20, 3, 1, 1))).astype(np.float32)
    session = Session(Graph.load(first))
    (logits,) = session.run({"x": images}).values()
    (others,) = Session(Graph.load(other)).run({"x": images}).values()
    data = ArrayDataset({"x": images}, logits.argmax(axis=1), "images")
    found = bench_models([first, other], [8, 32], seconds=0.01, data=data)
    assert (found.machine["samples"], found.machine["data"]) == (20, "images")
    assert found.left_out == ["models are not compared at batch 32: there are fewer samples"]
    agree = (logits.argmax(axis=1) == others.argmax(axis=1))[:16].mean()
    assert 0 < agree < 1
    shares = [(row.batch, row.agreement, row.accuracy) for row in found.rows]
    assert shares == [(8, 1.0, 1.0), (8, agree, agree), (32, None, None), (32, None, None)]
    assert f">{agree:.1%}</text>" in plot(found) and "agreement" not in plot(replace(found, rows=found.rows[2:]))


def test_the_table_shows_agreement(classifier: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "images.npz", x=np.zeros((4, 3, 8, 8), np.float32))
    models = (str(classifier("a.onnx")), str(classifier("b.onnx", seed=1)))
    options = ("--data", str(tmp_path / "images.npz"), "--samples", "2", "--seconds", "0.01")
    assert run(["bench", *models, *options]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert " agreement " in shown and " accuracy " not in shown and " 100.00%" in shown
    assert "compared on 2 samples" in shown


def test_samples_that_do_not_fit_name_the_model(classifier: Make) -> None:
    data = ArrayDataset({"x": np.zeros((4, 3, 9, 8), np.float32)}, None, "images")
    path = classifier("a.onnx")
    with pytest.raises(CompileError) as caught:
        bench_models([path], [1], seconds=0.01, data=data)
    assert ("model", f"`{path}`") in caught.value.diagnostics[0].facts


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 0)])
def test_an_output_without_classes_agrees_with_nothing(shape: tuple[int, ...]) -> None:
    data = ArrayDataset({"x": np.zeros((6, 2), np.float32)}, None, "images")
    values = np.zeros(shape, np.float32)
    assert answers(values, values, data, "y") == Answers()
