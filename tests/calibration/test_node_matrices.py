"""Nodes with weights as matrices: rows times the matrix, plus the bias, are what onnxruntime computes."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.calibration.matrix import Unsuitable
from vggc.calibration.node_matrices import as_matrix
from vggc.execution.session import Session

CONVOLUTIONS = {
    "plain": ("Conv", (2, 6, 9, 8), (5, 6, 3, 3), {}),
    "pads": ("Conv", (2, 6, 9, 8), (5, 6, 3, 2), {"pads": [1, 0, 2, 1]}),
    "strides and dilations": ("Conv", (2, 6, 11, 12), (5, 6, 3, 3), {"strides": [2, 3], "dilations": [2, 1]}),
    "groups": ("Conv", (2, 6, 7, 7), (9, 2, 3, 3), {"group": 3, "pads": [1, 1, 1, 1]}),
    "depthwise": ("Conv", (2, 6, 7, 7), (12, 1, 3, 3), {"group": 6}),
    "same upper": ("Conv", (2, 4, 9, 10), (5, 4, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same lower": ("Conv", (2, 4, 9, 10), (5, 4, 4, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "valid": ("Conv", (2, 4, 9, 10), (5, 4, 4, 3), {"auto_pad": "VALID", "strides": [2, 3]}),
    "one dimension": ("Conv", (2, 4, 9), (5, 4, 3), {"pads": [1, 1]}),
    "three dimensions": ("Conv", (2, 3, 5, 6, 4), (4, 3, 2, 3, 2), {"pads": [0, 1, 0, 1, 1, 1]}),
    "transposed": ("ConvTranspose", (2, 6, 4, 5), (6, 5, 3, 3), {}),
    "transposed, strides": ("ConvTranspose", (2, 6, 4, 5), (6, 5, 3, 4), {"strides": [2, 3], "pads": [1, 0, 1, 2]}),
    "transposed, dilations": ("ConvTranspose", (2, 6, 4, 5), (6, 5, 3, 3), {"dilations": [2, 1], "strides": [2, 2]}),
    "transposed, groups": ("ConvTranspose", (2, 6, 4, 5), (6, 2, 3, 3), {"group": 3, "strides": [2, 2]}),
    "transposed, output padding": (
        "ConvTranspose",
        (2, 6, 4, 5),
        (6, 5, 3, 3),
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 0]},
    ),
    "transposed, pads beyond the kernel": ("ConvTranspose", (2, 6, 6, 6), (6, 5, 2, 2), {"pads": [2, 2, 1, 2]}),
    "transposed, output shape": (
        "ConvTranspose",
        (2, 6, 4, 5),
        (6, 5, 3, 3),
        {"strides": [2, 2], "output_shape": [8, 10], "auto_pad": "SAME_UPPER"},
    ),
    "transposed, same lower": (
        "ConvTranspose",
        (2, 6, 4, 5),
        (6, 5, 3, 4),
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
}


def agrees(graph, node, x):
    """The matrix view of a node gives the node's own result, also for some rows only."""
    value = node.outputs[0]
    y = Session(graph, [value.name]).run({"x": x})[value.name]
    product = as_matrix(graph, node)
    rows = product.rows(x, y.shape)
    assert rows.shape == (product.blocks, product.count(x.shape, y.shape), product.width)
    found = np.matmul(rows, product.matrix()).transpose(1, 0, 2).reshape(rows.shape[1], -1) + product.bias()
    np.testing.assert_allclose(found, product.results(y), atol=1e-5)
    chosen = np.array([0, 3, rows.shape[1] - 1])
    np.testing.assert_array_equal(product.rows(x, y.shape, chosen), rows[:, chosen])
    np.testing.assert_array_equal(product.results(y, chosen), product.results(y)[chosen])


def stores(graph, node, x):
    """Other weights and another bias give what they should; without a bias before, with one behind."""
    product = as_matrix(graph, node)
    random = np.random.default_rng(1)
    matrix = random.normal(size=product.matrix().shape).astype(np.float32).astype(np.float64)
    bias = random.normal(size=product.blocks * product.outputs).astype(np.float32).astype(np.float64)
    value = node.outputs[0].name
    product.store(matrix, bias)
    graph.tidy()
    graph.infer_shapes(check=True)
    y = Session(graph, [value]).run({"x": x})[value]
    rows = product.rows(x, y.shape)
    found = np.matmul(rows, matrix).transpose(1, 0, 2).reshape(rows.shape[1], -1) + bias
    np.testing.assert_allclose(found, product.results(y), atol=1e-4)


