"""The kinds of networks people prune: each loses random channels and must equal the masked original."""

from __future__ import annotations

import pytest


def sizes(groups, prunable=True):
    return sorted(group.size for group in groups if (group.frozen is None) == prunable)


def test_plain_with_flatten(net, removes):
    n = net()
    x = n.op("MaxPool", n.op("Relu", n.conv("x", 3, 6)), kernel_shape=[2, 2], strides=[2, 2])
    x = n.op("MaxPool", n.op("Relu", n.conv(x, 6, 7)), kernel_shape=[2, 2], strides=[2, 2])
    x = n.op("Relu", n.linear(n.op("Flatten", x), 28, 9))
    groups = removes(n.graph(n.linear(x, 9, 5)))
    assert sizes(groups) == [6, 7, 9]
    assert sizes(groups, prunable=False) == [5]


def test_plain_with_global_pooling(net, removes):
    n = net()
    x = n.op("Relu", n.conv("x", 3, 6))
    groups = removes(n.graph(n.head(n.op("Relu", n.conv(x, 6, 8)), 8)))
    assert sizes(groups) == [6, 8]


def test_batch_norms_unfolded(net, removes):
    n = net()
    groups = removes(n.graph(n.head(n.block(n.block("x", 3, 6), 6, 8), 8)))
    assert sizes(groups) == [6, 8]


def residual(n, x, into, out, stride):
    """A basic residual block, with a projection where the shape changes."""
    y = n.block(x, into, out, strides=[stride, stride])
    y = n.norm(n.conv(y, out, out, bias=False), out)
    if stride > 1 or into != out:
        x = n.norm(n.conv(x, into, out, 1, bias=False, strides=[stride, stride]), out)
    return n.op("Relu", n.op("Add", y, x))


def test_residual_blocks_with_projection(net, removes):
    n = net()
    x = residual(n, n.block("x", 3, 6), 6, 6, 1)
    x = residual(n, residual(n, x, 6, 8, 2), 8, 8, 1)
    groups = removes(n.graph(n.head(x, 8)))
    # One group for each residual stream, one inside each block.
    assert sizes(groups) == [6, 6, 8, 8, 8]
    stream = max(groups.prunable, key=lambda group: len(group.producers))
    assert len(stream.producers) == 3
    assert {each.node.op for each in stream.consumers} == {"Conv", "Gemm"}


def test_bottlenecks(net, removes):
    n = net()
    x = n.block("x", 3, 12)
    for _ in range(2):
        y = n.block(n.block(x, 12, 4, 1), 4, 5)
        x = n.op("Relu", n.op("Add", n.norm(n.conv(y, 5, 12, 1), 12), x))
    assert sizes(removes(n.graph(n.head(x, 12)))) == [4, 4, 5, 5, 12]


def test_inverted_residuals(net, removes):
    n = net()

    def six(x):
        return n.op("Clip", x, n.constant(0.0), n.constant(6.0))

    x = n.block("x", 3, 6)
    for _ in range(2):
        y = six(n.norm(n.conv(x, 6, 18, 1, bias=False), 18))
        y = six(n.norm(n.conv(y, 18, 18, group=18, bias=False), 18))
        x = n.op("Add", x, n.norm(n.conv(y, 18, 6, 1, bias=False), 6))
    groups = removes(n.graph(n.head(x, 6)))
    assert sizes(groups) == [6, 18, 18]
    assert all(len(group.carriers) == 1 for group in groups.prunable if group.size == 18)


def test_squeeze_and_excitation(net, removes):
    n = net()
    x = n.block("x", 3, 8)
    gate = n.op("Relu", n.conv(n.op("GlobalAveragePool", x), 8, 3, 1))
    x = n.op("Mul", x, n.op("Sigmoid", n.conv(gate, 3, 8, 1)))
    groups = removes(n.graph(n.head(n.block(x, 8, 6), 6)))
    # The gates belong to the channels they open.
    assert sizes(groups) == [3, 6, 8]
    gated = next(group for group in groups if group.size == 8)
    assert len(gated.producers) == 2


def test_dense_block(net, removes):
    n = net()
    x, channels = n.conv("x", 3, 6), 6
    for _ in range(3):
        x = n.op("Concat", x, n.conv(n.op("Relu", n.norm(x, channels)), channels, 4), axis=1)
        channels += 4
    x = n.op("AveragePool", n.conv(n.op("Relu", n.norm(x, channels)), channels, 7, 1), kernel_shape=[2, 2])
    groups = removes(n.graph(n.head(x, 7)))
    assert sizes(groups) == [4, 4, 4, 6, 7]


