"""reconstruct brings results back to the original's after whatever has changed them."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.data import ArrayDataset
from vggc.execution.session import Session
from vggc.graph.extras import node_extras
from vggc.passes.fold_batch_norm import fold_batch_norm
from vggc.passes.prune_channels import prune_channels
from vggc.passes.reconstruct import reconstruct
from vggc.passes.set_batch import set_batch
from vggc.passes.simplify import simplify
from vggc.rewrite import Context, Declined
from vggc.values import Ratio

KINDS = (
    "plain_with_flatten",
    "residual_blocks_with_projection",
    "inverted_residuals",
    "squeeze_and_excitation",
    "channel_shuffle",
    "nhwc_with_reshape_to_matmul",
)


def samples(graph, count=64, seed=0):
    value = graph.inputs[0]
    x = np.random.default_rng(seed).standard_normal((count, *graph.shape(value)[1:]), np.float32)
    return ArrayDataset({value.name: x}, None, "random samples")


def damaged(graph, strength=0.3):
    """Noise on all weights with more than one axis."""
    random = np.random.default_rng(0)
    for node in graph.nodes:
        if node.op in ("Conv", "Gemm", "MatMul"):
            weights = graph.array(node.inputs[1])
            noise = random.standard_normal(weights.shape) * weights.std() * strength
            graph.set_input(node, 1, graph.constant((weights + noise).astype(np.float32)))
    graph.tidy()


def errors(original, graph):
    """Mean squared errors of outputs on samples that nothing was solved with, as shares of their variance."""
    (feeds,) = samples(original, 32, seed=9).batches(32)
    expected, found = Session(original).run(feeds), Session(graph).run(feeds)
    return max(float(np.square(found[name] - want).mean() / want.var()) for name, want in expected.items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("folded", [False, True])
def test_damaged_weights_are_mended(networks, kind, folded):
    original = networks.KINDS[kind](2)
    graph = original.copy()
    if folded:
        simplify(graph)
        graph.tidy()
        fold_batch_norm(graph)
        graph.tidy()
    damaged(graph)
    before = errors(original, graph)
    log = reconstruct(graph, data=samples(original), context=Context(original=original.copy))
    graph.infer_shapes(check=True)
    assert log.changes["solve weights"] > 0
    assert errors(original, graph) < 0.1 * before


def test_pruning_without_data_is_mended(networks):
    original = networks.residual_blocks_with_projection(2)
    graph = original.copy()
    prune_channels(graph, keep=Ratio(0.6), importance="l2", align=1)
    pruned = errors(original, graph)
    # Names and the channels that are left come through a fold.
    fold_batch_norm(graph)
    graph.tidy()
    log = reconstruct(graph, data=samples(original), context=Context(original=original.copy))
    assert not log.declined
    assert errors(original, graph) < 0.3 * pruned


def test_means_alone(networks):
    original = networks.plain_with_flatten(2)
    graph = original.copy()
    damaged(graph)
    weights = {node.name: graph.array(node.inputs[1]) for node in graph.nodes if node.op in ("Conv", "Gemm")}
    before = errors(original, graph)
    log = reconstruct(graph, data=samples(original), method="bias", context=Context(original=original.copy))
    assert log.changes == {"correct statistics": 4}
    assert errors(original, graph) < before
    for node in graph.nodes:
        if node.name in weights:
            np.testing.assert_array_equal(graph.array(node.inputs[1]), weights[node.name])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_right_stays(networks, kind):
    graph = networks.KINDS[kind](2)
    before = graph.export(1 << 30).model.SerializeToString(deterministic=True)
    log = reconstruct(graph, data=samples(graph), context=Context(original=graph.copy))
    assert not log.changes
    assert graph.export(1 << 30).model.SerializeToString(deterministic=True) == before


def test_a_fixed_batch_that_the_original_has_not(networks):
    original = networks.plain_with_flatten(2)
    graph = original.copy()
    set_batch(graph, 4)
    damaged(graph)
    reconstruct(graph, data=samples(original), context=Context(original=original.copy))
    (feeds,) = samples(original, 4, seed=9).batches(4)
    expected, found = Session(original).run(feeds), Session(graph).run(feeds)
    for name, want in expected.items():
        assert np.square(found[name] - want).mean() < 0.01 * want.var()


def test_a_batch_that_is_not_the_originals(networks, refused):
    original = networks.plain_with_flatten(2)
    set_batch(original, 2)
    graph = original.copy()
    set_batch(graph, 4)
    with refused(
        "error: the inputs differ from those of the model as read, so that the two cannot run on the same samples\n"
        " = now: `x` [4, 3, 8, 8]\n"
        " = as read: `x` [2, 3, 8, 8]\n"
        "help: run `reconstruct` before `set_batch` and `set_input_shapes`"
    ):
        reconstruct(graph, data=samples(original), context=Context(original=original.copy))


def test_channels_of_which_nobody_knows_which_they_are(networks):
    """A graph that was pruned by other means has no record of its channels."""
    original = networks.plain_with_flatten(2)
    graph = original.copy()
    prune_channels(graph, keep=Ratio(0.5), importance="l2", align=1)
    for node in graph.nodes:
        node_extras(node).metadata = {}
    log = reconstruct(graph, data=samples(original), context=Context(original=original.copy))
    assert (
        "Conv `Conv_4`",
        "its weights are not solved: `conv3` has 12 channels in the original, and which of them is not known",
    ) in log.declined


def test_a_model_that_had_been_pruned_before_it_was_read(networks):
    """Its nodes number their channels as they were before: of the second pruning that is the wrong place to look."""
    original = networks.plain_with_flatten(2)
    prune_channels(original, keep=Ratio(0.7), importance="l2", align=1)
    graph = original.copy()
    log = reconstruct(graph, data=samples(original), context=Context(original=original.copy))
    assert not log.changes and not log.declined
    prune_channels(graph, keep=Ratio(0.6), importance="l2", align=1)
    pruned = errors(original, graph)
    log = reconstruct(graph, data=samples(original), context=Context(original=original.copy))
    assert not log.declined
    assert errors(original, graph) < 0.5 * pruned


def test_without_a_model_as_read(networks, refused):
    graph = networks.plain_with_flatten(2)
    with refused(
        "error: reconstruct needs the model as read, and there is none\n"
        "help: in Python: reconstruct(graph, ..., context=Context(original=lambda: Graph.load(path)))"
    ):
        reconstruct(graph, data=samples(graph))


def test_a_model_without_weights(net):
    n = net()
    graph = n.graph(n.op("Relu", "x"))
    with pytest.raises(Declined, match="no node has weights that can be solved"):
        reconstruct(graph, data=samples(graph), context=Context(original=graph.copy))
