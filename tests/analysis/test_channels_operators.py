"""One operator, or one use of it, a test: random channels go, and the result equals the masked original."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from vggc.analysis.channels import channel_groups


def sizes(groups, prunable=True):
    return sorted(group.size for group in groups if (group.frozen is None) == prunable)


# --- weights ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_transposed_convolutions(net, removes, bias):
    n = net()
    x = n.op("Relu", n.conv("x", 3, 6, strides=[2, 2]))
    x = n.op("ConvTranspose", x, n.weight(6, 7, 2, 2), *([n.weight(7)] if bias else []), strides=[2, 2])
    assert sizes(removes(n.graph(n.conv(n.op("Relu", x), 7, 2)))) == [6, 7]


def test_grouped_transposed_convolution(net, removes):
    n = net()
    x = n.op("Relu", n.conv("x", 3, 6))
    x = n.op("ConvTranspose", x, n.weight(6, 4, 2, 2), n.weight(8), strides=[2, 2], group=2)
    groups = removes(n.graph(n.conv(n.op("Relu", x), 8, 2)))
    assert [group.counts for group in groups.prunable] == [[2, 4, 6], [2, 4, 6, 8]]


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_convolutions(net, removes, op, multiplier):
    n = net()
    x = n.conv("x", 3, 5)
    shape = (5 * multiplier, 1, 3, 3) if op == "Conv" else (5, multiplier, 3, 3)
    x = n.op(op, x, n.weight(*shape), n.weight(5 * multiplier), group=5, pads=[1, 1, 1, 1])
    groups = removes(n.graph(n.head(n.op("Relu", x), 5 * multiplier)))
    assert sizes(groups) == [5]
    assert [each.depthwise for each in groups[0].carriers] == [True]


def test_grouped_convolution_keeps_equal_counts_of_any_channels(net, removes):
    n = net()
    x = n.op("Relu", n.conv(n.op("Relu", n.conv("x", 3, 8)), 8, 12, group=4))
    graph = n.graph(n.head(x, 12))
    groups = removes(graph)
    assert [group.counts for group in groups.prunable] == [[4, 8], [4, 8, 12]]
    kept = groups[1].best(np.arange(12.0) % 5, 8)
    assert [sum(each // 3 == block for each in kept) for block in range(4)] == [2, 2, 2, 2]
    with pytest.raises(ValueError, match="different counts"):
        groups.slice({1: [0, 1, 2, 3, 4, 5, 6, 9]})


def test_one_dimensional_and_volumetric_convolutions(net, removes):
    for spatial in ((9,), (4, 4, 4)):
        n = net(shape=("batch", 3, *spatial))
        kernel = [1] * len(spatial)
        x = n.op("Relu", n.op("Conv", "x", n.weight(6, 3, *kernel), n.weight(6)))
        assert sizes(removes(n.graph(n.op("Conv", x, n.weight(2, 6, *kernel))))) == [6]


@pytest.mark.parametrize("shape", [(), (1,), (7,), (1, 7)])
def test_gemm_addends(net, removes, shape):
    n = net(shape=("batch", 4))
    x = n.op("Gemm", "x", n.weight(4, 7), n.weight(*shape) if shape else n.constant(0.5), alpha=0.5, beta=2.0)
    assert sizes(removes(n.graph(n.linear(n.op("Tanh", x), 7, 3)))) == [7]


def test_gemm_of_a_transposed_operand_with_an_addend_for_each_row(net, removes):
    n = net(shape=(4, 5))
    x = n.op("Gemm", "x", n.weight(4, 6), n.weight(5, 6), transA=1)
    x = n.op("Gemm", n.op("Transpose", n.op("Tanh", x)), n.weight(7, 6), n.weight(5, 7), transA=1, transB=1)
    assert sizes(removes(n.graph(n.op("Gemm", x, n.weight(7, 2))))) == [6, 7]


def test_gemm_of_two_computed_operands(net, removes):
    n = net(shape=(4, 5))
    one, other = n.op("MatMul", "x", n.weight(5, 6)), n.op("MatMul", "x", n.weight(5, 6))
    # The rows of both are walked together; their columns are the rows and columns of the result.
    product = n.op("Gemm", one, other, transA=1)
    product = n.op("MatMul", n.op("Tanh", product), n.weight(6, 3))
    groups = removes(n.graph(n.op("MatMul", n.constant(np.ones((2, 6))), product)))
    assert sizes(groups) == [6, 6]


def test_matmul_with_the_constant_on_the_left(net, removes):
    n = net(shape=("batch", 6, 5))
    x = n.op("Tanh", n.op("MatMul", n.weight(7, 6), "x"))
    assert sizes(removes(n.graph(n.op("MatMul", n.weight(2, 7), x)))) == [7]


def test_matmul_with_a_vector(net, removes):
    n = net(shape=("batch", 6))
    x = n.op("Tanh", n.op("MatMul", "x", n.weight(6, 7)))
    assert sizes(removes(n.graph(n.op("MatMul", x, n.weight(7))))) == [7]


def test_attention(net, removes):
    n = net(shape=("batch", 5, 8))

    def heads(weights, order):
        x = n.op("Reshape", n.op("MatMul", "x", weights), n.ints(0, 0, 2, 6))
        return n.op("Transpose", x, perm=order)

    query, key = heads(n.weight(8, 12), [0, 2, 1, 3]), heads(n.weight(8, 12), [0, 2, 3, 1])
    scores = n.op("Div", n.op("MatMul", query, key), n.op("Sqrt", n.constant(6.0)))
    mixed = n.op("MatMul", n.op("Softmax", scores), heads(n.weight(8, 12), [0, 2, 1, 3]))
    mixed = n.op("Reshape", n.op("Transpose", mixed, perm=[0, 2, 1, 3]), n.ints(0, 0, 12))
    groups = removes(n.graph(n.op("MatMul", mixed, n.weight(12, 3))))
    # An atom is a place in all heads: of queries and keys together, of values by themselves.
    assert sizes(groups) == [6, 6]


def test_a_scale_computed_from_the_width_stays_what_it_was(net, removes):
    n = net(shape=("batch", 5, 8))
    query, key = n.op("MatMul", "x", n.weight(8, 6)), n.op("MatMul", "x", n.weight(8, 6))
    width = n.op("Sqrt", n.op("Cast", n.op("Gather", n.op("Shape", query), n.constant(np.int64(-1))), to=1))
    scores = n.op("Div", n.op("MatMul", query, n.op("Transpose", key, perm=[0, 2, 1])), width)
    assert sizes(removes(n.graph(n.op("MatMul", n.op("Softmax", scores), "x")))) == [6]


def test_embedding(net, removes):
    n = net(shape=("batch", 5))
    indices = n.op("Cast", n.op("Clip", "x", n.constant(0.0), n.constant(9.0)), to=7)
    x = n.op("Add", n.op("Gather", n.weight(10, 6), indices, axis=0), n.weight(1, 5, 6))
    groups = removes(n.graph(n.op("MatMul", n.op("Tanh", x), n.weight(6, 3))))
    assert sizes(groups) == [6]
    assert groups.prunable[0].producers[0].node.op == "Gather"


# --- element by element -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 1, 1), (1, 6, 1, 1), (6, 8, 8), (1, 1, 1), (1,), ()])
def test_constants_that_broadcast(net, removes, shape):
    n = net()
    constant = n.weight(*shape) if shape else n.constant(1.5)
    assert sizes(removes(n.graph(n.head(n.op("Sub", constant, n.conv("x", 3, 6)), 6)))) == [6]


def test_per_channel_parameters(net, removes):
    n = net()
    x = n.op("PRelu", n.conv("x", 3, 6), n.weight(6, 1, 1))
    x = n.op("InstanceNormalization", x, n.positive(6), n.weight(6))
    assert sizes(removes(n.graph(n.head(n.op("Mul", n.op("Exp", x), n.positive(1)), 6)))) == [6]


def test_many_operands_and_conditions(net, removes):
    n = net()
    x, y, z = (n.conv("x", 3, 6) for _ in range(3))
    x = n.op("Where", n.op("Greater", x, n.constant(0.0)), n.op("Max", x, y, z), n.op("Sum", x, y, n.weight(6, 1, 1)))
    assert sizes(removes(n.graph(n.head(x, 6)))) == [6]


@pytest.mark.parametrize("axis", [1, None])
def test_quantized_activations_and_weights(net, removes, axis):
    n = net()
    x = n.conv("x", 3, 6)
    scale = n.constant(np.full(6 if axis else (), 0.02))
    zero = n.constant(np.zeros(6 if axis else (), np.int8))
    x = n.op("DequantizeLinear", n.op("QuantizeLinear", x, scale, zero, axis=1), scale, zero, axis=1)
    weights = n.constant(n.random.integers(-90, 90, (7, 6, 3, 3)).astype(np.int8))
    weights = n.op("DequantizeLinear", weights, n.positive(7), axis=0)
    x = n.op("Relu", n.op("Mul", n.op("Conv", x, weights), n.constant(0.01)))
    graph = n.graph(n.head(x, 7))
    assert sizes(removes(graph)) == [6, 7]
    channel_groups(graph).slice({0: [0, 2], 1: [1, 3, 5]})
    # The weights are still 8-bit numbers behind a scale for each channel that is left.
    held = [node.inputs[0] for node in graph.nodes if node.op == "DequantizeLinear"]
    assert [(list(each.shape), each.dtype) for each in held if len(each.shape) == 4][-1] == ([3, 2, 3, 3], np.int8)


def test_weights_quantized_in_blocks_stay(net):
    n = net(21, shape=("batch", 8))
    x = n.op("Relu", n.op("MatMul", "x", n.weight(8, 8)))
    weights = n.constant(n.random.integers(-90, 90, (8, 4)).astype(np.int8))
    weights = n.op("DequantizeLinear", weights, n.positive(2, 4), axis=0, block_size=4)
    groups = channel_groups(n.graph(n.op("MatMul", x, weights)))
    assert groups[0].frozen == "reaches MatMul `MatMul_11`, whose weights are quantized in blocks"


# --- parts and wholes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("opset", "form"), [(11, "attribute"), (13, "input"), (13, "equal"), (18, "count")])
def test_split(net, removes, opset, form):
    n = net(opset)
    x = n.conv("x", 3, 9)
    given = [n.ints(3, 6)] if form == "input" else []
    more = {"attribute": {"split": [3, 6]}, "count": {"num_outputs": 2}}.get(form, {})
    parts = n.op("Split", x, *given, outputs=3 if form == "equal" else 2, axis=1, **more)
    widths = {"equal": [3, 3, 3], "count": [5, 4]}.get(form, [3, 6])
    heads = [n.head(part, width, 2) for part, width in zip(parts, widths, strict=True)]
    assert sizes(removes(n.graph(n.op("Sum", *heads)))) == [9]


@pytest.mark.parametrize("given", [4, (4, 5), (2, 3, 4)])
def test_parts_in_a_sequence(net, removes, given):
    n = net()
    x = n.op("Relu", n.conv("x", 3, 9))
    sequence = n.op("SplitToSequence", x, n.constant(np.array(given, np.int64)), axis=1)
    widths = given if isinstance(given, tuple) else (4, 4, 1)
    parts = [n.op("SequenceAt", sequence, n.constant(np.int64(index))) for index in (0, len(widths) - 1)]
    total = n.op("Add", n.head(parts[0], widths[0], 2), n.head(parts[1], widths[-1], 2))
    assert sizes(removes(n.graph(total))) == [9]


@pytest.mark.parametrize(
    ("start", "end", "step"), [(0, 4, 1), (2, 1 << 40, 1), (-5, -1, 1), (1, 9, 2), (8, 2, -1), (-1, -100, -3)]
)
def test_slices_of_channels(net, removes, start, end, step):
    n = net()
    bounds = [n.ints(each) for each in (start, end, 1, step)]
    width = len(range(9)[start : end if end > -9 else None : step])
    x = n.op("Slice", n.conv("x", 3, 9), *bounds)
    assert sizes(removes(n.graph(n.head(n.op("Relu", x), width)), rounds=3)) == [9]


def test_slices_by_attribute(net, removes):
    n = net(9)
    x = n.op("Slice", n.conv("x", 3, 9), starts=[2, 0], ends=[7, 6], axes=[1, 2])
    assert sizes(removes(n.graph(n.head(x, 5)))) == [9]


def test_gathered_channels(net, removes):
    n = net()
    x = n.op("Gather", n.conv("x", 3, 9), n.ints(8, 0, 3, 3, -2), axis=1)
    assert sizes(removes(n.graph(n.head(x, 5)))) == [9]


def test_a_channel_picked_by_its_number_stays(net, removes):
    n = net()
    x = n.conv("x", 3, 6)
    one = n.op("Unsqueeze", n.op("Gather", x, n.constant(np.int64(4)), axis=1), n.ints(1))
    groups = removes(n.graph(n.head(n.op("Mul", x, one), 6)))
    assert list(groups[0].pinned) == [4]
    assert groups[0].pinned_by == "is picked by its number at Gather `Gather_7`"


def test_the_same_value_twice_in_a_concat(net, removes):
    n = net()
    x = n.conv("x", 3, 6)
    x = n.op("Concat", x, n.op("Neg", x), n.constant(np.ones((1, 2, 8, 8))), axis=1)
    n.inputs[0].type.tensor_type.shape.dim[0].dim_value = 1
    assert sizes(removes(n.graph(n.head(n.op("Relu", x), 14)))) == [6]


@pytest.mark.parametrize("opset", [10, 17])
def test_padded_channels_of_a_parameterless_shortcut(net, removes, opset):
    n = net(opset)
    x = n.op("Relu", n.conv("x", 3, 4))
    amounts = [0, 2, 0, 0, 0, 3, 0, 0]
    y = n.op("Pad", x, pads=amounts) if opset < 11 else n.op("Pad", x, n.ints(*amounts))
    x = n.op("Relu", n.op("Add", y, n.conv(x, 4, 9)))
    # Two channels of zeros before, three behind: any of them may go with those they are added to.
    assert sizes(removes(n.graph(n.head(x, 9)))) == [9]


def test_cropped_channels(net, removes):
    n = net()
    x = n.op("Pad", n.conv("x", 3, 9), n.ints(0, -2, 0, 0, 0, -3, 1, 0))
    assert sizes(removes(n.graph(n.head(x, 4)))) == [9]


def test_tiled_and_expanded_values(net, removes):
    n = net()
    x = n.op("Tile", n.conv("x", 3, 4), n.ints(1, 3, 1, 1))
    gate = n.op("Expand", n.conv("x", 3, 1), n.ints(1, 12, 1, 1))
    groups = removes(n.graph(n.head(n.op("Mul", x, n.op("Sigmoid", gate)), 12)))
    assert sizes(groups) == [4]


# --- moving elements ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["SpaceToDepth", "DCR", "CRD", "reshape"])
def test_channels_to_space_and_back(net, removes, op):
    n = net()
    x = n.conv("x", 3, 12)
    width = 3
    if op == "SpaceToDepth":
        x, width = n.op(op, x, blocksize=2), 48
    elif op == "reshape":
        x = n.op("Reshape", x, n.ints(0, 3, 2, 2, 8, 8))
        x = n.op("Reshape", n.op("Transpose", x, perm=[0, 1, 4, 2, 5, 3]), n.ints(0, 3, 16, 16))
    else:
        x = n.op("DepthToSpace", x, blocksize=2, mode=op)
    groups = removes(n.graph(n.head(n.op("Relu", x), width)))
    assert sizes(groups) == ([12] if op == "SpaceToDepth" else [3])


@pytest.mark.parametrize("target", [(-1, 96), (0, 96), (0, -1), (0, 6, 16), (0, 3, 2, -1)])
def test_reshapes_into_a_classifier(net, removes, target):
    n = net()
    x = n.op("MaxPool", n.conv("x", 3, 6), kernel_shape=[2, 2], strides=[2, 2])
    x = n.op("Reshape", n.op("Reshape", x, n.ints(*target)), n.ints(0, 96))
    groups = removes(n.graph(n.linear(x, 96, 3)))
    reader = groups[0].consumers[0]
    # Blocks of 16 columns, or, once the channels were split for no good reason, what that leaves.
    assert reader.inputs is not None and len(reader.inputs) == 96
    assert sizes(groups) == ([3] if target == (0, 3, 2, -1) else [6])


def test_squeezed_features(net, removes):
    n = net()
    x = n.op("Squeeze", n.op("GlobalAveragePool", n.conv("x", 3, 6)), n.ints(2, 3))
    x = n.op("Unsqueeze", n.op("ReduceMean", n.op("Unsqueeze", x, n.ints(1)), axes=[1], keepdims=0), n.ints(0))
    assert sizes(removes(n.graph(n.op("MatMul", x, n.weight(6, 2))))) == [6]


def test_sums_over_channels(net, removes):
    n = net()
    x = n.op("ReduceSum", n.conv("x", 3, 6), n.ints(1))
    y = n.op("ReduceL2", n.conv("x", 3, 7), axes=[1], keepdims=1)
    assert sizes(removes(n.graph(n.op("Add", x, y)))) == [6, 7]


@pytest.mark.parametrize("opset", [9, 10, 17, 19])
def test_resizing(net, removes, opset):
    n = net(opset)
    x = n.conv("x", 3, 6)
    scales = n.constant([1.0, 1.0, 2.0, 2.0])
    if opset == 9:
        x = n.op("Upsample", x, scales, mode="nearest")
    elif opset == 19:
        x = n.op("Resize", x, "", n.constant([2.0, 2.0]), mode="linear", axes=[2, 3])
    else:
        x = n.op("Resize", x, *([] if opset == 10 else [""]), scales, mode="nearest")
    assert sizes(removes(n.graph(n.head(n.op("Relu", x), 6)))) == [6]


def test_all_readers_of_a_weight_keep_the_same_channels(net, removes):
    n = net()
    weights, bias = n.weight(6, 6, 3, 3), n.weight(6)
    x = n.conv("x", 3, 6)
    for _ in range(2):
        x = n.op("Relu", n.op("Conv", x, weights, bias, pads=[1, 1, 1, 1]))
    graph = n.graph(n.head(x, 6))
    assert sizes(removes(graph)) == [6]
    channel_groups(graph).slice({0: [0, 1]})
    readers = [node for node in graph.nodes if node.op == "Conv"][1:]
    assert readers[0].inputs[1] is readers[1].inputs[1]


def test_a_head_that_several_levels_share_is_one_group(net, removes):
    n = net()
    levels = [n.conv("x", 3, 8), n.conv("x", 3, 8)]
    first, second = n.weight(8, 8, 3, 3), n.weight(4, 8, 1, 1)
    heads = []
    for level in levels:
        inner = n.op("Relu", n.op("Conv", n.op("Relu", level), first, pads=[1, 1, 1, 1]))
        heads.append(n.op("Conv", inner, second))
    graph = n.graph(n.op("Concat", *heads, axis=1))
    groups = removes(graph)
    assert sizes(groups) == [8, 8]
    params = groups.cost({}).params
    assert groups.cost({each.id: list(range(4)) for each in groups.prunable}).params < params


def test_a_weight_that_one_reader_needs_whole_is_kept(net):
    n = net()
    weights = n.weight(6, 6, 3, 3)
    x = n.op("Relu", n.conv("x", 3, 6))
    y = n.op("Conv", x, weights, pads=[1, 1, 1, 1])
    graph = n.graph(n.op("Conv", n.op("Relu", y), weights, pads=[1, 1, 1, 1]))
    assert not channel_groups(graph).prunable


def test_quantized_weights_that_are_shared_make_one_group(net, removes):
    n = net()
    stored = n.constant(n.random.integers(-127, 127, (4, 6, 1, 1)).astype(np.int8))
    scale, zero = n.constant(np.float32(0.01)), n.constant(np.int8(0))
    # Each reader has its own DequantizeLinear, but the model has the numbers once.
    weights = [n.op("DequantizeLinear", stored, scale, zero) for _ in range(2)]
    heads = [n.op("Relu", n.op("Conv", n.conv("x", 3, 6), each)) for each in weights]
    assert sizes(removes(n.graph(n.head(n.op("Add", *heads), 4)))) == [4, 6]


def test_shared_weights_stay_complete_where_one_node_needs_all_of_them(net):
    n = net()
    weights = n.weight(4, 3, 1, 1)
    levels = n.conv("x", 3, 3), "x"
    outputs = [n.op("Conv", level, weights) for level in levels]
    groups = channel_groups(n.graph(n.head(n.op("Add", *outputs), 4)))
    frozen = {group.size: group.frozen for group in groups if group.frozen and "shares" in group.frozen}
    assert list(frozen) == [3]
    assert frozen[3].startswith("shares its weights with Conv `")


def test_a_shared_bias_is_copied_where_readers_disagree(net, removes):
    n = net()
    bias = n.weight(6)
    x = "x"
    for into in (3, 6):
        x = n.op("Relu", n.op("Conv", x, n.weight(6, into, 1, 1), bias))
    assert sizes(removes(n.graph(n.head(x, 6)))) == [6, 6]


def test_a_blur_filter_that_unrelated_nodes_share_makes_no_group_of_them(net, removes):
    n = net()
    blur = n.constant(np.full((6, 1, 3, 3), 1 / 9))
    x = "x"
    for into in (3, 6):
        x = n.op("Relu", n.op("Conv", n.conv(x, into, 6), blur, group=6, pads=[1, 1, 1, 1]))
    assert sizes(removes(n.graph(n.head(x, 6)))) == [6, 6]


def test_provenance_tells_the_old_channels(net):
    n = net()
    graph = n.graph(n.head(n.conv("x", 3, 6), 6))
    assert channel_groups(graph).slice({0: [5, 1, 2]}) == {graph.nodes[0].name: [1, 2, 5]}


def test_half_precision(net, removes):
    n = net()
    x = n.op("Cast", "x", to=helper.np_dtype_to_tensor_dtype(np.dtype(np.float16)))
    x = n.op("Conv", x, n.constant(n.random.normal(size=(6, 3, 1, 1)).astype(np.float16)))
    weights = n.op("Cast", n.constant(n.random.normal(size=(4, 6, 1, 1)).astype(np.float16)), to=1)
    groups = removes(n.graph(n.op("Conv", n.op("Cast", x, to=1), weights)))
    assert sizes(groups) == [6]
