"""remove_dead_channels on the kinds of networks people prune, some channels of which are made dead first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vggc.analysis.channels import channel_groups
from vggc.binding.modules import import_file
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.passes.remove_dead_channels import remove_dead_channels

KINDS = tuple(import_file(Path(__file__).parents[1] / "networks.py").KINDS)

STAY = {"channel_shuffle": 4, "unet_with_computed_sizes": 4}
"""Dead channels that blocks keep, and constants before convolutions that pad images of unknown size."""


def kill(graph, groups):
    """Make what nodes with weights make of every third atom constant. Returns those atoms by group."""
    dead = {group.id: np.arange(0, group.size, 3) for group in groups.prunable}
    for group in groups.prunable:
        consumers = {id(each.node) for each in group.consumers}
        for member in group.members:
            makes = member.node is not None and (id(member.node) not in consumers or member.axis == 0)
            if not makes or not isinstance(member.input, int):
                continue
            # Weights and scales are zero; biases, shifts and means stay, so that what is left is any number.
            if member.node.op == "BatchNormalization" and member.input != 1:
                continue
            if len(member.value.shape) < 2 and member.node.op != "BatchNormalization":
                continue
            values = graph.array(member.value).copy()
            index = [slice(None)] * values.ndim
            index[member.axis] = np.isin(member.channels.atom, dead[group.id]) & (member.channels.group == group.id)
            values[tuple(index)] = 0
            graph.set_input(member.node, member.input, graph.constant(values, hint=member.value.name))
    graph.tidy()
    return dead


@pytest.mark.parametrize("kind", KINDS)
def test_dead_channels_go_and_the_outputs_stay(networks, kind):
    graph = networks.KINDS[kind](2)
    groups = channel_groups(graph)
    dead = kill(graph, groups)
    before = graph.copy()
    feeds = random_inputs(before, seed=1)
    expected = [Session(before).run(each) for each in feeds]
    log = remove_dead_channels(graph)
    graph.infer_shapes(check=True)
    assert sum(log.changes.values()) > 0
    for each, numbers in zip(feeds, expected, strict=True):
        for name, found in Session(graph).run(each).items():
            assert np.abs(found - numbers[name]).max() <= 2e-6 * np.abs(numbers[name]).max()
    left = sum(group.size for group in channel_groups(graph.copy()).prunable)
    gone = sum(group.size for group in groups.prunable) - left
    assert gone == sum(log.changes.values()) == sum(len(each) for each in dead.values()) - STAY.get(kind, 0)
    # The second run finds nothing.
    again = graph.copy()
    assert not remove_dead_channels(again).changes


def test_the_report_says_which_channels_are_left(networks):
    graph = networks.plain_with_flatten(2)
    dead = kill(graph, channel_groups(graph))
    log = remove_dead_channels(graph)
    assert log.channels["Conv_4"] == sorted(set(range(12)) - set(dead[0].tolist()))


def test_weights_that_two_nodes_share(net):
    """Both read the same dead channel, one before and one behind the removal of others of its own."""
    n = net()
    weights = n.weight(6, 6, 3, 3)
    first = n.op("Relu", n.norm(n.conv("x", 3, 6, bias=False), 6))
    second = n.op("Relu", n.op("Conv", first, weights, pads=[1, 1, 1, 1]))
    graph = n.graph(n.head(n.op("Conv", second, weights, pads=[1, 1, 1, 1]), 6))
    groups = channel_groups(graph)
    kill(graph, groups)
    before = graph.copy()
    assert remove_dead_channels(graph).changes
    for feeds in random_inputs(before):
        expected = Session(before).run(feeds)
        for name, found in Session(graph).run(feeds).items():
            assert np.abs(found - expected[name]).max() <= 2e-6 * np.abs(expected[name]).max()
