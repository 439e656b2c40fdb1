"""Measures of size and time, and what all measures have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper, parser

from vggc.binding.registry import shipped
from vggc.data import ArrayDataset
from vggc.execution import latency as latency_module
from vggc.execution.latency import FEWEST_BURSTS
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.measures import Measure, Subject, format_value
from vggc.measures import resources as measures
from vggc.measures.resources import interleaved_medians
from vggc.values import Bytes, Seconds

Refused = Callable[[str], AbstractContextManager[None]]
PRODUCT = "g (float[N,64] x) => (float[N,100] y) { a = MatMul(x, w) y = Relu(a) }"
SAMPLES = np.ones((5, 4), np.float32)


def graph(text: str, **weights: Any) -> Graph:
    model = parser.parse_model('<ir_version: 10, opset_import: ["" : 21]>\n' + text)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    found = Graph.from_model(model)
    found.infer_shapes()
    return found


def small() -> Subject:
    return Subject(graph("g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }"))


def test_size_params_macs_nodes() -> None:
    model = Subject(graph(PRODUCT, w=np.zeros((64, 100), np.float32)))
    assert measures.params(model) == 6400 and measures.macs(model) == 6400 and measures.nodes(model) == 2
    found = measures.size(model)
    assert isinstance(found, Bytes) and 25600 < found < 25600 + 1000


def test_size_is_that_of_the_file(tmp_path: Any) -> None:
    model = graph(PRODUCT, w=np.zeros((64, 100), np.float32))
    model.save(tmp_path / "a.onnx")
    assert abs(measures.size(Subject(model)) - (tmp_path / "a.onnx").stat().st_size) < 100


def test_macs_that_are_unknown(refused: Refused) -> None:
    model = graph("g (float[N,4,H,W] x) => (float[N,4,A,B] y) { [c] y = Conv(x, w) }", w=np.zeros((4, 4, 1, 1), "f4"))
    with refused(
        "error: the MACs of 1 nodes are unknown\n = node: Conv `c`\n"
        "help: fix the shapes first: set_batch(1) before this line, or `simplify`"
    ):
        measures.macs(Subject(model))


def test_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggc.execution.latency.BURST_SECONDS", 0.0)
    batches: list[int] = []
    run = Session.run

    def noting(self: Session, feeds: Any) -> Any:
        batches.append(len(feeds["x"]))
        return run(self, feeds)

    monkeypatch.setattr(Session, "run", noting)
    model = small()
    found = measures.latency(model, batch=8)
    assert isinstance(found, Seconds) and 0 < found < 1
    assert set(batches) == {8} and len(batches) >= 30
    assert measures.latency(model, batch=8) == found
    batches.clear()
    measures.latency(model, batch=2, data=ArrayDataset({"x": SAMPLES}, None, "arrays"))
    assert set(batches) == {2}


def test_the_medians_are_of_bursts_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    burst = [0, 7, 0, 0.1, 0, 0.3, 0, 0.2]  # The first run of a burst does not count.
    clock = iter(np.cumsum([0, 9] * 3 + burst * FEWEST_BURSTS))
    monkeypatch.setattr(latency_module, "BURST_SECONDS", 0.5)
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    (medians,) = interleaved_medians([small().session], {"x": SAMPLES})
    assert medians == pytest.approx([0.2] * FEWEST_BURSTS)


def test_the_model_and_the_model_as_read_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    original, turns = small(), []
    monkeypatch.setattr(latency_module, "run_seconds", lambda session, feeds: turns.append(session) or 1.0)
    subject = Subject(original.graph.copy(), original)
    assert measures.latency(subject) == measures.latency(original) == 1.0
    first, second = dict.fromkeys(turns)
    # After the warm-up, bursts of a first run and three others, forwards and backwards.
    assert turns[6 : 6 + 24] == [first] * 4 + [second] * 8 + [first] * 8 + [second] * 4


@pytest.mark.parametrize(
    ("name", "kind", "better"),
    [
        ("accuracy", "ratio", "higher"),
        ("top5", "ratio", "higher"),
        ("agreement", "ratio", "higher"),
        ("cosine", "number", "higher"),
        ("max_abs_error", "number", "lower"),
        ("sqnr", "quantity", "higher"),
        ("size", "bytes", "lower"),
        ("params", "quantity", "lower"),
        ("macs", "quantity", "lower"),
        ("nodes", "quantity", "lower"),
        ("latency", "seconds", "lower"),
    ],
)
def test_kinds(name: str, kind: str, better: str) -> None:
    found = shipped().measures[name]
    assert isinstance(found, Measure)
    assert (found.name, found.kind, found.better) == (name, kind, better)
    assert found.doc


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.94123, "ratio", "94.12%"),
        (3_754_282, "bytes", "3.75 MB"),
        (12, "bytes", "12 B"),
        (0.00231, "seconds", "2.31 ms"),
        (75, "seconds", "75 s"),
        (48, "quantity", "48"),
        (31.23456, "quantity", "31.235"),
        (math.inf, "quantity", "inf"),
    ],
)
def test_values_as_text(value: float, kind: Any, text: str) -> None:
    assert format_value(value, kind) == text
