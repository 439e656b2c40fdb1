"""The warning that a quantized model is slower than in float: the decision, the reason, and when nothing is measured.

No test measures: times are given.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vggc.cli.main import run
from vggc.diagnostics import fail
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.pipeline import quantized_speed
from vggc.pipeline.quantized_speed import float_operators, slowdown

QUANTIZE = "data calib = random(seed=3, count=40)\nquantize(int8, data=calib, rounding=nearest)\n"
SLOW = [[0.010] * 5, [0.016] * 5]


@pytest.mark.parametrize(
    ("in_float", "quantized", "ratio"),
    [
        ([10, 10, 10, 10], [16, 16, 16, 16], 1.6),
        ([10, 10, 10, 10], [5, 5, 5, 5], None),
        # Less than a tenth.
        ([10, 10, 10, 10], [10.9, 10.9, 10.9, 10.9], None),
        # Other load that falls on half of the runs of one model.
        ([10, 10, 10, 10], [9, 9, 90, 90], None),
        # One run in five that another program held up decides nothing.
        ([10, 90, 10, 10, 10], [16, 16, 16, 16, 16], 1.6),
    ],
)
def test_what_counts_as_slower(in_float: Sequence[float], quantized: Sequence[float], ratio: float | None) -> None:
    assert slowdown(in_float, quantized) == (None if ratio is None else pytest.approx(ratio))


@pytest.fixture
def model(net: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """`model.onnx` in the current folder: two convolutions with PRelu, and one with Relu; 12 million MACs."""
    monkeypatch.chdir(tmp_path)
    made = net(shape=("n", 3, 24, 24))
    x = made.op("PRelu", made.conv("x", 3, 32), made.constant(np.full((32, 1, 1), 0.25)))
    x = made.op("PRelu", made.conv(x, 32, 32), made.constant(np.full((32, 1, 1), 0.25)))
    x = made.op("Relu", made.conv(x, 32, 32))
    graph: Graph = made.graph(made.head(x, 32))
    graph.save(tmp_path / "model.onnx")
    return graph


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Graph, Graph, Feeds]]:
    """What is measured; the answer is that the quantized model is slower."""
    found: list[tuple[Graph, Graph, Feeds]] = []

    def times(in_float: Graph, quantized: Graph, feeds: Feeds) -> list[list[float]]:
        found.append((in_float, quantized, feeds))
        return SLOW

    monkeypatch.setattr(quantized_speed, "measured_times", times)
    return found


def warnings_of(recipe: str, *options: str) -> list[str]:
    """The warnings of a compile, which goes into a new folder, that are about speed."""
    Path("recipe.opt").write_text(recipe)
    folder = f"out{len(list(Path().iterdir()))}"
    assert run(["recipe.opt", "model.onnx", "-o", folder, *options]) == 0
    report = json.loads(Path(folder, "report.json").read_text())
    return [each for each in report["warnings"] if "times as long" in each or "speed" in each]


def test_the_warning_says_how_much_and_which_operators(model: Graph, measured: list[Any]) -> None:
    assert warnings_of(QUANTIZE + "target onnx\n") == [
        "the quantized model takes 1.60 times as long as the same model in float with onnxruntime on this CPU: 16 ms "
        "instead of 10 ms for 1 sample; it has no integer kernel for PRelu (2 nodes), and converts to float and back "
        "around them; keep it in float for this CPU, or measure the batch size that you use with `vggc bench`"
    ]
    ((in_float, quantized, feeds),) = measured
    assert {node.op for node in quantized.nodes} - {node.op for node in in_float.nodes} == {
        "DequantizeLinear",
        "QuantizeLinear",
    }
    assert {name: array.shape for name, array in feeds.items()} == {"x": (1, 3, 24, 24)}


@pytest.mark.parametrize(
    ("recipe", "options", "is_measured"),
    [
        (QUANTIZE + "target onnx\n", (), True),
        (QUANTIZE + "target onnxruntime\n", (), True),
        (QUANTIZE + "target onnxruntime(providers=[cuda, cpu])\n", (), False),
        (QUANTIZE + "target onnx\n", ("--verify", "off"), False),
        (QUANTIZE.replace("nearest", "nearest, placement=tensorrt") + "target onnx\n", (), False),
        (QUANTIZE, (), False),
        ("simplify\ntarget onnx\n", (), False),
    ],
)
def test_it_is_measured_for_the_cpu_only(
    model: Graph, measured: list[Any], recipe: str, options: Sequence[str], is_measured: bool
) -> None:
    assert bool(warnings_of(recipe, *options)) is bool(measured) is is_measured


def test_a_small_model_is_not_measured(net: Any, model: Graph, measured: list[Any]) -> None:
    made = net(shape=("n", 3, 8, 8))
    made.graph(made.head(made.op("Relu", made.conv("x", 3, 32)), 32)).save(Path("model.onnx"))
    assert warnings_of(QUANTIZE + "target onnx\n") == []
    assert measured == []


def test_a_model_that_does_not_run_is_a_warning(model: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    def times(*_: Any) -> list[list[float]]:
        raise fail("it does not run")

    monkeypatch.setattr(quantized_speed, "measured_times", times)
    assert warnings_of(QUANTIZE + "target onnx\n") == [
        "the speed of the quantized model could not be measured: it does not run"
    ]


def test_real_times_are_pairs(model: Graph) -> None:
    feeds = {"x": np.zeros((1, 3, 24, 24), np.float32)}
    first, second = quantized_speed.measured_times(model, model, feeds)
    assert len(first) == len(second) >= 3
    assert min(*first, *second) > 0


def test_operators_that_cost_no_conversion_are_not_named(net: Any) -> None:
    made = net()
    x = made.op("Relu", made.conv("x", 3, 4))
    x = made.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    assert float_operators(made.graph(made.head(x, 4))) == {}
