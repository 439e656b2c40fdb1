"""Channels multiplied and divided again: the model computes the same, on better ranges."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from vggc.calibration.samples import Samples
from vggc.calibration.spill import Spill
from vggc.data import ArrayDataset
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.quantization.candidates import choose
from vggc.quantization.equalization import equalize
from vggc.quantization.observation import Observation
from vggc.quantization.products import all_products
from vggc.quantization.scaling_groups import multiply, scaling_groups
from vggc.rewrite import Context
from vggc.values import Names


def calib(rows: np.ndarray) -> ArrayDataset:
    """Samples of the input `x`."""
    return ArrayDataset({"x": rows.astype(np.float32)}, None, "calib")


def graph_of(text: str, **spreads: float) -> Graph:
    """A graph in onnx.parser's text whose weights are seeded; `spreads` says how unlike the rows of a weight are."""
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["": 17]>\n' + text)
    made = {name for node in model.graph.node for name in node.output}
    random = np.random.default_rng(7)
    for info in [each for each in model.graph.value_info if each.name not in made]:
        shape = [each.dim_value for each in info.type.tensor_type.shape.dim]
        values = random.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))
        if info.name in spreads:
            values *= np.geomspace(1, spreads[info.name], shape[0]).reshape(-1, *[1] * (len(shape) - 1))
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), info.name))
    del model.graph.value_info[:]
    graph = Graph.from_model(model)
    graph.infer_shapes()
    return graph


PLAIN = """
g (float[N,3,8,8] x) => (float[N,5] y)
  <float[12,3,3,3] w, float[12] b, float[12,1,3,3] d, float[12] c, float[12,12,1,1] u, float[5,192] v, float[5] e>
{
   a0 = Conv <pads = [1,1,1,1]> (x, w, b)
   a = Relu (a0)
   m = MaxPool <kernel_shape = [2,2], strides = [2,2]> (a)
   f0 = Conv <group = 12, pads = [1,1,1,1]> (m, d, c)
   f = LeakyRelu (f0)
   h0 = Conv (f, u)
   h1 = Add (h0, m)
   h = Relu (h1)
   i = Flatten (h)
   y = Gemm <transB = 1> (i, v, e)
}
"""

TRANSPOSED = """
g (float[N,4,5,5] x) => (float[N,6,7,7] y) <float[4,3,3,3] w, float[6] b, float[6,3,1,1] u>
{
   a0 = ConvTranspose <group = 2> (x, w, b)
   a = Relu (a0)
   y = Conv <group = 2> (a, u)
}
"""

MATRICES = """
g (float[N,6] x) => (float[N,4] y) <float[6,8] w, float[8] b, float[8,8] u, float[8,4] v>
{
   a0 = Gemm <alpha = 0.5, beta = 2.0> (x, w, b)
   a = Relu (a0)
   c0 = MatMul (a, u)
   c = Relu (c0)
   y = MatMul (c, v)
}
"""


@pytest.mark.parametrize(("text", "groups"), [(PLAIN, 2), (TRANSPOSED, 1), (MATRICES, 2)])
def test_the_model_computes_the_same(text: str, groups: int) -> None:
    graph = graph_of(text)
    shape = graph.shape(graph.inputs[0]) or []
    feeds = {"x": np.random.default_rng(0).standard_normal([4, *(int(each or 0) for each in shape[1:])], np.float32)}
    before = Session(graph).run(feeds)["y"]
    found = scaling_groups(graph, all_products(graph))
    assert len(found) == groups
    for index, group in enumerate(found):
        multiply(graph, group, np.random.default_rng(index).uniform(0.1, 10, group.size))
    graph.tidy()
    after = Session(graph).run(feeds)["y"]
    assert np.abs(after - before).max() <= 1e-5 * np.abs(before).max()
    assert not np.array_equal(after, before)


@pytest.mark.parametrize(
    "between",
    [
        "r = Sigmoid (c)",
        "r = Add (c, k)",
        "r = Softmax (c)",
        "r0 = Transpose <perm = [0,2,1,3]> (c)\n r = Transpose <perm = [0,2,1,3]> (r0)",
    ],
)
def test_what_does_not_scale_is_left_alone(between: str) -> None:
    graph = graph_of(
        f"""
        g (float[N,3,4,4] x) => (float[N,2,4,4] y) <float[4,3,1,1] w, float[2,4,1,1] u, float[4,1,1] k>
        {{
           c = Conv (x, w)
           {between}
           y = Conv (r, u)
        }}
        """
    )
    assert scaling_groups(graph, all_products(graph)) == []


def test_ranges_become_more_alike() -> None:
    graph = graph_of(
        """
        g (float[N,3,8,8] x) => (float[N,2,8,8] y) <float[24,3,3,3] w, float[2,24,1,1] u>
        {
           c = Conv <pads = [1,1,1,1]> (x, w)
           a = Relu (c)
           y = Conv (a, u)
        }
        """,
        w=0.001,
    )
    rows = calib(np.random.default_rng(1).standard_normal((64, 3, 8, 8)))

    def ratio() -> float:
        found = np.abs(Session(graph, ["a"]).run({"x": next(rows.batches(64))["x"]})["a"]).max(axis=(0, 2, 3))
        return float(found.max() / found.min())

    before, wanted = ratio(), Session(graph).run({"x": next(rows.batches(64))["x"]})["y"]
    context = Context()
    plan = choose(graph, context, "int8", "onnxruntime", only=Names(), except_=Names())
    with Spill() as spill:
        equalize(plan, context, Observation(plan, Samples(graph, rows), Samples(graph, rows), None, spill))
    graph.tidy()
    assert ratio() < 2 * np.sqrt(before)
    got = Session(graph).run({"x": next(rows.batches(64))["x"]})["y"]
    assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_channels_stay_below_a_clip() -> None:
    graph = graph_of(
        """
        g (float[N,3,8,8] x) => (float[N,4,8,8] y) <float[24,3,3,3] w, float[4,24,1,1] u, float lo, float hi>
        {
           c = Conv <pads = [1,1,1,1]> (x, w)
           r = Clip (c, lo, hi)
           y = Conv (r, u)
        }
        """,
        w=0.01,
    )
    for value, number in (("lo", 0.0), ("hi", 1.5)):
        next(each for each in graph.constants() if each.name == value).values = np.array(number, np.float32)
    data = np.random.default_rng(2).standard_normal((64, 3, 8, 8)).astype(np.float32)
    wanted = Session(graph).run({"x": data})["y"]
    context = Context()
    plan = choose(graph, context, "int8", "onnxruntime", only=Names(), except_=Names())
    samples = Samples(graph, calib(data))
    with Spill() as spill:
        equalize(plan, context, Observation(plan, samples, samples, None, spill))
    graph.tidy()
    assert context.log.changes["equalize channels"] == 1
    got = Session(graph).run({"x": data})["y"]
    assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()
