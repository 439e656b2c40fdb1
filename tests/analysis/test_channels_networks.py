"""The kinds of networks people prune: each loses random channels and must equal the masked original."""

from __future__ import annotations

import pytest

from vggc.analysis.channels import channel_groups


def sizes(groups, prunable=True):
    return sorted(group.size for group in groups if (group.frozen is None) == prunable)


def test_plain_with_flatten(networks, removes):
    groups = removes(networks.plain_with_flatten())
    assert sizes(groups) == [6, 7, 9]
    assert sizes(groups, prunable=False) == [5]


def test_plain_with_global_pooling(networks, removes):
    assert sizes(removes(networks.plain_with_global_pooling())) == [6, 8]


def test_batch_norms_unfolded(networks, removes):
    assert sizes(removes(networks.batch_norms_unfolded())) == [6, 8]


def test_residual_blocks_with_projection(networks, removes):
    groups = removes(networks.residual_blocks_with_projection())
    # One group for each residual stream, one inside each block.
    assert sizes(groups) == [6, 6, 8, 8, 8]
    stream = max(groups.prunable, key=lambda group: len(group.producers))
    assert len(stream.producers) == 3
    assert {each.node.op for each in stream.consumers} == {"Conv", "Gemm"}


def test_bottlenecks(networks, removes):
    assert sizes(removes(networks.bottlenecks())) == [4, 4, 5, 5, 12]


def test_inverted_residuals(networks, removes):
    groups = removes(networks.inverted_residuals())
    assert sizes(groups) == [6, 18, 18]
    assert all(len(group.carriers) == 1 for group in groups.prunable if group.size == 18)


def test_squeeze_and_excitation(networks, removes):
    groups = removes(networks.squeeze_and_excitation())
    # The gates belong to the channels they open.
    assert sizes(groups) == [3, 6, 8]
    gated = next(group for group in groups if group.size == 8)
    assert len(gated.producers) == 2


def test_dense_block(networks, removes):
    assert sizes(removes(networks.dense_block())) == [4, 4, 4, 6, 7]


def test_channel_shuffle(networks, removes):
    groups = removes(networks.channel_shuffle())
    assert sizes(groups) == [12, 12]
    # Between the two grouped convolutions, blocks of 4 channels cut across blocks of 4 others: cells of 1 or 2.
    assert sorted(len(group.families) for group in groups.prunable) == [1, 2]
    assert all(group.counts == [3, 6, 9, 12] for group in groups.prunable)


def test_shuffle_keeps_its_reshapes_where_it_can(net, networks):
    def graph():
        n = net()
        shuffled = networks.shuffle(n, n.op("Relu", n.conv("x", 3, 12)), 12, 3, 8)
        return n.graph(n.head(n.conv(shuffled, 12, 7), 7))

    alike, ragged = graph(), graph()
    # Of each row of four channels the same two; and any channels at all.
    channel_groups(alike).slice({0: [0, 2, 4, 6, 8, 10]})
    channel_groups(ragged).slice({0: [0, 1, 2, 7, 11]})
    assert [node.op for node in alike.nodes].count("Reshape") == 2
    assert [node.op for node in ragged.nodes].count("Reshape") == 0
    assert [node.op for node in ragged.nodes].count("Gather") == 1


def test_units_that_split_and_shuffle(net, networks, removes):
    n = net()
    x = n.block("x", 3, 16)
    for _ in range(3):
        left, right = n.op("Split", x, n.ints(8, 8), outputs=2, axis=1)
        right = n.block(n.norm(n.conv(n.block(right, 8, 8, 1), 8, 8, group=8), 8), 8, 8, 1)
        x = networks.shuffle(n, n.op("Concat", left, right, axis=1), 16, 2, 8)
    groups = removes(n.graph(n.head(x, 16)))
    # Every convolution's outputs can go one by one, through all three shuffles.
    assert sizes(groups) == [8] * 6 + [16]


def test_split_and_concat(networks, removes):
    groups = removes(networks.split_and_concat())
    assert sizes(groups) == [3, 5, 6, 7, 10]
    split = next(group for group in groups if group.size == 10)
    assert [list(cover) for cover in split.covers] == [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9]]


@pytest.mark.parametrize("kind", ["unet_with_resize_and_concat", "unet_with_computed_sizes"])
def test_unet_with_resize_and_concat(networks, removes, kind):
    groups = removes(networks.KINDS[kind](1))
    assert sizes(groups) == [5, 6, 9]
    assert sizes(groups, prunable=False) == [2]


def test_computed_sizes_are_left_to_compute_themselves(net):
    """A list that takes channels from the value itself is right without a change; one of numbers is rewritten."""
    n = net(shape=("batch", 3, "height", "width"))
    x = n.conv("x", 3, 6)
    shape = n.op("Concat", n.op("Slice", n.op("Shape", x), n.ints(0), n.ints(2), n.ints(0)), n.ints(4, 4), axis=0)
    graph = n.graph(n.head(n.op("Resize", x, "", "", shape, mode="nearest"), 6))
    before = [node.op for node in graph.nodes]
    channel_groups(graph).slice({0: [1, 3, 4]})
    assert [node.op for node in graph.nodes] == before


def test_nhwc_with_reshape_to_matmul(networks, removes):
    groups = removes(networks.nhwc_with_reshape_to_matmul())
    assert sizes(groups) == [4, 6, 9]
    # Channel c is column c, c + 4, c + 8, ... of the reshaped value.
    reader = next(group for group in groups if group.size == 4).consumers[0]
    assert reader.inputs is not None and list(reader.inputs.atom[:8]) == [0, 1, 2, 3, 0, 1, 2, 3]
