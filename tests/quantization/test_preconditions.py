"""Samples, models and targets that cannot be right: refused or warned of, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from vggc.data import ArrayDataset
from vggc.diagnostics import CompileError
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.passes.quantize import quantize
from vggc.rewrite import Context, Destination

TEXT = """
<ir_version: 8, opset_import: ["": 17]>
g (float[N,16,6,6] x) => (float[N,16,6,6] y)
{
   c = Conv (x, w, b)
   n = BatchNormalization (c, s, b, b, s)
   r = Relu (n)
   d = Conv (r, w, b)
   y = Relu (d)
}
"""


def calib(images: np.ndarray) -> ArrayDataset:
    """Samples of the input `x`."""
    data = ArrayDataset({"x": images.astype(np.float32)}, None, "images")
    data.name = "calib"
    return data


def images(count: int = 64) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((count, 16, 6, 6))


Make = Callable[..., Graph]


@pytest.fixture
def make() -> Make:
    """A graph of two convolutions, with or without a batch norm between them; weights by name."""

    def build(*, norm: bool = False, **given: np.ndarray) -> Graph:
        text = TEXT if norm else TEXT.replace("   n = BatchNormalization (c, s, b, b, s)\n", "").replace("(n)", "(c)")
        model = onnx.parser.parse_model(text)
        random = np.random.default_rng(4)
        arrays = {"w": random.standard_normal((16, 16, 1, 1)) / 4, "b": random.standard_normal(16), **given}
        if norm:
            arrays["s"] = np.ones(16)
        for name, array in arrays.items():
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        graph = Graph.from_model(model)
        graph.infer_shapes()
        return graph

    return build


def message(graph: Graph, **options: Any) -> str:
    with pytest.raises(CompileError) as caught:
        quantize(graph, options.pop("precision", "int8"), **options)
    return caught.value.diagnostics[0].message


def test_values_that_are_no_numbers(make: Make) -> None:
    broken = images()
    broken[7, 0, 0, 0] = 1e38
    found = message(make(w=np.full((16, 16, 1, 1), 1e3)), data=calib(broken), placement="tensorrt")
    assert found.endswith("has NaN or infinite numbers on the samples of data `calib`")


def test_weights_that_are_no_numbers(make: Make) -> None:
    weights = np.ones((16, 16, 1, 1))
    weights[0, 0] = np.inf
    found = message(make(w=weights), data=calib(np.zeros((64, 16, 6, 6))), equalize=False, placement="tensorrt")
    assert "NaN or infinite numbers" in found


def test_no_samples_given(make: Make) -> None:
    assert message(make()) == "quantizing to int8 needs samples"


def test_values_that_are_always_zero_are_warned_of(make: Make) -> None:
    graph = make(b=np.full(16, -100.0))
    log = quantize(graph, "int8", data=calib(images()), placement="tensorrt")
    assert "`r` is 0 on all samples of data `calib`: its range is a guess" in log.warnings
    graph.tidy()
    graph.infer_shapes(check=True)


@pytest.mark.parametrize("factor", [1e5, 1e22])
def test_samples_out_of_all_proportion_are_warned_of(make: Make, factor: float) -> None:
    (warning,) = quantize(make(), "int8", data=calib(images() * factor), placement="tensorrt").warnings
    assert warning.startswith("the biases of 2 of 2 nodes are too small beside what they are added to")
    assert quantize(make(), "int8", data=calib(images()), placement="tensorrt").warnings == []


def test_batch_norms_that_could_be_folded_are_warned_of(make: Make) -> None:
    log = quantize(make(norm=True), "int8", data=calib(images()), placement="tensorrt")
    assert any("run `fold_batch_norm` before this step" in each for each in log.warnings)


@pytest.mark.parametrize(("precision", "lacking"), [("fp8", "sm86"), ("int4", "sm75")])
def test_targets_that_lack_a_precision(make: Make, precision: str, lacking: str) -> None:
    context = Context(targets=(Destination("tensorrt_rtx", {"compute": [lacking, "sm120"]}),))
    found = message(make(), context=context, precision=precision, data=calib(images()))
    assert found == f"GPUs of {lacking} do not support {precision}, but target `tensorrt_rtx` includes them"


def test_a_bias_that_no_integer_could_hold_coarsens_its_weights() -> None:
    """An int32 bias has the scale of data times weights: beside dead weights it would overflow."""
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["": 17]>
        g (float[N,16] x) => (float[N,16] y) { y = Gemm (x, w, b) }
        """
    )
    weights = np.random.default_rng(0).standard_normal((16, 16))
    weights[:, 0] = 1e-12
    for name, array in (("w", weights), ("b", np.full(16, 1e3))):
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    graph = Graph.from_model(model)
    graph.infer_shapes()
    x = np.random.default_rng(1).standard_normal((64, 16)).astype(np.float32)
    before = Session(graph).run({"x": x})["y"]
    quantize(graph, "int8", data=calib(x), placement="onnxruntime", bias_correction=False)
    graph.tidy()
    codes = next(graph.array(value) for value in graph.constants() if value.name == "b_quantized")
    assert codes is not None and codes.dtype == np.int32
    assert np.abs(codes.astype(np.int64)).max() <= 2**30 + 64
    assert np.abs(Session(graph).run({"x": x})["y"] - before).max() < 1e-2 * np.abs(before).max()
