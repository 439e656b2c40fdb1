"""Which axes a Reshape merges and splits, and the shapes a graph computes for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggc.analysis.channels import channel_groups
from vggc.analysis.channels.dimensions import pieces
from vggc.analysis.shapes.multiples import Multiple


def spelled(shape, target):
    found = pieces(shape, target)
    return found and [(list(each.ins), list(each.outs)) for each in found]


@pytest.mark.parametrize(
    ("shape", "target", "expected"),
    [
        ([2, 6, 4], [2, 24], [([0], [0]), ([1, 2], [1])]),
        ([2, 24], [2, 6, 4], [([0], [0]), ([1], [1, 2])]),
        (["n", 6, "h", "w"], ["n", 2, 3, "h", "w"], [([0], [0]), ([1], [1, 2]), ([2], [3]), ([3], [4])]),
        (["n", 6, 1, 1], ["n", 6], [([0], [0]), ([1, 2, 3], [1])]),
        (["n", 6], ["n", 6, 1, 1], [([0], [0]), ([1], [1, 2, 3])]),
        ([None, 6, 4], [None, 24], [([0], [0]), ([1, 2], [1])]),
        ([None, 6, 4], [None, 25], [([0, 1, 2], [0, 1])]),
        (["n", 6, "h"], ["n", None], [([0], [0]), ([1, 2], [1])]),
        (["n", "h", 4], ["h", "n", 4], [([0, 1], [0, 1]), ([2], [2])]),
        (["n", "t", 6, 4], ["n", 6, "t", 4], [([0], [0]), ([1, 2], [1, 2]), ([3], [3])]),
        ([Multiple(4, ["n"]), 4, 8], ["n", 2, 8, 8], [([0, 1], [0, 1, 2]), ([2], [3])]),
        ([Multiple(4, ["n"]), 6, 5], ["n", 2, 2, 6, 5], [([0], [0, 1, 2]), ([1], [3]), ([2], [4])]),
        ([4, 6], [5, 5], None),
        ([1, 6], [6], [([0, 1], [0])]),
        ([], [1], None),
    ],
)
def test_pieces(shape, target, expected):
    assert spelled(shape, target) == expected


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.data())
def test_pieces_are_reshapes_of_their_own(factors, data):
    def grouped():
        cuts = sorted(data.draw(st.sets(st.integers(1, len(factors) - 1)))) if len(factors) > 1 else []
        return [math.prod(factors[a:b]) for a, b in zip([0, *cuts], [*cuts, len(factors)], strict=True)]

    shape, target = grouped(), grouped()
    found = pieces(shape, target)
    assert [index for each in found for index in each.ins] == list(range(len(shape)))
    assert [index for each in found for index in each.outs] == list(range(len(target)))
    for each in found:
        assert math.prod(shape[index] for index in each.ins) == math.prod(target[index] for index in each.outs)


def computed_shuffle(n, x):
    """x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w), every number of it computed."""
    sizes = n.op("Shape", x)
    batch, channels, *space = (n.op("Gather", sizes, n.ints(index)) for index in range(4))
    half = n.op("Div", channels, n.ints(2))
    x = n.op("Reshape", x, n.op("Concat", batch, n.ints(2), half, *space, axis=0))
    x = n.op("Transpose", x, perm=[0, 2, 1, 3, 4])
    return n.op("Reshape", x, n.op("Concat", batch, channels, *space, axis=0))


@pytest.mark.parametrize("space", [(8, 8), ("height", "width")])
def test_shapes_computed_step_by_step(net, removes, space):
    n = net(shape=("batch", 3, *space))
    x = n.conv("x", 3, 6)
    for _ in range(3):
        x = n.op("Relu", n.conv(computed_shuffle(n, x), 6, 6))
    groups = removes(n.graph(n.head(x, 6)))
    assert [group.size for group in groups.prunable] == [6, 6, 6, 6]


def test_a_split_value_that_is_looked_at_stays_split(net, removes):
    """Rows of any lengths cannot be gathered where a shape of equal ones is asked for."""
    n = net()
    x = n.op("Reshape", n.conv("x", 3, 6), n.ints(-1, 2, 3, 8, 8))
    channels = n.op("Mul", *(n.op("Gather", n.op("Shape", x), n.ints(axis)) for axis in (1, 2)))
    x = n.op(
        "Reshape",
        n.op("Transpose", x, perm=[0, 2, 1, 3, 4]),
        n.op("Concat", n.ints(-1), channels, n.ints(8, 8), axis=0),
    )
    groups = removes(n.graph(n.head(n.op("Relu", x), 6)))
    assert [group.size for group in groups.prunable] == [3]


def test_windows_of_a_batch_of_unknown_size(net, removes):
    n = net(shape=("batch", 4, 4, 6))
    x = n.op("MatMul", "x", n.weight(6, 8))
    # As window attention does it: (batch * windows, positions, channels) and back, all of it computed.
    batch = n.op("Gather", n.op("Shape", x), n.ints(0))
    x = n.op(
        "Transpose", n.op("Reshape", x, n.op("Concat", batch, n.ints(2, 2, 2, 2, 8), axis=0)), perm=[0, 1, 3, 2, 4, 5]
    )
    x = n.op("Reshape", x, n.op("Concat", n.op("Mul", batch, n.ints(4)), n.ints(4, 8), axis=0))
    x = n.op("Tanh", n.op("MatMul", x, n.weight(8, 7)))
    x = n.op("Reshape", x, n.op("Concat", batch, n.ints(16, 7), axis=0))
    groups = removes(n.graph(n.op("MatMul", x, n.weight(7, 2))))
    assert [group.size for group in groups.prunable] == [8, 7]


def test_the_cost_of_a_graph_whose_shapes_are_computed(net):
    n = net()
    x = n.op("Reshape", computed_shuffle(n, n.conv("x", 3, 6)), n.op("Concat", n.ints(-1), n.ints(384), axis=0))
    cost = channel_groups(n.graph(n.linear(x, 384, 2))).cost
    assert cost.full.macs == 64 * 6 * 27 + 384 * 2
    assert cost({0: 3}).macs == 64 * 3 * 27 + 192 * 2


def test_weights_whose_bias_is_made_from_their_length(net, removes):
    """As torch.export writes a convolution without a bias."""
    n = net()
    x = "x"
    for into, out in ((3, 6), (6, 5)):
        weights = n.weight(out, into, 1, 1)
        length = n.op("Slice", n.op("Shape", weights), n.ints(0), n.ints(1))
        zero = n.op("CastLike", n.constant(0.0), x)
        x = n.op("Relu", n.op("Conv", x, weights, n.op("Expand", zero, length)))
    graph = n.graph(n.head(x, 5))
    assert [group.size for group in removes(graph).prunable] == [6, 5]
    # Only the inputs of the second convolution go: its old weights must not stay for the length of its bias.
    channel_groups(graph).slice({0: [0, 1]})
    assert not any(list(each.shape) == [5, 6, 1, 1] for each in graph.constants())
    assert any(np.array_equal(each.shape, [5, 2, 1, 1]) for each in graph.constants())
