"""Residual blocks of detectors and classifiers: one pair of Q/DQ for each value, on the skip branch and not the other.

A sum that is fused into the convolution before it reads the result of that convolution in float: a pair in between
would split the kernel. The skip branch is read in int8, by the pair that the convolutions read it by, too.
"""

from __future__ import annotations

import numpy as np
import pytest

from vggc.data import ArrayDataset
from vggc.execution.session import Session
from vggc.passes.quantize import quantize
from vggc.targets.verifier import LoweredGraph, findings


def silu(n, x):
    return n.op("Mul", x, n.op("Sigmoid", x))


def leaky(n, x):
    return n.op("LeakyRelu", x, alpha=0.1)


def c2f(n, x, *, parts="Split"):
    """Half of the channels pass a residual bottleneck, and all are concatenated (YOLOv8)."""
    y = silu(n, n.conv(x, 32, 32, 1))
    if parts == "Split":
        left, right = n.op("Split", y, outputs=2, axis=1)
    else:
        left, right = (n.op("Slice", y, n.ints(at), n.ints(at + 16), n.ints(1)) for at in (0, 16))
    branch = silu(n, n.conv(silu(n, n.conv(right, 16, 16)), 16, 16))
    n.sums.append((right, branch, n.op("Add", right, branch)))
    return silu(n, n.conv(n.op("Concat", left, right, n.sums[-1][2], axis=1), 48, 32, 1))


def c2f_of_slices(n, x):
    return c2f(n, x, parts="Slice")


def darknet(n, x):
    """The sum follows the activation of the second convolution (YOLOv3)."""
    for _ in range(2):
        branch = leaky(n, n.conv(leaky(n, n.conv(x, 32, 16, 1)), 16, 32))
        n.sums.append((x, branch, n.op("Add", x, branch)))
        x = n.sums[-1][2]
    return x


def resnet(n, x):
    """The sum is fused into the second convolution, in front of the activation."""
    for _ in range(2):
        branch = n.conv(n.op("Relu", n.conv(x, 32, 32)), 32, 32)
        n.sums.append((x, branch, n.op("Add", branch, x)))
        x = n.op("Relu", n.sums[-1][2])
    return x


def squeeze_and_excitation(n, x):
    """The sum follows the gate, which is computed from the result of the second convolution."""
    y = n.conv(n.op("Relu", n.conv(x, 32, 32)), 32, 32)
    gate = n.op("Relu", n.conv(n.op("GlobalAveragePool", y), 32, 16, 1))
    branch = n.op("Mul", n.op("Sigmoid", n.conv(gate, 16, 32, 1)), y)
    n.sums.append((x, branch, n.op("Add", x, branch)))
    return n.op("Relu", n.sums[-1][2])


def mobilenet(n, x):
    """The gate follows an activation (MobileNetV3)."""
    y = n.op("HardSwish", n.conv(n.op("HardSwish", n.conv(x, 32, 32, 1)), 32, 32))
    gate = n.op("Relu", n.conv(n.op("GlobalAveragePool", y), 32, 16, 1))
    branch = n.op("Mul", y, n.op("HardSigmoid", n.conv(gate, 16, 32, 1)))
    n.sums.append((x, branch, n.op("Add", branch, x)))
    return n.sums[-1][2]


def dequantizes(graph, value):
    """The value whose Q/DQ pair a node reads; None for one that it reads in float."""
    node = graph.producer(value)
    if node is None or node.op != "DequantizeLinear":
        return None
    maker = graph.producer(node.inputs[0])
    return None if maker is None else maker.inputs[0].name


@pytest.mark.parametrize("block", [c2f, c2f_of_slices, darknet, resnet, squeeze_and_excitation, mobilenet])
def test_the_skip_branch_is_read_by_the_pair_that_is_there(net, block):
    n = net(shape=("batch", 16, 16, 16))
    n.sums = []
    x = n.op("Relu", n.conv("x", 16, 32))
    y = block(n, x)
    graph = n.graph(n.conv(y, 32, 16))
    images = np.random.default_rng(0).standard_normal((32, 16, 16, 16), np.float32)
    (before,) = Session(graph).run({"x": images}).values()
    quantize(graph, "int8", data=ArrayDataset({"x": images}, None, "images"), placement="tensorrt")
    graph.tidy()
    made = {value.name: node for node in graph.nodes for value in node.outputs}
    for skip, branch, result in n.sums:
        found = {dequantizes(graph, value): value.name for value in made[result].inputs}
        assert skip in found
        assert found[None] == branch
    quantized = [node.inputs[0].name for node in graph.nodes if node.op == "QuantizeLinear"]
    assert len(quantized) == len(set(quantized))
    assert not set(quantized) & {branch for _, branch, _ in n.sums}
    for node in graph.nodes:
        # What a skip branch is quantized for is all that reads it: its producer need not give a float number, too.
        if any(value.name in {skip for skip, *_ in n.sums} for value in node.inputs):
            assert node.op == "QuantizeLinear"
    graph.infer_shapes(check=True)
    assert not list(findings(LoweredGraph(graph, "tensorrt_rtx", (1, 7), ())))
    (after,) = Session(graph).run({"x": images}).values()
    assert np.square(after - before).mean() < 1e-3 * before.var()


def test_a_gate_of_whole_images_is_not_a_gate_of_channels(net):
    """Of a product of two images, none is known to be the branch: the sum stays as it is."""
    n = net(shape=("batch", 16, 16, 16))
    x = n.op("Relu", n.conv("x", 16, 32))
    gate = n.op("Sigmoid", n.op("Exp", x))
    total = n.op("Add", x, n.op("Mul", n.conv(x, 32, 32), gate))
    graph = n.graph(n.conv(total, 32, 16))
    images = np.random.default_rng(0).standard_normal((32, 16, 16, 16), np.float32)
    quantize(graph, "int8", data=ArrayDataset({"x": images}, None, "images"), placement="tensorrt")
    graph.tidy()
    made = {value.name: node for node in graph.nodes for value in node.outputs}
    assert [dequantizes(graph, value) for value in made[total].inputs] == [None, None]