def convolution(net, name, bias):
    op, shape, weights, attributes = CONVOLUTIONS[name]
    n = net(shape=shape)
    outputs = weights[1] * attributes.get("group", 1) if op == "ConvTranspose" else weights[0]
    inputs = [n.weight(*weights), *([n.weight(outputs)] if bias else [])]
    graph = n.graph(n.op(op, "x", *inputs, **attributes))
    return graph, np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(net, name, bias):
    graph, x = convolution(net, name, bias)
    agrees(graph, graph.nodes[0], x)
    stores(graph, graph.nodes[0], x)


GEMMS = [
    {},
    {"transB": 1},
    {"transA": 1},
    {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0},
]


@pytest.mark.parametrize("bias", [None, (), (1,), (5,), (1, 5)])
@pytest.mark.parametrize("attributes", GEMMS)
def test_gemm(net, attributes, bias):
    shape = (6, 7) if attributes.get("transA") else (7, 6)
    n = net(shape=shape)
    inputs = [n.weight(*((5, 6) if attributes.get("transB") else (6, 5)))]
    inputs += [] if bias is None else [n.constant(np.random.default_rng(2).normal(size=bias))]
    graph = n.graph(n.op("Gemm", "x", *inputs, **attributes))
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    agrees(graph, graph.nodes[0], x)
    stores(graph, graph.nodes[0], x)


@pytest.mark.parametrize("shape", [(7, 6), (2, 7, 6), (2, 3, 7, 6)])
@pytest.mark.parametrize("left", [False, True])
def test_matmul(net, shape, left):
    n = net(shape=shape)
    graph = n.graph(n.op("MatMul", n.weight(5, 7), "x") if left else n.op("MatMul", "x", n.weight(6, 5)))
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    agrees(graph, graph.nodes[0], x)
    stores(graph, graph.nodes[0], x)


@pytest.mark.parametrize("first", [False, True])
def test_the_bias_behind_a_matmul_takes_more_in(net, first):
    n = net(shape=(7, 6))
    product, bias = n.op("MatMul", "x", n.weight(6, 5)), n.weight(5)
    graph = n.graph(n.op("Add", *((bias, product) if first else (product, bias))))
    before = Session(graph).run({"x": np.ones((7, 6), np.float32)})
    node = graph.nodes[0]
    as_matrix(graph, node).store_bias(np.arange(5.0))
    graph.tidy()
    assert [each.op for each in graph.nodes] == ["MatMul", "Add"]
    after = Session(graph).run({"x": np.ones((7, 6), np.float32)})
    for name, numbers in before.items():
        np.testing.assert_allclose(after[name], numbers + np.arange(5.0), atol=1e-6)


def test_storing_what_is_there_changes_nothing(net):
    graph, x = convolution(net, "transposed, groups", True)
    product = as_matrix(graph, graph.nodes[0])
    before = Session(graph).run({"x": x})
    product.store(product.matrix(), product.bias())
    after = Session(graph).run({"x": x})
    for name, numbers in before.items():
        np.testing.assert_array_equal(after[name], numbers)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda n: n.op("Relu", "x"), "Relu is not a product of data and weights"),
        (lambda n: n.op("MatMul", "x", n.op("Relu", "x")), "its weights are computed: run `simplify` first"),
        (lambda n: n.op("MatMul", "x", n.weight(2, 4, 4)), "its weights are not a matrix"),
        (lambda n: n.op("Gemm", "x", n.weight(4, 4), n.weight(4, 4)), "what it adds differs from row to row"),
        (lambda n: n.op("Gemm", "x", n.weight(4, 4), n.op("Relu", "x")), "its weights are computed: run"),
    ],
)
def test_what_is_no_matrix(net, make, reason):
    n = net(shape=(4, 4))
    graph = n.graph(make(n))
    with pytest.raises(Unsuitable, match=reason):
        as_matrix(graph, graph.nodes[-1])
