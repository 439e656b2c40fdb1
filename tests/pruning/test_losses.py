"""The Taylor importance is the derivative of the loss by a factor on a channel."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.analysis.channels import channel_groups
from vggc.analysis.channels.masks import GATE, gated
from vggc.calibration.samples import Samples
from vggc.data import ArrayDataset
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.passes.prune_channels import prune_channels
from vggc.pruning.losses import Losses
from vggc.values import Ratio


def labelled(count=20, classes=5, shape=(3, 8, 8)):
    random = np.random.default_rng(0)
    data = ArrayDataset(
        {"x": random.standard_normal((count, *shape), np.float32)}, random.integers(0, classes, count), "random samples"
    )
    data.name = "calib"
    return data


@pytest.mark.parametrize("softmax", [False, True])
def test_of_a_classifiers_inputs_it_is_the_gradient(net, softmax):
    n = net()
    pooled = n.op("Flatten", n.op("GlobalAveragePool", n.op("Relu", n.conv("x", 3, 6))))
    logits = n.linear(pooled, 6, 5)
    graph = n.graph(n.op("Softmax", logits) if softmax else logits)
    data = labelled()
    groups = channel_groups(graph)
    (group,) = groups.prunable
    found = Losses(groups, Samples(graph, data), [group]).taylor(group)

    (feeds,) = data.batches(20)
    values = Session(graph, [pooled, logits]).run(feeds)
    weights = graph.array(next(node for node in graph.nodes if node.op == "Gemm").inputs[1])
    chance = np.exp(values[logits]) / np.exp(values[logits]).sum(axis=1, keepdims=True)
    chance[np.arange(20), data.labels] -= 1
    gradient = (chance @ weights) * values[pooled]
    expected = np.square(gradient).sum(axis=0)
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=0.03)


@pytest.mark.parametrize("kind", ["residual_blocks_with_projection", "split_and_concat", "nhwc_with_reshape_to_matmul"])
def test_a_shut_gate_is_a_mask(networks, kind):
    graph = networks.KINDS[kind](1)
    groups = channel_groups(graph)
    for group in groups.prunable:
        shut = np.ones(group.size, np.float32)
        kept = group.best(np.random.default_rng(group.id).random(group.size), group.size - 2)
        shut[np.setdiff1d(np.arange(group.size), kept)] = 0
        (feeds, *_) = random_inputs(graph)
        masked = Session(groups.masked({group.id: kept})).run(feeds)
        for name, found in Session(gated(groups, group)).run({**feeds, GATE: shut}).items():
            np.testing.assert_array_equal(found, masked[name])


def test_channels_go_by_it(networks):
    graph = networks.residual_blocks_with_projection(2)
    log = prune_channels(graph, macs=Ratio(0.5), data=labelled(), importance="taylor", align=2)
    graph.infer_shapes(check=True)
    assert log.changes["remove channels"] > 0


def test_labels_that_are_no_class(networks, refused):
    with refused("error: label 8 of data `calib` is not a class of the model: output `gemm27` has 5, numbered from 0"):
        prune_channels(
            networks.plain_with_flatten(), keep=Ratio(0.5), data=labelled(classes=9), importance="taylor", align=2
        )


def test_outputs_that_are_no_classes(networks, refused):
    with refused(
        "error: importance=taylor needs one row of logits for each sample, but output `conv43` has shape [2, 2, 8, 8] "
        "for 2\n"
        "help: choose another importance: obs needs no labels"
    ):
        prune_channels(
            networks.unet_with_resize_and_concat(), keep=Ratio(0.5), data=labelled(), importance="taylor", align=2
        )
