"""Between which numbers values lie: what is run stays inside, and where only one number is possible it is that one."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggc.analysis.ranges import UNBOUNDED, Range, Ranges
from vggc.execution.session import Session
from vggc.graph import Graph

KINDS = (
    "plain_with_flatten",
    "residual_blocks_with_projection",
    "inverted_residuals",
    "squeeze_and_excitation",
    "dense_block",
    "channel_shuffle",
    "split_and_concat",
    "unet_with_resize_and_concat",
    "unet_with_computed_sizes",
    "nhwc_with_reshape_to_matmul",
)


def pair(low, high):
    return Range(np.asarray(float(low)), np.asarray(float(high)))


def inside(graph, low, high, rounds=3):
    """The ranges of a graph with inputs between two numbers, which no run of it leaves."""
    graph.tidy()
    graph.infer_shapes()
    ranges = Ranges(graph, {value.name: pair(low, high) for value in graph.inputs})
    values = {value.name: value for node in graph.nodes for value in node.outputs if graph.dtype(value).kind == "f"}
    session = Session(graph, list(values))
    random = np.random.default_rng(0)
    for _ in range(rounds):
        feeds = {}
        for each in session.inputs:
            # Two samples, and images of 8 by 8 where nothing tells their size.
            shape = [2, *(size if isinstance(size, int) else 8 for size in each.shape[1:])]
            feeds[each.name] = random.choice([low, high, 0.3 * low + 0.7 * high], shape).astype(np.float32)
        for name, found in session.run(feeds).items():
            bounds = ranges.of(values[name])
            slack = 1e-4 * max(1.0, float(np.abs(found).max()))
            assert (found >= bounds.low - slack).all() and (found <= bounds.high + slack).all(), name
    return ranges


@pytest.mark.parametrize("kind", KINDS)
def test_no_value_of_a_network_leaves_its_range(networks, kind):
    graph = networks.KINDS[kind](1)
    ranges = inside(graph, -1, 1)
    for value in graph.outputs:
        found = ranges.of(value)
        assert np.isfinite(found.low).all() and np.isfinite(found.high).all()


def graph_of(text, **weights):
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> g {text}')
    for name, values in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values, np.float32), name))
    graph = Graph.from_model(model)
    graph.infer_shapes(check=True)
    return graph


RISING = ("Relu", "Sigmoid", "Tanh", "Exp", "Erf", "Softplus", "Elu", "Selu", "LeakyRelu", "HardSigmoid", "HardSwish")
OTHERS = ("Neg", "Abs", "Floor", "Ceil", "Identity", "Softmax", "LogSoftmax")


@pytest.mark.parametrize("op", RISING + OTHERS)
@given(low=st.floats(-6, 6, width=16), width=st.floats(0, 6, width=16))
@settings(max_examples=15)
def test_functions_of_one_number(op, low, width):
    ranges = inside(graph_of(f"(float[N,4] x) => (float[N,4] y) {{ y = {op}(x) }}"), low, low + width, rounds=1)
    assert ranges.graph.nodes[0].op == op


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Min", "Max", "Mean", "PRelu"])
@given(low=st.floats(-3, 3, width=16), width=st.floats(0, 3, width=16), other=st.floats(0.25, 4, width=16))
@settings(max_examples=15)
def test_functions_of_two_numbers(op, low, width, other):
    other_side = "c" if op == "PRelu" else "t"
    text = f"(float[N,3] x) => (float[N,3] y) {{ s = Sigmoid(x) t = Add(s, c) y = {op}(x, {other_side}) }}"
    inside(graph_of(text, c=[other, 0.5, 2]), low, low + width, rounds=1)


MOVES = {
    "MaxPool": lambda n, c: n.op("MaxPool", c, kernel_shape=[2, 2], pads=[1, 1, 1, 1]),
    "AveragePool": lambda n, c: n.op("AveragePool", c, kernel_shape=[2, 2], pads=[1, 1, 1, 1]),
    "ReduceMean": lambda n, c: n.op("ReduceMean", c, axes=[2, 3], keepdims=0),
    "Transpose": lambda n, c: n.op("Transpose", c, perm=[0, 2, 3, 1]),
    "Flatten": lambda n, c: n.op("Flatten", c),
    "Reshape": lambda n, c: n.op("Reshape", c, n.ints(-1, 2, 2, 16)),
    "Unsqueeze": lambda n, c: n.op("Unsqueeze", c, n.ints(2)),
    "Squeeze": lambda n, c: n.op("Squeeze", n.op("GlobalMaxPool", c), n.ints(2, 3)),
    "Split": lambda n, c: n.op("Split", c, n.ints(2, 2), outputs=2, axis=1)[0],
    "Slice": lambda n, c: n.op("Slice", c, n.ints(3), n.ints(-9), n.ints(1), n.ints(-2)),
    "Gather": lambda n, c: n.op("Gather", c, n.ints(1, 0), axis=1),
    "Resize": lambda n, c: n.op("Resize", c, "", n.constant([1.0, 1, 2, 2]), mode="linear"),
    "Pad": lambda n, c: n.op("Pad", c, n.ints(0, 0, 1, 1, 0, 0, 0, 2), n.constant(1.0)),
    "Expand": lambda n, c: n.op("Expand", c, n.ints(2, 1, 4, 4)),
    "Concat": lambda n, c: n.op("Concat", c, "x", c, axis=1),
}
"""What keeps channels apart."""

BLURS = {
    "AveragePool": lambda n, c: n.op("AveragePool", c, kernel_shape=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
    "ReduceMax": lambda n, c: n.op("ReduceMax", c, axes=[1]),
    "Slice": lambda n, c: n.op("Slice", n.op("Sigmoid", "x"), n.ints(1), n.ints(3), n.ints(3)),
    "Gather": lambda n, c: n.op("Gather", c, n.op("Cast", n.op("Abs", n.ints(1, 2)), to=7), axis=1),
    "Pad": lambda n, c: n.op("Pad", c, n.ints(0, 0, 1, 1, 0, 0, 0, 2)),
    "Pad of channels": lambda n, c: n.op("Pad", c, n.ints(0, 1, 0, 0, 0, 0, 0, 0)),
    "Tile": lambda n, c: n.op("Tile", c, n.ints(1, 2, 1, 1)),
    "DepthToSpace": lambda n, c: n.op("DepthToSpace", c, blocksize=2),
    "Concat of places": lambda n, c: n.op("Concat", c, "x", axis=3),
    "ConvTranspose": lambda n, c: n.op("ConvTranspose", c, n.weight(4, 2, 3, 3), strides=[2, 2]),
    "Where": lambda n, c: n.op("Where", n.op("Greater", c, "x"), c, "x"),
    "Clip": lambda n, c: n.op("Clip", "x", n.constant(0.25)),
}
"""What mixes them, or makes them differ from place to place."""


@pytest.mark.parametrize("name", [*MOVES, *(f"{name} " for name in BLURS)])
def test_pools_and_moves(net, name):
    n = net(shape=("batch", 4, 4, 4))
    scale, shift = n.constant(np.array([1.0, 0, -2, 3])), n.constant(np.array([0.0, 1, 2, -3]))
    c = n.op("BatchNormalization", "x", scale, shift, n.constant(np.zeros(4)), n.constant(np.ones(4)))
    make = MOVES[name] if name in MOVES else BLURS[name.strip()]
    graph = n.graph(make(n, c))
    found = inside(graph, -1, 2).of(graph.outputs[0])
    assert np.isfinite(found.low).all() and np.isfinite(found.high).all()
    # Channel 1 is 1 everywhere, which shows as long as channels are told apart.
    assert found.is_constant.any() == (name in MOVES)


def test_what_is_not_understood_is_unbounded():
    graph = graph_of("(float[N,4] x) => (float[N,4] y) { a = Sigmoid(x) y = Sin(a) }")
    graph.tidy()
    assert Ranges(graph).of(graph.outputs[0]) is UNBOUNDED


def test_zero_times_anything_is_zero():
    graph = graph_of("(float[N,2] x) => (float[N,2] y) { y = Gemm(x, w, b) }", w=[[0, 1], [0, 2]], b=[3, 4])
    graph.tidy()
    found = Ranges(graph).along(graph.outputs[0], 1, 2)
    assert found.low.tolist() == [3, -np.inf]
    assert found.high.tolist() == [3, np.inf]
    assert found.is_constant.tolist() == [True, False]
