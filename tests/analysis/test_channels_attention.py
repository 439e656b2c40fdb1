"""Attention over channels: CBAM and ECA, whose nodes look at all channels of a value at once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from vggc.analysis.channels import channel_groups
from vggc.execution.session import Session
from vggc.passes.prune_channels import prune_channels
from vggc.passes.remove_dead_channels import remove_dead_channels
from vggc.values import Ratio

IMAGE = np.random.default_rng(7).standard_normal((2, 3, 8, 8), np.float32)


def cbam(n, x, channels):
    """Channel attention by both pools and two shared convolutions, then spatial attention (Woo et al. 2018)."""
    down, up = n.weight(4, channels, 1, 1), n.weight(channels, 4, 1, 1)
    branches = []
    for pool in ("GlobalAveragePool", "GlobalMaxPool"):
        branches.append(n.op("Conv", n.op("Relu", n.op("Conv", n.op(pool, x), down)), up))
    x = n.op("Mul", n.op("Sigmoid", n.op("Add", *branches)), x)
    planes = n.op("Concat", n.op("ReduceMean", x, axes=[1]), n.op("ReduceMax", x, axes=[1]), axis=1)
    return n.op("Mul", n.op("Sigmoid", n.conv(planes, 2, 1, 7, bias=False)), x)


def eca(n, x, channels, form="transpose"):
    """A one-dimensional convolution over the means of all channels (Wang et al. 2020)."""
    means = n.op("GlobalAveragePool", x)
    if form == "transpose":
        line = n.op("Transpose", n.op("Squeeze", means, n.ints(3)), perm=[0, 2, 1])
    else:
        line = n.op("Reshape", means, n.ints(-1, 1, channels))
    line = n.op("Conv", line, n.weight(1, 1, 3), pads=[1, 1])
    if form == "transpose":
        gate = n.op("Unsqueeze", n.op("Transpose", line, perm=[0, 2, 1]), n.ints(3))
    else:
        gate = n.op("Reshape", line, n.ints(-1, channels, 1, 1))
    return n.op("Mul", x, n.op("Sigmoid", gate))


def attended(net, block, *, dead=()):
    """A network with one block of 12 channels, of which some are zero on every image."""
    n = net()
    x = n.op("Relu", n.conv("x", 3, 12))
    weight, bias = (numpy_helper.to_array(each).copy() for each in n.weights[:2])
    weight[list(dead)], bias[list(dead)] = 0, 0
    for index, array in enumerate((weight, bias)):
        n.weights[index].CopyFrom(numpy_helper.from_array(array, n.weights[index].name))
    return n.graph(n.head(n.op("Relu", n.conv(block(n, x, 12), 12, 8)), 8))


BLOCKS = pytest.mark.parametrize(
    "block", [cbam, eca, lambda n, x, channels: eca(n, x, channels, "reshape")], ids=["cbam", "eca", "eca_reshape"]
)


@BLOCKS
def test_channels_under_attention_go(net, removes, block):
    groups = removes(attended(net, block))
    assert 12 in [group.size for group in groups.prunable]


@BLOCKS
def test_channels_that_are_zero_go_without_a_trace(net, block):
    graph = attended(net, block, dead=(1, 4, 5, 9))
    (before,) = Session(graph).run({"x": IMAGE}).values()
    group = channel_groups(graph)[0]
    channel_groups(graph).slice({group.id: [0, 2, 3, 6, 7, 8, 10, 11]})
    (after,) = Session(graph).run({"x": IMAGE}).values()
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


@BLOCKS
def test_dead_channels_under_attention_are_found(net, block):
    graph = attended(net, block, dead=(1, 4, 5, 9))
    (before,) = Session(graph).run({"x": IMAGE}).values()
    log = remove_dead_channels(graph)
    assert log.changes["remove constant channels"] == 4
    (after,) = Session(graph).run({"x": IMAGE}).values()
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


def test_a_zero_that_can_be_the_largest_stays(net):
    """Without a Relu, all other channels may be negative."""
    n = net()
    x = n.conv("x", 3, 6, bias=False)
    weight = numpy_helper.to_array(n.weights[0]).copy()
    weight[2] = 0
    n.weights[0].CopyFrom(numpy_helper.from_array(weight, n.weights[0].name))
    x = n.op("Mul", x, n.op("Sigmoid", n.op("ReduceMax", x, axes=[1])))
    graph = n.graph(n.head(x, 6))
    assert not remove_dead_channels(graph).changes


def test_dead_channels_under_a_layer_norm_stay(net):
    n = net()
    x = n.op("Relu", n.conv("x", 3, 6, bias=False))
    weight = numpy_helper.to_array(n.weights[0]).copy()
    weight[2] = 0
    n.weights[0].CopyFrom(numpy_helper.from_array(weight, n.weights[0].name))
    x = n.op("LayerNormalization", n.op("Transpose", x, perm=[0, 2, 3, 1]), n.positive(6), n.weight(6))
    graph = n.graph(n.head(n.op("Transpose", x, perm=[0, 3, 1, 2]), 6))
    assert not remove_dead_channels(graph).changes


@BLOCKS
def test_a_pruned_net_with_attention_loads_and_computes(net, block):
    graph = attended(net, block)
    prune_channels(graph, params=Ratio(0.6), importance="l2", align=1)
    model = graph.export().model
    onnx.checker.check_model(model, full_check=True)
    assert np.isfinite(Session(graph).run({"x": IMAGE}).popitem()[1]).all()


def test_a_convolution_that_leaves_out_channels_is_not_looked_through(net):
    n = net()
    line = n.op("Reshape", n.op("GlobalAveragePool", n.conv("x", 3, 6)), n.ints(-1, 1, 6))
    line = n.op("Conv", line, n.weight(1, 1, 3), strides=[2])
    label = n.nodes[-1].name
    graph = n.graph(n.op("Reshape", line, n.ints(-1, 2)))
    assert channel_groups(graph)[0].frozen == f"lies along an axis that Conv `{label}` slides over"


@pytest.mark.parametrize("form", ["transpose", "reshape"])
def test_pruning_twice_under_eca(net, form):
    """The second time, the places of the first channels are among constants."""
    graph = attended(net, lambda n, x, channels: eca(n, x, channels, form))
    for remaining in (0.75, 0.6):
        before = channel_groups(graph.copy()).cost({}).params
        prune_channels(graph, params=Ratio(remaining), importance="l2", align=1)
        graph.tidy()
        graph.infer_shapes(check=True)
        assert channel_groups(graph.copy()).cost({}).params <= remaining * before
    assert np.isfinite(Session(graph).run({"x": IMAGE}).popitem()[1]).all()
    assert channel_groups(graph)[0].frozen is None
