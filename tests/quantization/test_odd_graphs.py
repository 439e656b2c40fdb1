"""Graphs of other people that `quantize` once failed on: what it makes of them, by structure and by error."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from vggc.data import ArrayDataset
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.passes.cast import cast
from vggc.passes.quantize import quantize

Feed = dict[str, np.ndarray[Any, Any]]


def graph_of(text: str, opset: int = 17, **given: np.ndarray[Any, Any]) -> Graph:
    """A graph in onnx.parser's text; its weights are declared by type and shape, and seeded unless they are given."""
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}]>\n{text}')
    made = {name for node in model.graph.node for name in node.output}
    random = np.random.default_rng(11)
    for info in [each for each in model.graph.value_info if each.name not in made]:
        shape = [each.dim_value for each in info.type.tensor_type.shape.dim]
        seeded = random.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))
        array = np.asarray(given.get(info.name, seeded), np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, info.name))
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    graph = Graph.from_model(model)
    graph.infer_shapes()
    return graph


def samples(*shape: int, count: int = 64) -> Feed:
    return {"x": np.random.default_rng(12).standard_normal((count, *shape)).astype(np.float32)}


def noise(graph: Graph, feed: Feed, **options: Any) -> float:
    """Quantize a graph to int8. Returns the signal-to-noise ratio of its first output, in dB."""
    before = next(iter(Session(graph).run(feed).values()))
    quantize(graph, "int8", data=ArrayDataset(feed, None, "calib"), **options)
    graph.tidy()
    graph.infer_shapes(check=True)
    after = next(iter(Session(graph).run(feed).values()))
    return float(10 * np.log10(np.square(before).sum() / max(np.square(after - before).sum(), 1e-30)))


def quantized_readers(graph: Graph, op: str) -> list[bool]:
    """Of each node of an operator, for each input that is computed, whether it comes out of a DequantizeLinear."""
    nodes = [node for node in graph.nodes if node.op == op]
    sources = [graph.producer(value) for node in nodes for value in node.inputs if graph.array(value) is None]
    return [source is not None and source.op == "DequantizeLinear" for source in sources]


DYNAMIC = {
    "tokens": (
        "g (float[N,T,32] x) => (float[N,T,24] y) <float[32,32] w, float[32,24] u>"
        "{ a = MatMul (x, w)  r = Relu (a)  y = MatMul (r, u) }",
        (7, 32),
    ),
    "a time-major sequence": (
        "g (float[N,T,32] x) => (float[T,N,24] y) <float[32,32] w, float[32,24] u>"
        "{ t = Transpose <perm = [1,0,2]> (x)  a = MatMul (t, w)  r = Relu (a)  y = MatMul (r, u) }",
        (7, 32),
    ),
    "channels last": (
        "g (float[N,H,W,16] x) => (float[N,P,Q,16] y) <float[16,16,3,3] w>"
        "{ t = Transpose <perm = [0,3,1,2]> (x)  c = Conv <pads = [1,1,1,1]> (t, w)  r = Relu (c)"
        "  s = Add (r, t)  y = Transpose <perm = [0,2,3,1]> (s) }",
        (6, 6, 16),
    ),
    "a sum of sequences": (
        "g (float[N,T,32] x) => (float[T,N,24] y) <float[32,32] w, float[32,24] u>"
        "{ t = Transpose <perm = [1,0,2]> (x)  a = MatMul (t, w)  r = Add (a, t)  y = MatMul (r, u) }",
        (7, 32),
    ),
    "a shape that is computed": (
        "g (float[N,32] x) => (float[A,B,C] y) <float[16,24] w, float[24,24] u, int64[1] half = {16}>"
        "{ n = Shape <start = 0, end = 1> (x)  m = Size (x)  o = Div (m, n)  p = Div (o, half)"
        "  s = Concat <axis = 0> (n, p, half)  t = Reshape (x, s)"
        "  a = MatMul (t, w)  r = Relu (a)  y = MatMul (r, u) }",
        (32,),
    ),
}


@pytest.mark.parametrize("placement", ["onnxruntime", "tensorrt"])
@pytest.mark.parametrize("title", DYNAMIC)
def test_an_axis_of_channels_whose_size_the_graph_does_not_say(title: str, placement: str) -> None:
    text, shape = DYNAMIC[title]
    graph = graph_of(text)
    # The last batch of 70 samples is smaller than the others, and so is an axis that counts samples.
    feed = samples(*shape, count=70)
    assert noise(graph, feed, placement=placement) > 20
    assert any(quantized_readers(graph, "MatMul") + quantized_readers(graph, "Conv"))


