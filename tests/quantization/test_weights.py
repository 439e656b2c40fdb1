"""Weights as whole numbers."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from vggc.data import ArrayDataset
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.passes.quantize import quantize
from vggc.quantization.grids import INT4, WEIGHT8
from vggc.quantization.weights import encode, rows, scales

GROUPED = """
<ir_version: 8, opset_import: ["": 17]>
g (float[N,32,5,5] x) => (float[N,32,7,7] y)
{
   y = ConvTranspose <group = 2> (x, w, b)
}
"""


@pytest.mark.parametrize("axis", [0, 1])
def test_each_channel_has_its_own_scale(axis: int) -> None:
    weights = np.random.default_rng(axis).standard_normal((6, 5, 3, 3)).astype(np.float32)
    weights *= np.geomspace(1e-3, 10, weights.shape[axis]).reshape([-1 if at == axis else 1 for at in range(4)])
    step = scales(rows(weights, axis), WEIGHT8, "max")
    codes = encode(weights, axis, step, WEIGHT8)
    assert codes.numbers.dtype == np.int8
    assert (np.abs(rows(codes.numbers, axis)).max(axis=1) == 127).all()
    error = np.abs(rows(codes.numbers, axis) * step[:, None] - rows(weights, axis))
    assert (error <= 0.501 * step[:, None]).all()


def test_mse_is_no_worse_than_max() -> None:
    weights = np.random.default_rng(5).standard_t(3, size=(8, 200))
    errors = {}
    for method in ("max", "mse"):
        step = scales(weights, INT4, method)
        errors[method] = np.square(INT4.rounded(weights, step[:, None]) - weights).sum(axis=1)
    assert (errors["mse"] <= errors["max"] * (1 + 1e-6)).all()
    assert errors["mse"].sum() < errors["max"].sum()


def test_dead_channels_get_an_ordinary_scale() -> None:
    weights = np.zeros((3, 10))
    weights[0] = 1.0
    weights[1] = 1e-30
    for method in ("max", "mse"):
        step = scales(weights, WEIGHT8, method)
        assert step[0] == step[1] == step[2] == pytest.approx(1 / 127)
    assert (scales(np.zeros((2, 4)), WEIGHT8, "mse") > np.finfo(np.float16).smallest_normal).all()


def test_groups_of_a_transposed_convolution_share_their_scales() -> None:
    random = np.random.default_rng(8)
    model = onnx.parser.parse_model(GROUPED)
    for name, shape in (("w", (32, 16, 3, 3)), ("b", (32,))):
        model.graph.initializer.append(numpy_helper.from_array(random.standard_normal(shape, np.float32), name))
    graph = Graph.from_model(model)
    samples = {"x": random.standard_normal((64, 32, 5, 5), np.float32)}
    before = Session(graph).run(samples)["y"]
    quantize(graph, "int8", data=ArrayDataset(samples, None, "calib"), placement="tensorrt")
    graph.tidy()
    weights = graph.producer(graph.nodes[-1].inputs[1])
    assert weights is not None and weights.inputs[1].shape == (16,)
    assert weights.attrs["axis"] == 1
    after = Session(graph).run(samples)["y"]
    assert 0 < np.square(after - before).mean() < 1e-3 * before.var()
