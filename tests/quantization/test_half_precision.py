"""16-bit floating point where fixtures do not reach: the model's interface, bfloat16, bodies, warnings."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from vggc.calibration.samples import Samples
from vggc.data import ArrayDataset
from vggc.diagnostics import CompileError
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.passes.cast import cast
from vggc.quantization import half_precision
from vggc.values import Names

TEXT = """
<ir_version: 10, opset_import: ["": %d]>
g (float[N,4] x) => (float[N,3] y)
{
   m = MatMul (x, w)
   y = Relu (m)
}
"""

BODY = """
<ir_version: 8, opset_import: ["": 17]>
g (float[N,4] x, bool c) => (float[N,3] y)
{
   m = MatMul (x, w)
   r = Relu (m)
   y = If (c) <
      then_branch = a () => (float[N,3] p) { p = Neg (r) },
      else_branch = e () => (float[N,3] q) { q = Abs (r) }
   >
}
"""


def graph_of(text: str, scale: float = 1.0) -> Graph:
    model = onnx.parser.parse_model(text)
    weights = np.random.default_rng(0).standard_normal((4, 3)) * scale
    model.graph.initializer.append(numpy_helper.from_array(weights.astype(np.float32), "w"))
    graph = Graph.from_model(model)
    graph.infer_shapes()
    return graph


X = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)


def test_the_interface_when_asked() -> None:
    graph = graph_of(TEXT % 17)
    before = Session(graph).run({"x": X})["y"]
    cast(graph, "fp16", interface=True)
    graph.tidy()
    graph.infer_shapes(check=True)
    assert not any(node.op == "Cast" for node in graph.nodes)
    after = Session(graph).run({"x": X.astype(np.float16)})["y"]
    assert after.dtype == np.float16
    assert np.abs(after.astype(np.float32) - before).max() <= 2e-3 * np.abs(before).max()


def test_bfloat16_needs_an_opset_that_has_it() -> None:
    graph = graph_of(TEXT % 17)
    before = Session(graph).run({"x": X})["y"]
    cast(graph, "bf16")
    graph.tidy()
    graph.infer_shapes(check=True)
    assert graph.opset == 22
    weight = next(value for value in graph.constants() if value.dtype == ml_dtypes.bfloat16)
    assert weight.shape == (4, 3)
    after = ReferenceEvaluator(graph.export(1 << 40).model).run(None, {"x": X})[0]
    assert after.dtype == np.float32
    assert np.abs(after - before).max() <= 2e-2 * np.abs(before).max()


def test_what_a_body_reads_stays_as_it_was() -> None:
    graph = graph_of(BODY)
    feeds = {"x": X, "c": np.array(True)}
    before = Session(graph).run(feeds)["y"]
    log = cast(graph, "fp16")
    graph.tidy()
    graph.infer_shapes(check=True)
    assert log.changes["cast node"] == 2
    after = Session(graph).run(feeds)["y"]
    assert np.abs(after - before).max() <= 2e-3 * np.abs(before).max()


def test_weights_that_vanish_are_warned_of() -> None:
    graph = graph_of(TEXT % 17, scale=3e-8)
    assert cast(graph, "fp16").warnings == ["10 of 12 weights are too small for fp16 and become zero"]


def test_a_name_that_means_nothing() -> None:
    with pytest.raises(CompileError) as caught:
        cast(graph_of(TEXT % 17), "fp16", keep=Names(("Gelu",)))
    assert caught.value.diagnostics[0].message == "`keep` names `Gelu`, but no node has that name"


NORMALIZED = {
    "a norm": ("n = ReduceL2 <axes = [1]> (r)  m = Max (n, tiny)  y = Div (r, m)", {"Max", "Div"}),
    "an expanded norm": (
        "n = ReduceL2 <axes = [1]> (r)  m = Clip (n, tiny)  s = Shape (r)  e = Expand (m, s)  y = Div (r, e)",
        {"Clip", "Expand", "Div"},
    ),
    "a variance": (
        "q = Mul (r, r)  v = ReduceMean <axes = [1]> (q)  a = Add (v, tiny)  d = Sqrt (a)  y = Div (r, d)",
        {"Add", "Sqrt", "Div"},
    ),
    "a reciprocal": (
        "n = ReduceL2 <axes = [1]> (r)  m = Max (tiny, n)  i = Reciprocal (m)  y = Mul (i, r)",
        {"Max", "Reciprocal", "Mul"},
    ),
    "a logarithm": ("a = Add (r, tiny)  y = Log (a)", {"Add", "Log"}),
}


@pytest.mark.parametrize("title", NORMALIZED)
def test_nodes_that_need_a_constant_which_is_zero_in_float16_stay(title: str) -> None:
    nodes, kept = NORMALIZED[title]
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[N,4] x) => (float[N,4] y) <float tiny = {1e-12}>'
    graph = graph_of(text + "{ r = Relu (x) " + nodes + " }")
    feeds = {"x": np.concatenate([X, -np.ones((1, 4), np.float32)])}
    before = Session(graph).run(feeds)["y"]
    assert np.isfinite(before).all()
    cast(graph, "fp16")
    graph.tidy()
    graph.infer_shapes(check=True)
    after = Session(graph).run(feeds)["y"]
    np.testing.assert_allclose(after, before, rtol=5e-3, atol=5e-3)
    float32 = {
        node.op for node in graph.nodes if node.op != "Cast" and graph.dtype(node.outputs[0]) == np.dtype(np.float32)
    }
    assert float32 == kept


def test_an_epsilon_that_bfloat16_has_is_cast() -> None:
    graph = graph_of(
        '<ir_version: 8, opset_import: ["": 17]> g (float[N,4] x) => (float[N,4] y) <float tiny = {1e-12}>'
        "{ n = ReduceL2 <axes = [1]> (x)  m = Max (n, tiny)  y = Div (x, m) }"
    )
    cast(graph, "bf16")
    graph.tidy()
    assert all(graph.dtype(node.outputs[0]) == ml_dtypes.bfloat16 for node in graph.nodes if node.op in ("Max", "Div"))


@pytest.mark.parametrize(("shape", "largest"), [("N,4,H,W", 8), ("N,4,64,64", 64)])
def test_batches_are_as_small_as_large_images_need(shape: str, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(
        f'<ir_version: 8, opset_import: ["": 17]> g (float[{shape}] x) => (float[{shape}] y)'
        "{ a = Relu (x)  b = Neg (a)  y = Abs (b) }"
    )
    images = np.random.default_rng(2).standard_normal((64, 4, 64, 64)).astype(np.float32)
    images[50, 0, 0, 0] = 4e4
    samples = Samples(graph, ArrayDataset({"x": images}, None, "calib"))
    # Four values of 64 kB each.
    monkeypatch.setattr(half_precision, "BATCH_BYTES", 8 * 4 * (64 << 10))
    sizes = []
    run = Session.run
    monkeypatch.setattr(Session, "run", lambda self, feeds: sizes.append(len(feeds["x"])) or run(self, feeds))
    found = half_precision.magnitudes(graph, samples)
    assert found == {"x": 4e4, "a": 4e4, "b": 4e4, "y": 4e4}
    assert max(sizes) == largest