PADDED = """
g (float[N,16,9,9] x) => (float[N,16,4,4] y)
   <float[16,16,3,3] w, float[16] b, int64[8] pads = {0,0,0,0,0,0,1,1}, float[%s] u, float[16] c>
{
   a = Conv <pads = [1,1,1,1]> (x, w, b)
   r = Relu (a)
   p = Pad (r, pads)
   y = Conv <strides = [2,2], group = %d> (p, u, c)
}
"""


@pytest.mark.parametrize(("shape", "group"), [("16,16,3,3", 1), ("16,1,3,3", 16)])
@pytest.mark.parametrize("placement", ["onnxruntime", "tensorrt"])
def test_a_pad_keeps_its_place_before_a_convolution(shape: str, group: int, placement: str) -> None:
    graph = graph_of(PADDED % (shape, group))
    assert noise(graph, samples(16, 9, 9), placement=placement) > 25
    if placement == "tensorrt":
        pad = next(node for node in graph.nodes if node.op == "Pad")
        assert graph.only_reader(pad.outputs[0]).op == "Conv"  # type: ignore[union-attr]
        assert quantized_readers(graph, "Pad") == [True]


def test_a_pad_of_another_number_is_quantized_behind() -> None:
    text = PADDED.replace("Pad (r, pads)", "Pad (r, pads, one)").replace(
        "<float[16,16,3,3] w", "<float one = {1}, float[16,16,3,3] w"
    )
    graph = graph_of(text % ("16,16,3,3", 1))
    assert noise(graph, samples(16, 9, 9), placement="tensorrt") > 25
    assert quantized_readers(graph, "Conv") == [True] * 4


HEAD = """
g (float[N,16,8,8] x) => (float[N,16,1,1] y, float[N,16,1,1] z)
   <float[16,16,3,3] w, float[16] b, float[16,16,3,3] v, float[16] c>
{
   a = Conv <pads = [1,1,1,1]> (x, w, b)
   r = Relu (a)
   p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r)
   d = Conv <pads = [1,1,1,1]> (r, v, c)
   e = Conv <pads = [1,1,1,1]> (p, v, c)
   f = Relu (d)
   g = Relu (e)
   y = GlobalAveragePool (f)
   z = GlobalAveragePool (g)
}
"""


@pytest.mark.parametrize("rounding", ["nearest", "least_squares"])
@pytest.mark.parametrize("placement", ["onnxruntime", "tensorrt"])
def test_a_shared_weight_is_quantized_once(placement: str, rounding: str) -> None:
    graph = graph_of(HEAD)
    assert noise(graph, samples(16, 8, 8), placement=placement, rounding=rounding) > 25
    stored = [value.name for value in graph.constants() if value.dtype == np.int8 and len(value.shape) == 4]
    assert len(stored) == 2
    first, second = (node for node in graph.nodes if node.op == "Conv" and node.outputs[0].name in ("d", "e"))
    assert first.inputs[1] is second.inputs[1]
    assert first.inputs[0] is not second.inputs[0]


def test_a_shared_matrix_is_stored_in_blocks_once() -> None:
    text = (
        "g (float[N,128] x) => (float[N,128] y) <float[128,128] w>"
        "{ a = MatMul (x, w)  r = Relu (a)  y = MatMul (r, w) }"
    )
    graph = graph_of(text, 21)
    quantize(graph, "int4")
    graph.tidy()
    first, second = (node for node in graph.nodes if node.op == "MatMul")
    assert first.inputs[1] is second.inputs[1]
    assert first.inputs[1].inputs[0].op == "DequantizeLinear"


DEAD = """
g (float[N,16,6,6] x) => (float[N,16,6,6] y) <float[16,16,3,3] w, float[16] b, float[16,16,3,3] v, float[16] c>
{
   a = Conv <pads = [1,1,1,1]> (x, w, b)
   r = Relu (a)
   y = Conv <pads = [1,1,1,1]> (r, v, c)
}
"""


@pytest.mark.parametrize("placement", ["onnxruntime", "tensorrt"])
@pytest.mark.parametrize("left", [0.0, 1e-9, 1e-5])
def test_dead_channels_have_ordinary_scales(left: float, placement: str) -> None:
    random = np.random.default_rng(3)
    weights, bias = random.standard_normal((16, 16, 3, 3)), random.standard_normal(16)
    weights[:4] *= left
    bias[:4] = -1
    graph = graph_of(DEAD, w=weights, b=bias)
    assert noise(graph, samples(16, 6, 6), placement=placement) > 25
    scales = [graph.array(node.inputs[1]) for node in graph.nodes if node.op in ("QuantizeLinear", "DequantizeLinear")]
    assert min(float(np.min(each)) for each in scales if each is not None) > 1e-7


