"""Weights rounded such that errors cancel in the results."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from vggc.data.dataset import Dataset, SampleType
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.passes.quantize import quantize
from vggc.quantization.grids import INT4, WEIGHT8
from vggc.quantization.weight_rounding import covariance, rounded_blocks
from vggc.quantization.weights import scales

CASES = {
    "convolutions": """
g (float[N,16,6,6] x) => (float[N,24,6,6] y) <float[24,16,3,3] w, float[24] b, float[24,1,3,3] d, float[24,12,1,1] u>
{
   a0 = Conv <pads = [1,1,1,1]> (x, w, b)
   a = Relu (a0)
   e0 = Conv <group = 24, pads = [1,1,1,1]> (a, d)
   e = Relu (e0)
   y = Conv <group = 2> (e, u)
}
""",
    "transposed": """
g (float[N,16,5,5] x) => (float[N,20,7,7] y) <float[16,20,3,3] w>
{
   y = ConvTranspose (x, w)
}
""",
    "matrices": """
g (float[N,24] x) => (float[N,16] y) <float[24,20] w, float[16,20] u, float[16] b>
{
   a = MatMul (x, w)
   y = Gemm <transB = 1, alpha = 0.5> (a, u, b)
}
""",
}


class Mixed(Dataset):
    """Samples of the input `x` whose channels depend on each other."""

    name = "calib"
    description = "mixed"
    labels = None

    def __init__(self, shape: list[int], count: int = 256) -> None:
        random = np.random.default_rng(9)
        mixing = random.standard_normal((shape[0], 4))
        sources = random.standard_normal((count, 4, *shape[1:])) + 0.2 * random.standard_normal((count, 4, *shape[1:]))
        noise = 0.1 * random.standard_normal((count, *shape))
        self.rows = (np.einsum("cs,ns...->nc...", mixing, sources) + noise).astype(np.float32)
        self.arrays = {"x": SampleType(self.rows.dtype, self.rows.shape[1:])}

    def __len__(self) -> int:
        return len(self.rows)

    def parts(self) -> Any:
        yield {"x": self.rows}


def graph_of(text: str) -> Graph:
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["": 17]>' + text)
    made = {name for node in model.graph.node for name in node.output}
    random = np.random.default_rng(8)
    for info in [each for each in model.graph.value_info if each.name not in made]:
        shape = [each.dim_value for each in info.type.tensor_type.shape.dim]
        array = random.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), info.name))
    del model.graph.value_info[:]
    graph = Graph.from_model(model)
    graph.infer_shapes()
    return graph


@pytest.mark.parametrize("grid", [WEIGHT8, INT4], ids=lambda grid: grid.name)
def test_results_are_nearer_than_with_the_nearest_numbers(grid: Any) -> None:
    rows = Mixed([48], 2048).rows.astype(np.float64)
    weights = np.random.default_rng(2).standard_normal((48, 30))
    step = scales(weights.T, grid, "max")
    centered = rows - rows.mean(axis=0)
    found = rounded_blocks(weights[None], covariance(rows[None].astype(np.float32)), step[None], grid)[0]
    assert np.allclose(found / step, np.rint(found / step), atol=1e-6)
    nearest = grid.rounded(weights, step)
    errors = [np.square(centered @ (each - weights)).sum() for each in (found, nearest)]
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_product(name: str) -> None:
    graph = graph_of(CASES[name])
    data = Mixed([int(each or 0) for each in (graph.shape(graph.inputs[0]) or [])[1:]])
    before = Session(graph).run({"x": data.rows})["y"]
    errors = []
    for rounding in ("nearest", "least_squares"):
        copy = graph.copy()
        copy.infer_shapes()
        options = {"placement": "tensorrt", "equalize": False, "weights": "max", "rounding": rounding}
        log = quantize(copy, "int8", data=data, **options)
        copy.tidy()
        errors.append(float(np.square(Session(copy).run({"x": data.rows})["y"] - before).mean()))
    assert log.changes["round weights"] == log.changes["quantize weights"] > 0
    assert errors[1] < 1.05 * errors[0]
    assert errors[1] < 1e-3 * float(before.var())


def test_inputs_that_do_not_vary_say_nothing() -> None:
    rows = np.full((2, 50, 30), 3.7, np.float32) + np.float32(1e-6) * np.arange(30, dtype=np.float32)
    found = covariance(rows)
    assert np.linalg.eigvalsh(found).min() > -1e-12
    weights = np.random.default_rng(0).standard_normal((2, 30, 4))
    scale = np.full((2, 4), 0.05)
    np.testing.assert_allclose(
        rounded_blocks(weights, found, scale, WEIGHT8), np.clip(np.round(weights / 0.05), -127, 127) * 0.05, atol=0.0501
    )