def shuffle(n, x, channels, group, size):
    x = n.op("Reshape", x, n.ints(-1, group, channels // group, size, size))
    return n.op("Reshape", n.op("Transpose", x, perm=[0, 2, 1, 3, 4]), n.ints(-1, channels, size, size))


def test_channel_shuffle(net, removes):
    n = net()
    x = n.block("x", 3, 12)
    y = shuffle(n, n.op("Relu", n.norm(n.conv(x, 12, 12, 1, group=3), 12)), 12, 3, 8)
    y = n.norm(n.conv(y, 12, 12, group=12), 12)
    x = n.op("Relu", n.op("Add", x, n.norm(n.conv(y, 12, 12, 1, group=3), 12)))
    groups = removes(n.graph(n.head(x, 12)))
    assert sizes(groups) == [12, 12]
    # Between the two grouped convolutions, blocks of 4 channels cut across blocks of 4 others: cells of 1 or 2.
    assert sorted(len(group.families) for group in groups.prunable) == [1, 2]
    assert all(group.counts == [3, 6, 9, 12] for group in groups.prunable)


def test_shuffle_keeps_its_reshapes_where_it_can(net):
    from vggc.analysis.channels import channel_groups

    def graph():
        n = net()
        return n.graph(n.head(n.conv(shuffle(n, n.op("Relu", n.conv("x", 3, 12)), 12, 3, 8), 12, 7), 7))

    alike, ragged = graph(), graph()
    # Of each row of four channels the same two; and any channels at all.
    channel_groups(alike).slice({0: [0, 2, 4, 6, 8, 10]})
    channel_groups(ragged).slice({0: [0, 1, 2, 7, 11]})
    assert [node.op for node in alike.nodes].count("Reshape") == 2
    assert [node.op for node in ragged.nodes].count("Reshape") == 0
    assert [node.op for node in ragged.nodes].count("Gather") == 1


def test_units_that_split_and_shuffle(net, removes):
    n = net()
    x = n.block("x", 3, 16)
    for _ in range(3):
        left, right = n.op("Split", x, n.ints(8, 8), outputs=2, axis=1)
        right = n.block(n.norm(n.conv(n.block(right, 8, 8, 1), 8, 8, group=8), 8), 8, 8, 1)
        x = shuffle(n, n.op("Concat", left, right, axis=1), 16, 2, 8)
    groups = removes(n.graph(n.head(x, 16)))
    # Every convolution's outputs can go one by one, through all three shuffles.
    assert sizes(groups) == [8] * 6 + [16]


def test_split_and_concat(net, removes):
    n = net()
    x = n.block("x", 3, 10)
    one, two = n.op("Split", x, n.ints(4, 6), outputs=2, axis=1)
    x = n.op("Concat", two, n.block(one, 4, 5), n.block(n.block(two, 6, 3), 3, 6), axis=1)
    groups = removes(n.graph(n.head(n.block(x, 17, 7), 7)))
    assert sizes(groups) == [3, 5, 6, 7, 10]
    split = next(group for group in groups if group.size == 10)
    assert [list(cover) for cover in split.covers] == [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9]]


@pytest.mark.parametrize("computed", [False, True])
def test_unet_with_resize_and_concat(net, removes, computed):
    n = net(shape=("batch", 3, "height", "width") if computed else ("batch", 3, 8, 8))
    top = n.block("x", 3, 5)
    low = n.block(n.op("MaxPool", top, kernel_shape=[2, 2], strides=[2, 2]), 5, 9)
    if computed:
        # torch.nn.functional.interpolate(low, size=top.shape[2:]) as it is exported.
        batch = n.op("Slice", n.op("Shape", low), n.ints(0), n.ints(2), n.ints(0))
        size = n.op("Slice", n.op("Shape", top), n.ints(2), n.ints(4), n.ints(0))
        sizes_ = n.op("Concat", batch, size, axis=0)
    else:
        sizes_ = n.ints(2, 9, 8, 8)
        n.inputs[0].type.tensor_type.shape.dim[0].dim_value = 2
    up = n.op("Resize", low, "", "", sizes_, mode="nearest")
    x = n.block(n.op("Concat", top, up, axis=1), 14, 6)
    graph = n.graph(n.conv(x, 6, 2, 1))
    groups = removes(graph)
    assert sizes(groups) == [5, 6, 9]
    assert sizes(groups, prunable=False) == [2]


def test_computed_sizes_are_left_to_compute_themselves(net):
    """A list that takes channels from the value itself is right without a change; one of numbers is rewritten."""
    from vggc.analysis.channels import channel_groups

    n = net(shape=("batch", 3, "height", "width"))
    x = n.conv("x", 3, 6)
    shape = n.op("Concat", n.op("Slice", n.op("Shape", x), n.ints(0), n.ints(2), n.ints(0)), n.ints(4, 4), axis=0)
    graph = n.graph(n.head(n.op("Resize", x, "", "", shape, mode="nearest"), 6))
    before = [node.op for node in graph.nodes]
    channel_groups(graph).slice({0: [1, 3, 4]})
    assert [node.op for node in graph.nodes] == before


def test_nhwc_with_reshape_to_matmul(net, removes):
    n = net(shape=("batch", 8, 8, 3))
    x = n.op("Transpose", "x", perm=[0, 3, 1, 2])
    x = n.op("Transpose", n.conv(x, 3, 6), perm=[0, 2, 3, 1])
    x = n.op("Relu", n.op("Add", n.op("Mul", x, n.positive(6)), n.weight(6)))
    x = n.op("Transpose", n.block(n.op("Transpose", x, perm=[0, 3, 1, 2]), 6, 4, strides=[2, 2]), perm=[0, 2, 3, 1])
    x = n.op("Reshape", x, n.ints(-1, 64))
    x = n.op("Relu", n.op("Add", n.op("MatMul", x, n.weight(64, 9)), n.weight(9)))
    groups = removes(n.graph(n.op("MatMul", x, n.weight(9, 5))))
    assert sizes(groups) == [4, 6, 9]
    # Channel c is column c, c + 4, c + 8, ... of the reshaped value.
    reader = next(group for group in groups if group.size == 4).consumers[0]
    assert reader.inputs is not None and list(reader.inputs.atom[:8]) == [0, 1, 2, 3, 0, 1, 2, 3]