@pytest.mark.parametrize(("small", "beside", "is_raised"), [(0, 1e-4, True), (127, 0.01, True), (127, 1e-4, False)])
def test_small_channels_stay_int8_in_a_cast_to_float16(small: int, beside: float, is_raised: bool) -> None:
    """Also those of other tools, whose scales float16 cannot store."""
    text = """
    g (float[N,16,6,6] x) => (float[N,16,6,6] y)
       <float s = {0.05}, int8 z = {0}, int8[16,16,1,1] q, float[16] t,
        int8[16] zeros = {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}>
    {
       a = QuantizeLinear (x, s, z)
       b = DequantizeLinear (a, s, z)
       w = DequantizeLinear <axis = 0> (q, t, zeros)
       y = Conv (b, w)
    }
    """
    model = onnx.parser.parse_model('<ir_version: 10, opset_import: ["": 19]>' + text)
    random = np.random.default_rng(5)
    codes, scales = random.integers(-127, 127, (16, 16, 1, 1)), np.full(16, beside)
    codes[3], scales[3] = small, 2e-5
    del model.graph.value_info[:]
    model.graph.initializer.append(numpy_helper.from_array(codes.astype(np.int8), "q"))
    model.graph.initializer.append(numpy_helper.from_array(scales.astype(np.float32), "t"))
    graph = Graph.from_model(model)
    graph.infer_shapes()
    feed = samples(16, 6, 6)
    before = Session(graph).run(feed)["y"]
    log = cast(graph, "fp16")
    graph.tidy()
    graph.infer_shapes(check=True)
    assert bool(log.changes["raise scales"]) == is_raised
    assert bool(log.declined) != is_raised
    assert not log.warnings
    assert quantized_readers(graph, "Conv") == [True, is_raised]
    assert np.abs(Session(graph).run(feed)["y"] - before).max() < 0.01 * np.abs(before).max()


ACTIVATED_BRANCH = """
g (float[N,16,8,8] x) => (float[N,16,8,8] y)
   <float[16,16,3,3] w, float[16,16,3,3] u, float[16,16,3,3] v>
{
   a = Conv <pads = [1,1,1,1]> (x, w)
   skip = Relu (a)
   c = Conv <pads = [1,1,1,1]> (skip, u)
   %s
   s = Add (%s)
   y = Conv <pads = [1,1,1,1]> (s, v)
}
"""


@pytest.mark.parametrize("operands", ["skip, r", "r, skip"])
@pytest.mark.parametrize(
    "activation", ["r = Relu (c)", "h = Sigmoid (c)  r = Mul (c, h)", "h = HardSigmoid (c)  r = Mul (h, c)"]
)
def test_a_sum_behind_an_activation_reads_the_quantized_skip_branch(activation: str, operands: str) -> None:
    graph = graph_of(ACTIVATED_BRANCH % (activation, operands))
    assert noise(graph, samples(16, 8, 8), placement="tensorrt") > 25
    # The activation stays float, and the Conv and the Add read one DequantizeLinear.
    assert sorted(quantized_readers(graph, "Add")) == [False, True]
    (add,) = [node for node in graph.nodes if node.op == "Add"]
    (shared,) = [value for value in add.inputs if graph.producer(value).op == "DequantizeLinear"]
    assert [node.op for node in graph.readers(shared)] == ["Conv", "Add"]


def test_a_sum_behind_an_activation_quantizes_no_value_of_its_own() -> None:
    graph = graph_of(
        "g (float[N,16,8,8] x, float[N,16,8,8] z) => (float[N,16,8,8] y) <float[16,16,3,3] w>"
        "{ c = Conv <pads = [1,1,1,1]> (x, w)  r = Relu (c)  y = Add (z, r) }"
    )
    assert noise(graph, {**samples(16, 8, 8), "z": samples(16, 8, 8)["x"]}, placement="tensorrt") > 25
    assert quantized_readers(graph, "Add") == [False, False]


CHUNKS = """
g (float[N,16,8,8] x) => (float[N,16,8,8] y)
   <float[32,16,3,3] w, float[16,16,3,3] u, int64 size = {16}, int64 zero = {0}, int64 one = {1}>
{
   c = Conv <pads = [1,1,1,1]> (x, w)
   parts = SplitToSequence <axis = 1> (c, size)
   a = SequenceAt (parts, zero)
   b = SequenceAt (parts, one)
   d = Conv <pads = [1,1,1,1]> (b, u)
   y = Add (a, d)
}
"""


@pytest.mark.parametrize("placement", ["onnxruntime", "tensorrt"])
def test_parts_that_come_out_of_a_sequence(placement: str) -> None:
    graph = graph_of(CHUNKS)
    assert noise(graph, samples(16, 8, 8), placement=placement) > 25
    assert any(quantized_readers(graph, "Conv"))
