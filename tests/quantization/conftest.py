"""A small graph of which one product suffers from being quantized, and samples for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from vggc.data.arrays import ArrayDataset
from vggc.graph import Graph

TEXT = """
<ir_version: 8, opset_import: ["": 17]>
g (float[N,32] x) => (float[N,8] y) <float[32,32] w1, float[32,32] w2, float[32,8] w3, float[8] bias, float[32] k>
{
   a0 = MatMul (x, w1)
   a1 = Relu (a0)
   a = Mul (a1, k)
   b0 = MatMul (a, w2)
   b = Relu (b0)
   c = MatMul (b, w3)
   y = Add (c, bias)
}
"""


@pytest.fixture
def three_products(request: pytest.FixtureRequest) -> Graph:
    """Three products; the second one reads a channel many times as large as all others, and ignores it.

    It is ten thousand times as large, or what the test sets.
    """
    model = onnx.parser.parse_model(TEXT)
    random = np.random.default_rng(6)
    arrays = {
        info.name: random.standard_normal([each.dim_value for each in info.type.tensor_type.shape.dim]) / 6
        for info in model.graph.value_info
        if info.name in ("w1", "w2", "w3", "bias", "k")
    }
    arrays["k"] = np.ones(32)
    arrays["k"][3] = getattr(request, "param", 1e4)
    arrays["w2"][3] = 0
    for name, array in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    del model.graph.value_info[:]
    found = Graph.from_model(model)
    found.infer_shapes()
    return found


@pytest.fixture
def rows() -> Callable[[int], ArrayDataset]:
    """So many samples of the input `x`."""

    def make(count: int) -> ArrayDataset:
        samples = np.random.default_rng(5).standard_normal((count, 32)).astype(np.float32)
        return ArrayDataset({"x": samples}, None, "calib")

    return make
