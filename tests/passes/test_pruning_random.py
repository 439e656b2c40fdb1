"""Pruning, thinning and mending networks nobody would think of, and networks in float16."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from vggc.analysis.costs import costs
from vggc.data import ArrayDataset
from vggc.diagnostics import CompileError
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.passes.fold_batch_norm import fold_batch_norm
from vggc.passes.prune_channels import prune_channels
from vggc.passes.reconstruct import reconstruct
from vggc.passes.remove_dead_channels import remove_dead_channels
from vggc.passes.sparsify import sparsify
from vggc.rewrite import Context
from vggc.values import Ratio


def samples(graph, count=12, dtype=np.float32):
    shape = (count, *graph.shape(graph.inputs[0])[1:])
    return ArrayDataset({"x": np.random.default_rng(0).standard_normal(shape).astype(dtype)}, None, "random samples")


def finished(graph):
    """The graph as a step leaves it, valid and running."""
    graph.tidy()
    graph.infer_shapes(check=True)
    (feeds,) = samples(graph, 2, graph.dtype(graph.inputs[0])).batches(2)
    return Session(graph).run(feeds)


@pytest.mark.parametrize("seed", [3, 7, 34, 35, 80])
def test_random_networks(networks, seed):
    graph = networks.Grower(seed).grow(6 + seed % 8)
    data = samples(graph)
    full = costs(graph).params
    pruned = graph.copy()
    prune_channels(pruned, params=Ratio(0.6), data=data, align=1)
    finished(pruned)
    assert costs(pruned).params <= 0.6 * full
    fold_batch_norm(pruned)
    pruned.tidy()
    reconstruct(pruned, data=data, context=Context(original=graph.copy))
    finished(pruned)
    sparsify(pruned, data=data, smallest=3)
    finished(pruned)
    remove_dead_channels(pruned)
    finished(pruned)


@pytest.mark.parametrize("seed", range(200, 212))
def test_random_networks_lose_dead_channels_only(networks, seed):
    graph = networks.Grower(seed).grow(10)
    for node in graph.nodes:
        # A third of the channels of each convolution are constant.
        if node.op == "Conv":
            weights = graph.array(node.inputs[1]).copy()
            weights[::3] = 0
            graph.set_input(node, 1, graph.constant(weights))
    graph.tidy()
    before = finished(graph.copy())
    remove_dead_channels(graph)
    for name, numbers in finished(graph).items():
        np.testing.assert_allclose(numbers, before[name], rtol=0, atol=1e-5 * np.abs(before[name]).max())
    again = graph.copy()
    assert not remove_dead_channels(again).changes


def half(graph):
    """The graph in float16."""
    model = graph.export(1 << 40).model
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    del model.graph.value_info[:]
    found = Graph.from_model(model)
    found.infer_shapes(check=True)
    return found


@pytest.mark.parametrize("kind", ["plain_with_flatten", "residual_blocks_with_projection", "squeeze_and_excitation"])
def test_networks_in_float16(networks, kind):
    graph = half(networks.KINDS[kind](2))
    data = samples(graph, 32, np.float16)
    expected = finished(graph.copy())
    prune_channels(graph, params=Ratio(0.6), data=data, align=2)
    sparsify(graph, data=data, smallest=8)
    assert {graph.array(node.inputs[1]).dtype for node in graph.nodes if node.op in ("Conv", "Gemm")} == {
        np.dtype(np.float16)
    }
    for name, numbers in finished(graph).items():
        assert np.square(numbers - expected[name], dtype=np.float64).mean() < 0.05 * expected[name].var()


def test_weights_that_two_nodes_share_are_not_solved(net):
    n = net()
    weights = n.weight(6, 6, 3, 3)
    x = n.op("Relu", n.conv("x", 3, 6))
    for _ in range(2):
        x = n.op("Relu", n.op("Conv", x, weights, pads=[1, 1, 1, 1]))
    graph = n.graph(n.head(x, 6))
    prune_channels(graph, keep=Ratio(0.5), data=samples(graph), align=1)
    finished(graph)
    sparsify(graph, data=samples(graph), smallest=3, pattern="1:3")
    finished(graph)


def test_values_that_a_body_reads(net):
    """An If whose bodies read a value from around it: that value keeps its channels, the others may go."""
    n = net()
    x = n.op("Relu", n.conv("x", 3, 6))
    y = n.op("Relu", n.conv(x, 6, 8))
    positive = n.op("Greater", n.op("ReduceMean", "x", keepdims=0), n.constant(0.0))
    bodies = []
    for op in ("Identity", "Neg"):
        value = onnx.helper.make_tensor_value_info(f"{op}_result", onnx.TensorProto.FLOAT, None)
        node = onnx.helper.make_node(op, [y], [f"{op}_result"])
        bodies.append(onnx.helper.make_graph([node], op, [], [value]))
    graph = n.graph(n.head(n.op("If", positive, then_branch=bodies[0], else_branch=bodies[1]), 8))
    before = graph.copy()
    log = prune_channels(graph, keep=Ratio(0.5), data=samples(graph), align=1)
    assert set(log.channels) == {"Conv_4"}
    reconstruct(graph, data=samples(graph), context=Context(original=before.copy))
    for name, numbers in finished(before).items():
        found = finished(graph)[name]
        assert np.square(found - numbers).mean() < 0.2 * numbers.var()


def test_pruning_twice_is_refused_where_nothing_is_left(networks):
    graph = networks.plain_with_flatten(1)
    prune_channels(graph, keep=Ratio(0.01), align=1)
    with pytest.raises(CompileError, match="no channels of this model can be removed"):
        prune_channels(graph, keep=Ratio(0.5), align=1)
