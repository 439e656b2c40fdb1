"""Quantized and cast models as engines of TensorRT RTX, really built; lint has nothing to say of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vggc.data.dataset import Dataset, SampleType
from vggc.diagnostics import CompileError
from vggc.graph import Graph
from vggc.passes.cast import cast
from vggc.passes.quantize import quantize
from vggc.targets.contract import Lowering
from vggc.targets.flavours import release
from vggc.targets.tensorrt import tensorrt_rtx
from vggc.targets.verifier import LoweredGraph, findings

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel for this platform"
)

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]

RESIDUAL = """
g (float[2,16,8,8] x) => (float[2,20] y)
{
   c = Conv <pads = [1,1,1,1]> (x, w1, b1)
   r = Relu (c)
   d = Conv <pads = [1,1,1,1]> (r, w2, b2)
   s = Add (d, r)
   t = Relu (s)
   m = MaxPool <kernel_shape = [2,2], strides = [2,2]> (t)
   e = Conv (m, w3)
   f = Concat <axis = 1> (e, m)
   p = GlobalAveragePool (f)
   q = Flatten (p)
   y = Gemm <transB = 1> (q, v)
}
"""

WIDE = """
g (float[1,512,4,4] x) => (float[1,512,4,4] y)
{
   c = Conv <pads = [1,1,1,1]> (x, w1)
   r = Relu (c)
   d = Conv <pads = [1,1,1,1]> (r, w2)
   y = Relu (d)
}
"""


SKIPS = """
g (float[2,16,8,8] x) => (float[2,16,8,8] y)
{
   c = Conv (x, w1)
   r = Relu (c)
   a, b = Split <axis = 1> (r)
   d = Conv <pads = [1,1,1,1]> (b, w2)
   e = LeakyRelu (d)
   s = Add (b, e)
   m = Concat <axis = 1> (a, b, s)
   f = Conv (m, w3)
   p = GlobalAveragePool (f)
   g = Conv (p, w4)
   t = Sigmoid (g)
   z = Mul (f, t)
   k = Add (z, s)
   n = Relu (k)
   y = Conv (n, w4)
}
"""


class Images(Dataset):
    """Seeded samples of the input `x`."""

    name = "calib"
    description = "images"
    labels = None

    def __init__(self, graph: Graph) -> None:
        shape = [int(each or 0) for each in (graph.shape(graph.inputs[0]) or [])[1:]]
        self._images = np.random.default_rng(0).standard_normal((32, *shape)).astype(np.float32)
        self.arrays = {"x": SampleType(self._images.dtype, self._images.shape[1:])}

    def __len__(self) -> int:
        return len(self._images)

    def parts(self) -> Any:
        yield {"x": self._images}


def weight(*shape: int) -> np.ndarray:
    values = np.random.default_rng(shape[0]).standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float32)


@pytest.fixture
def residual(make_graph: GraphMaker) -> Graph:
    weights = {"w1": weight(16, 16, 3, 3), "w2": weight(16, 16, 3, 3), "w3": weight(48, 16, 1, 1), "v": weight(20, 64)}
    graph = make_graph(RESIDUAL, **weights, b1=weight(16, 1).ravel(), b2=weight(16, 1).ravel())
    graph.infer_shapes()
    return graph


def built(graph: Graph, lower: LoweringMaker, **options: Any) -> int:
    """The bytes of the engine, whose model lint finds nothing in."""
    graph.tidy()
    graph.infer_shapes(check=True)
    assert findings(LoweredGraph(graph, "tensorrt_rtx", release("tensorrt_rtx"))) == []
    lowering = lower(graph)
    engine = tensorrt_rtx(lowering, **options)[0]
    for each in lowering.directory.iterdir():
        each.unlink()
    return engine.bytes


def test_int8_weights_take_a_quarter(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    """Of two convolutions of 2.4 million weights each; all else of an engine is small beside them."""
    weights = {"w1": weight(512, 512, 3, 3), "w2": weight(512, 512, 3, 3)}
    sizes = []
    for _ in range(2):
        graph = make_graph(WIDE, **weights)
        graph.infer_shapes()
        if sizes:
            quantize(
                graph,
                "int8",
                data=Images(graph),
                placement="tensorrt",
                equalize=False,
                rounding="nearest",
                bias_correction=False,
            )
        sizes.append(built(graph, lower, compute=["sm86", "sm89", "sm120"]))
    assert sizes[1] < 0.3 * sizes[0]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_cast_models(residual: Graph, lower: LoweringMaker, precision: Any) -> None:
    cast(residual, precision, data=Images(residual))
    assert built(residual, lower, compute=["sm86"]) > 0


def test_int8_and_fp16_together(residual: Graph, lower: LoweringMaker) -> None:
    quantize(residual, "int8", data=Images(residual), placement="tensorrt")
    residual.tidy()
    cast(residual, "fp16")
    assert built(residual, lower, compute=["sm86"]) > 0


def test_skip_branches_behind_activations_and_gates(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    weights = {"w1": weight(32, 16, 1, 1), "w2": weight(16, 16, 3, 3), "w3": weight(16, 48, 1, 1)}
    graph = make_graph(SKIPS, **weights, w4=weight(16, 16, 1, 1))
    graph.infer_shapes()
    quantize(graph, "int8", data=Images(graph), placement="tensorrt")
    graph.tidy()
    for skip in ("b", "s"):
        assert [node.op for node in graph.nodes if any(value.name == skip for value in node.inputs)] == [
            "QuantizeLinear"
        ]
    assert built(graph, lower, compute=["sm86"]) > 0


def test_fp8_where_gpus_have_it(residual: Graph, lower: LoweringMaker) -> None:
    quantize(residual, "fp8", data=Images(residual), bias_correction=False)
    assert built(residual, lower, compute=["sm89"]) > 0
    with pytest.raises(CompileError, match="sm86 GPUs do not support"):
        tensorrt_rtx(lower(residual), compute=["sm86"])


def test_int4_blocks(residual: Graph, lower: LoweringMaker) -> None:
    log = quantize(residual, "int4", block=64)
    residual.tidy()
    assert log.changes["quantize weights"] == 1
    assert built(residual, lower, compute=["sm86"]) > 0


def test_what_is_placed_for_onnxruntime_is_refused(residual: Graph, lower: LoweringMaker, tmp_path: Path) -> None:
    quantize(residual, "int8", data=Images(residual), placement="onnxruntime")
    residual.tidy()
    with pytest.raises(CompileError, match="it is uint8"):
        tensorrt_rtx(lower(residual), compute=["sm86"])
