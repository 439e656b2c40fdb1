"""prune_channels on nets with norms over channels, attention over channels, recurrent operators and Einsum."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.analysis.costs import costs
from vggc.data import ArrayDataset
from vggc.execution.session import Session
from vggc.passes.fold_batch_norm import fold_batch_norm
from vggc.passes.prune_channels import prune_channels
from vggc.values import Ratio

WIDTH = 24


def group_norm(n, x, channels, blocks=4):
    y = n.op("Reshape", x, n.ints(0, blocks, -1))
    y = n.op("InstanceNormalization", y, n.constant(np.ones(blocks)), n.constant(np.zeros(blocks)))
    y = n.op("Reshape", y, n.ints(-1, channels, 8, 8))
    return n.op("Add", n.op("Mul", y, n.positive(channels, 1, 1)), n.weight(channels, 1, 1))


def layer_norm(n, x, channels):
    return n.op("LayerNormalization", x, n.positive(channels), n.weight(channels), axis=-1)


def with_group_norms(n):
    x = n.op("Relu", group_norm(n, n.conv("x", 3, WIDTH), WIDTH))
    x = n.op("Relu", n.op("Add", x, group_norm(n, n.conv(x, WIDTH, WIDTH), WIDTH)))
    return n.head(n.op("Relu", group_norm(n, n.conv(x, WIDTH, WIDTH), WIDTH)), WIDTH)


def convnext(n):
    x = n.conv("x", 3, WIDTH, 1)
    for _ in range(2):
        y = n.op("Transpose", n.conv(x, WIDTH, WIDTH, group=WIDTH), perm=[0, 2, 3, 1])
        y = n.op("Add", n.op("MatMul", layer_norm(n, y, WIDTH), n.weight(WIDTH, 2 * WIDTH)), n.weight(2 * WIDTH))
        y = n.op("MatMul", n.op("Relu", y), n.weight(2 * WIDTH, WIDTH))
        x = n.op("Add", x, n.op("Transpose", y, perm=[0, 3, 1, 2]))
    return n.head(x, WIDTH)


def attention(n):
    """ECA behind the first block, and CBAM's attention over space behind the second."""
    x = n.block("x", 3, WIDTH)
    line = n.op("Reshape", n.op("GlobalAveragePool", x), n.ints(-1, 1, WIDTH))
    gate = n.op("Reshape", n.op("Conv", line, n.weight(1, 1, 3), pads=[1, 1]), n.ints(-1, WIDTH, 1, 1))
    x = n.block(n.op("Mul", x, n.op("Sigmoid", gate)), WIDTH, WIDTH)
    planes = n.op("Concat", n.op("ReduceMean", x, axes=[1]), n.op("ReduceMax", x, axes=[1]), axis=1)
    x = n.op("Mul", x, n.op("Sigmoid", n.conv(planes, 2, 1, bias=False)))
    return n.head(n.block(x, WIDTH, WIDTH), WIDTH)


def recurrent(n):
    x = n.block(n.block("x", 3, WIDTH), WIDTH, WIDTH)
    x = n.op("Transpose", n.op("Reshape", x, n.ints(0, 8 * WIDTH, -1)), perm=[2, 0, 1])
    weights = [n.weight(1, 48, 8 * WIDTH), n.weight(1, 48, 12), n.weight(1, 96)]
    states = n.op("Squeeze", n.op("LSTM", x, *weights, hidden_size=12), n.ints(1))
    return n.linear(n.op("ReduceMean", states, axes=[0], keepdims=0), 12, 5)


def einsums(n):
    x = n.op("Einsum", n.block("x", 3, WIDTH), n.weight(WIDTH, WIDTH), equation="bchw,oc->bohw")
    x = n.op("Transpose", n.op("Reshape", n.op("Relu", x), n.ints(0, WIDTH, -1)), perm=[0, 2, 1])
    x = n.op("Relu", n.op("Einsum", x, n.weight(WIDTH, 2 * WIDTH), equation="bnc,cd->bnd"))
    return n.linear(n.op("ReduceMean", x, axes=[1], keepdims=0), 2 * WIDTH, 5)


EACH_NET = pytest.mark.parametrize("make", [with_group_norms, convnext, attention, recurrent, einsums])


def images(count=96, seed=0, labels=None):
    """Images whose pixels resemble their neighbours."""
    random = np.random.default_rng(seed)
    coarse = random.standard_normal((count, 3, 4, 4), np.float32).repeat(2, 2).repeat(2, 3)
    noise = random.standard_normal((count, 3, 8, 8), np.float32)
    return ArrayDataset({"x": coarse + 0.2 * noise}, labels, "images")


def result(graph, data):
    (batch,) = data.batches(len(data), len(data))
    (found,) = Session(graph).run(batch).values()
    return found


@EACH_NET
def test_the_budget_is_reached_and_repair_helps(net, make):
    n = net()
    graph = n.graph(make(n))
    full, unseen = costs(graph).macs, images(64, seed=9)
    expected, errors = result(graph, unseen), {}
    for repair in ("none", "bias", "least_squares"):
        pruned = graph.copy()
        prune_channels(pruned, macs=Ratio(0.5), data=images(), repair=repair, align=2)
        pruned.tidy()
        pruned.infer_shapes(check=True)
        assert 0.3 * full < costs(pruned).macs <= 0.5 * full
        errors[repair] = float(np.square(result(pruned, unseen) - expected).mean() / expected.var())
    assert errors["least_squares"] < 0.5 * errors["none"]
    assert errors["bias"] < errors["none"]


@EACH_NET
@pytest.mark.parametrize("importance", ["l1", "fpgm", "activation", "taylor"])
def test_each_importance(net, make, importance):
    n = net()
    graph = n.graph(make(n))
    unpruned = graph.copy()
    found = result(unpruned, images()).argmax(axis=1)
    data = None if importance in ("l1", "fpgm") else images(labels=found)
    prune_channels(graph, keep=Ratio(0.5), data=data, importance=importance, align=2)
    graph.tidy()
    graph.infer_shapes(check=True)
    assert costs(graph).params < 0.7 * costs(unpruned).params
    assert np.isfinite(result(graph, images(8))).all()


@EACH_NET
def test_the_result_folds(net, make):
    n = net()
    graph = n.graph(make(n))
    prune_channels(graph, params=Ratio(0.6), data=images(), align=2)
    graph.tidy()
    expected = result(graph, images(8))
    fold_batch_norm(graph)
    graph.tidy()
    assert not any(node.op == "BatchNormalization" for node in graph.nodes)
    np.testing.assert_allclose(result(graph, images(8)), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
