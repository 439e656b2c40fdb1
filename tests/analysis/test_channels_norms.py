"""Norms with statistics over channels: those of the channels that stay, as many in each block of a group norm."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from vggc.analysis.channels import channel_groups
from vggc.execution.session import Session
from vggc.graph import Graph

KEPT = [0, 2, 3, 4, 6, 7, 9, 10]
"""Of 12 channels, two of each block of three."""


def exported_group_norm(n, x, channels, blocks, space=(8, 8)):
    """As torch.onnx writes it, without the scale and shift."""
    y = n.op("Reshape", x, n.ints(0, blocks, -1))
    y = n.op("InstanceNormalization", y, n.positive(blocks), n.weight(blocks), epsilon=1e-3)
    return n.op("Reshape", y, n.ints(-1, channels, *space) if space else n.op("Shape", x))


def layer_norm(n, x, channels):
    return n.op("LayerNormalization", x, n.positive(channels), n.weight(channels), axis=-1)


def written_out(n, x, channels, *, square="Mul"):
    """A layer norm over channels, node by node."""
    centred = n.op("Sub", x, n.op("ReduceMean", x, axes=[1]))
    power = n.op("Mul", centred, centred) if square == "Mul" else n.op("Pow", centred, n.constant(np.float32(2)))
    variance = n.op("Add", n.op("ReduceMean", power, axes=[1]), n.constant(np.float32(1e-5)))
    normal = n.op("Div", centred, n.op("Sqrt", variance))
    return n.op("Add", n.op("Mul", n.positive(channels, 1, 1), normal), n.weight(channels, 1, 1))


def reference(x, kept, blocks, epsilon):
    """The kept channels of (N, C, ...) normalised in blocks."""
    rows = x[:, kept].reshape(len(x), blocks, -1)
    normal = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + epsilon)
    return normal.reshape(x[:, kept].shape)


@pytest.mark.parametrize("space", [(8, 8), ("height", "width")])
def test_group_norm_as_exporters_write_it(net, removes, space):
    n = net(shape=("batch", 3, *space))
    x = exported_group_norm(n, n.conv("x", 3, 12), 12, 4, space if space == (8, 8) else ())
    x = n.op("Relu", n.op("Mul", x, n.positive(12, 1, 1)))
    groups = removes(n.graph(n.head(n.op("Relu", n.conv(x, 12, 6)), 6)))
    assert [(group.size, group.counts) for group in groups.prunable] == [(12, [4, 8, 12]), (6, [1, 2, 3, 4, 5, 6])]


def test_the_merged_length_of_a_group_norm_that_is_a_number(net, removes):
    n = net()
    y = n.op("Reshape", n.conv("x", 3, 12), n.ints(-1, 4, 192))
    y = n.op("InstanceNormalization", y, n.positive(4), n.weight(4))
    y = n.op("Reshape", y, n.ints(0, 12, 8, 8))
    assert [group.size for group in removes(n.graph(n.head(n.conv(y, 12, 6), 6)), 6).prunable] == [12, 6]


def test_group_normalization(net, removes):
    n = net(21)
    x = n.op("GroupNormalization", n.conv("x", 3, 12), n.positive(12), n.weight(12), num_groups=4)
    groups = removes(n.graph(n.head(n.conv(n.op("Relu", x), 12, 6), 6)), 6)
    assert [(group.size, group.counts) for group in groups.prunable] == [(12, [4, 8, 12]), (6, [1, 2, 3, 4, 5, 6])]


def test_group_normalization_of_single_channels(net, removes):
    n = net(21)
    x = n.op("GroupNormalization", n.conv("x", 3, 6), n.positive(6), n.weight(6), num_groups=6)
    groups = removes(n.graph(n.head(n.op("Relu", x), 6)))
    assert [(group.size, len(group.counts)) for group in groups.prunable] == [(6, 6)]


def test_group_normalization_before_opset_21():
    """ONNX's checker refuses it, so that it is not made with the others here."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 18]>
        g (float[N,3,8,8] x) => (float[N,6,8,8] y)
           <float[6,3,1,1] w, float[2] s>
        { c = Conv(x, w) n = GroupNormalization<num_groups=2>(c, s, s) y = Relu(n) }"""
    )
    del model.graph.value_info[:]
    for name, shape in (("w", (6, 3, 1, 1)), ("s", (2,))):
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    found = channel_groups(Graph.from_model(model))
    assert found[0].frozen == "reaches GroupNormalization of `n`, whose meaning before opset 21 is deprecated"


def test_a_group_norm_normalises_the_channels_that_stay(net):
    n = net()
    x = n.conv("x", 3, 12)
    y = n.op("Reshape", x, n.ints(0, 4, -1))
    y = n.op("InstanceNormalization", y, n.constant(np.ones(4)), n.constant(np.zeros(4)), epsilon=1e-3)
    y = n.op("Reshape", y, n.ints(-1, 12, 8, 8))
    weight = n.weight(5, 12, 1, 1)
    graph = n.graph(n.op("Conv", y, weight))
    image = np.random.default_rng(0).standard_normal((2, 3, 8, 8), np.float32)
    before = Session(graph, [x]).run({"x": image})[x]
    groups = channel_groups(graph)
    groups.slice({0: KEPT})
    (found,) = Session(graph).run({"x": image}).values()
    weights = next(each for each in n.weights if each.name == weight)
    matrix = np.frombuffer(weights.raw_data, np.float32).reshape(5, 12)[:, KEPT]
    expected = np.einsum("oc,nchw->nohw", matrix, reference(before, KEPT, 4, 1e-3))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_unequal_numbers_in_the_blocks_of_a_group_norm_are_refused(net):
    n = net()
    graph = n.graph(n.head(exported_group_norm(n, n.conv("x", 3, 12), 12, 4), 12))
    with pytest.raises(ValueError, match="blocks of a grouped convolution keep different counts"):
        channel_groups(graph).slice({0: [0, 1, 2, 3, 6, 7, 9, 10]})


def test_a_group_norm_of_one_block(net, removes):
    n = net()
    groups = removes(n.graph(n.head(exported_group_norm(n, n.conv("x", 3, 6), 6, 1), 6)))
    assert [(group.size, len(group.counts)) for group in groups.prunable] == [(6, 6)]


def test_a_group_norm_in_a_residual_stream(net, removes):
    n = net()
    x = n.op("Relu", exported_group_norm(n, n.conv("x", 3, 12), 12, 4))
    x = n.op("Add", x, exported_group_norm(n, n.conv(x, 12, 12), 12, 2))
    groups = removes(n.graph(n.head(n.conv(n.op("Relu", x), 12, 6), 6)), 6)
    # Blocks of three inside of blocks of six: any of the three, and as many in each.
    assert groups.prunable[0].counts == [4, 8, 12]


def test_what_is_between_the_reshapes_of_a_group_norm_is_read_elsewhere(net):
    n = net()
    y = n.op("Reshape", n.conv("x", 3, 6), n.ints(0, 2, -1))
    y = n.op("InstanceNormalization", y, n.positive(2), n.weight(2))
    label = n.nodes[-1].name
    graph = n.graph(n.head(n.op("Reshape", y, n.ints(-1, 6, 8, 8)), 6), n.op("ReduceMax", y, axes=[1]))
    groups = channel_groups(graph)
    assert groups[0].frozen == f"lies along an axis that InstanceNormalization `{label}` normalises over"


def test_instance_norms_of_single_channels(net, removes):
    n = net()
    x = n.op("InstanceNormalization", n.conv("x", 3, 6), n.positive(6), n.weight(6))
    assert [group.size for group in removes(n.graph(n.head(n.op("Relu", x), 6))).prunable] == [6]


def test_layer_norm_over_channels(net, removes):
    n = net()
    x = n.op("Transpose", n.conv("x", 3, 6), perm=[0, 2, 3, 1])
    x = n.op("Transpose", layer_norm(n, x, 6), perm=[0, 3, 1, 2])
    x = n.op("Add", x, n.conv(x, 6, 6, group=6))
    assert [group.size for group in removes(n.graph(n.head(x, 6))).prunable] == [6]


def test_layer_norm_over_all_but_the_batch(net, removes):
    n = net()
    x = n.op("LayerNormalization", n.conv("x", 3, 6), n.positive(6, 8, 8), n.weight(6, 1, 1), axis=1)
    assert [group.size for group in removes(n.graph(n.head(x, 6))).prunable] == [6]


def test_rms_norm_over_channels(net, removes):
    n = net(23)
    x = n.op("Transpose", n.conv("x", 3, 6), perm=[0, 2, 3, 1])
    x = n.op("Transpose", n.op("RMSNormalization", x, n.positive(6)), perm=[0, 3, 1, 2])
    assert [group.size for group in removes(n.graph(n.head(x, 6))).prunable] == [6]


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_a_layer_norm_of_another_precision(net, removes, kind):
    n = net()
    x = n.op("Transpose", n.conv("x", 3, 6), perm=[0, 2, 3, 1])
    operands = [n.op("Cast", each, to=kind) for each in (x, n.positive(6), n.weight(6))]
    x = n.op("Cast", n.op("LayerNormalization", *operands), to=1)
    groups = removes(n.graph(n.head(n.op("Transpose", x, perm=[0, 3, 1, 2]), 6)))
    assert [group.size for group in groups.prunable] == [6]


@pytest.mark.parametrize("square", ["Mul", "Pow"])
def test_layer_norm_node_by_node(net, removes, square):
    n = net()
    groups = removes(n.graph(n.head(written_out(n, n.conv("x", 3, 6), 6, square=square), 6)))
    assert [group.size for group in groups.prunable] == [6]


def test_the_written_out_layer_norm_of_fewer_channels_is_that_of_the_channels_that_stay(net):
    n = net()
    x = n.conv("x", 3, 6)
    graph = n.graph(n.op("Conv", written_out(n, x, 6), n.weight(5, 6, 1, 1)))
    twin = net(17, seed=0)
    y = twin.op("Transpose", twin.conv("x", 3, 6), perm=[0, 2, 3, 1])
    # The same weights in the same order: those of the chain lie as those of the operator.
    y = twin.op("Transpose", layer_norm(twin, y, 6), perm=[0, 3, 1, 2])
    other = twin.graph(twin.op("Conv", y, twin.weight(5, 6, 1, 1)))
    image = np.random.default_rng(0).standard_normal((2, 3, 8, 8), np.float32)
    for each in (graph, other):
        channel_groups(each).slice({0: [0, 2, 5]})
    (one,), (two,) = (Session(each).run({"x": image}).values() for each in (graph, other))
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_statistics_that_are_read(net):
    n = net()
    x = n.op("Transpose", n.conv("x", 3, 6), perm=[0, 2, 3, 1])
    y, mean = n.op("LayerNormalization", x, n.positive(6), n.weight(6), outputs=2)
    label = n.nodes[-1].name
    graph = n.graph(n.head(n.op("Transpose", n.op("Add", y, mean), perm=[0, 3, 1, 2]), 6))
    assert channel_groups(graph)[0].frozen == f"reaches LayerNormalization `{label}`, whose statistics are read"


def test_group_norm_node_by_node(net, removes):
    """As a backend with channels last writes it, in blocks of three: of each the same channels stay."""
    n = net()
    x = n.op("Transpose", n.conv("x", 3, 6), perm=[0, 2, 3, 1])
    blocks = n.op("Reshape", x, n.ints(-1, 8, 8, 2, 3))
    centred = n.op("Sub", blocks, n.op("ReduceMean", blocks, axes=[1, 2, 4]))
    variance = n.op("ReduceMean", n.op("Mul", centred, centred), axes=[1, 2, 4])
    normal = n.op("Div", centred, n.op("Sqrt", n.op("Add", variance, n.constant(np.float32(1e-3)))))
    x = n.op("Mul", n.op("Reshape", normal, n.ints(-1, 8, 8, 6)), n.positive(6))
    x = n.conv(n.op("Transpose", x, perm=[0, 3, 1, 2]), 6, 6)
    assert [group.size for group in removes(n.graph(n.head(x, 6))).prunable] == [3, 6]
