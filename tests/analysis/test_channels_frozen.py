"""What cannot shrink says why, and nothing that reaches it is cut."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from vggc.analysis.channels import channel_groups, groups_table, prove
from vggc.diagnostics import CompileError
from vggc.graph import Graph

THROUGH = "which vggc does not look through"
NEEDS_ALL = "whose result changes when a channel goes"


def reason(graph, group=0):
    return channel_groups(graph)[group].frozen


def test_class_logits(net):
    n = net()
    graph = n.graph(n.head(n.conv("x", 3, 6), 6))
    assert reason(graph, 1) == f"is the graph output `{graph.outputs[0].name}`"


def test_logits_behind_a_softmax(net):
    n = net()
    graph = n.graph(n.op("Softmax", n.head(n.conv("x", 3, 6), 6), axis=1))
    assert reason(graph, 1) == f"reaches Softmax `{graph.nodes[-1].name}`, {NEEDS_ALL}"


@pytest.mark.parametrize(
    ("op", "attributes", "operands"),
    [
        ("LRN", {"size": 3}, []),
        ("Softmax", {"axis": 1}, []),
        ("LogSoftmax", {"axis": 1}, []),
        ("LpNormalization", {"axis": 1}, []),
        ("MeanVarianceNormalization", {"axes": [0, 1, 2, 3]}, []),
        ("ReduceLogSumExp", {"axes": [1]}, []),
        ("ReduceProd", {}, []),
        ("CumSum", {}, [1]),
    ],
)
def test_operators_that_need_all_channels(net, op, attributes, operands):
    n = net()
    more = [n.constant(np.int64(each)) if isinstance(each, int) else n.weight(*each) for each in operands]
    x = n.op(op, n.conv("x", 3, 6), *more, **attributes)
    label = n.nodes[-1].name
    assert reason(n.graph(n.op("Relu", x))) == f"reaches {op} `{label}`, {NEEDS_ALL}"


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax"])
def test_means_and_maxima_of_integers(net, op):
    n = net()
    x = n.op(op, n.op("Cast", n.conv("x", 3, 6), to=6), axes=[1])
    label = n.nodes[-1].name
    assert reason(n.graph(n.op("Cast", x, to=1))) == f"reaches {op} `{label}`, whose numbers are not floats"


def test_arg_max_over_channels(net):
    n = net()
    x = n.op("ArgMax", n.conv("x", 3, 6), axis=1)
    label = n.nodes[-1].name
    assert reason(n.graph(n.op("Cast", x, to=1))) == f"reaches ArgMax `{label}`, {NEEDS_ALL}"


@pytest.mark.parametrize("equation", ["...c,cd->...d", "cc,cd->cd"])
def test_equations_with_dots_and_diagonals(net, equation):
    n = net(shape=(6, 4))
    x = n.op("Einsum", n.op("MatMul", "x", n.weight(4, 6)), n.weight(6, 3), equation=equation)
    label = n.nodes[-1].name
    assert reason(n.graph(x)) == f"reaches Einsum `{label}`, whose equation vggc does not look through"


def test_values_read_inside_a_branch(net):
    n = net()
    x = n.conv("x", 3, 6)

    def branch(op):
        results = [helper.make_tensor_value_info(f"{op}_out", TensorProto.FLOAT, None)]
        return helper.make_graph([helper.make_node(op, [x], [f"{op}_out"])], op, [], results)

    condition = n.op("Greater", n.op("ReduceMax", "x", keepdims=0), n.constant(0.5))
    y = n.op("If", condition, then_branch=branch("Relu"), else_branch=branch("Neg"))
    label = n.nodes[-1].name
    assert reason(n.graph(n.head(y, 6))) == f"reaches If `{label}`, {THROUGH}"


def test_operators_of_other_domains():
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["y"], name="mine", domain="com.example"),
    ]
    weights = [onnx.numpy_helper.from_array(np.ones((4, 6), np.float32), "w")]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", [2, 4]), ("y", None))
    ]
    proto = helper.make_graph(nodes, "foreign", values[:1], values[1:], weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    graph = Graph.from_model(helper.make_model(proto, opset_imports=opsets, ir_version=8))
    assert reason(graph) == f"reaches Relu `mine`, {THROUGH}"


def test_computed_weights(net):
    n = net()
    kernels = n.op("Reshape", n.op("ReduceMean", "x", axes=[0, 2, 3]), n.ints(1, 3, 1, 1))
    x = n.op("Concat", kernels, kernels, axis=1)
    y = n.op("Conv", n.conv("x", 3, 6), x)
    label = n.nodes[-1].name
    assert reason(n.graph(y)) == f"reaches Conv `{label}`, whose weights are computed at run time"


def test_channels_added_to_the_input(net):
    n = net(shape=("batch", 6, 8, 8))
    x = n.op("Add", n.conv("x", 6, 6), "x")
    label = n.nodes[-1].name
    assert reason(n.graph(n.head(x, 6))) == f"meets `x` at Add `{label}`, which cannot shrink"


def test_what_is_unified_is_frozen_as_one(net):
    n = net()
    x, y = n.conv("x", 3, 6), n.conv("x", 3, 6)
    total = n.op("Add", x, y)
    graph = n.graph(n.op("LRN", y, size=3), n.head(total, 6))
    groups = channel_groups(graph)
    assert [each.node.op for each in groups[0].producers] == ["Conv", "Conv"]
    assert groups[0].frozen is not None and "LRN" in groups[0].frozen


def test_a_part_that_is_needed_whole_stays(net, removes):
    n = net()
    first, second = n.op("Split", n.conv("x", 3, 9), n.ints(4, 5), outputs=2, axis=1)
    groups = removes(n.graph(n.head(n.op("Softmax", first, axis=1), 4, 2), n.head(n.op("Relu", second), 5, 2)))
    assert list(groups[0].pinned) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="an atom that must stay is removed"):
        groups.slice({0: [1, 2, 3, 4, 5]})


def test_unknown_shapes(net):
    n = net(shape=("batch", 3, 8, 8))
    n.inputs.append(helper.make_tensor_value_info("shape", TensorProto.INT64, [2]))
    x = n.op("Reshape", n.conv("x", 3, 6), "shape")
    label = n.nodes[-1].name
    assert reason(n.graph(x)) == f"reaches Reshape `{label}`, whose shape is not known before it runs"


def test_channels_merged_with_a_dynamic_axis(net):
    n = net(shape=("batch", 3, "height", "width"))
    x = n.op("Flatten", n.conv("x", 3, 6))
    label = n.nodes[-1].name
    assert reason(n.graph(n.op("Relu", x))) == f"reaches Flatten `{label}`, whose shape is not known before it runs"


def test_a_batch_norm_in_training_mode(net):
    n = net()
    x = n.conv("x", 3, 6)
    parameters = [n.positive(6), n.weight(6), n.weight(6), n.positive(6)]
    x = n.op("BatchNormalization", x, *parameters, outputs=3, training_mode=1)[0]
    label = n.nodes[-1].name
    assert reason(n.graph(n.head(x, 6))) == f"reaches BatchNormalization `{label}`, which is in training mode"


def test_a_frozen_group_refuses_to_shrink(net):
    n = net()
    groups = channel_groups(n.graph(n.op("LRN", n.conv("x", 3, 6), size=3)))
    with pytest.raises(ValueError, match="the group is frozen: it reaches LRN"):
        groups.slice({0: [0, 1]})
    assert groups[0].fewest == 6


def test_groups_without_a_single_channel_to_spare(net):
    n = net()
    x = n.op("Mul", n.conv("x", 3, 6), n.op("Sigmoid", n.conv("x", 3, 1)))
    groups = channel_groups(n.graph(n.head(x, 6)))
    # One channel that opens all the others is no group at all.
    assert [group.size for group in groups] == [6, 5]


def test_the_proof_fails_where_a_dependency_was_missed(net):
    n = net()
    graph = n.graph(n.head(n.op("Relu", n.conv("x", 3, 6)), 6))
    groups = channel_groups(graph)
    masked = groups.masked({0: [0, 1, 2]})
    groups.slice({0: [0, 1, 3]})
    with pytest.raises(CompileError, match="changed output `gemm13` more than their absence explains"):
        prove(masked, graph)


def test_table(net):
    n = net()
    x = n.op("Relu", n.conv("x", 3, 8, group=1))
    x = n.op("Gather", n.conv(x, 8, 12, group=4), n.ints(*range(12)), axis=1)
    graph = n.graph(n.head(x, 12))
    rows = groups_table(graph)
    assert [(row.size, row.prunable, row.note) for row in rows] == [
        (8, True, "4 blocks must shrink alike: 2 widths"),
        (12, True, "4 blocks must shrink alike: 3 widths"),
        (5, False, f"is the graph output `{graph.outputs[0].name}`"),
    ]
    # A channel of the second convolution: 2 x 9 weights and a bias, 5 weights of the classifier.
    assert (rows[1].params, rows[1].macs) == (18 + 1 + 5, 64 * 18 + 5)
    assert rows[1].producers == (graph.label(graph.nodes[2]),)


@pytest.mark.parametrize("op", ["Div", "Mod"])
@pytest.mark.parametrize(("number", "divisor"), [(5, 0), (-(2**63), -1)])
def test_divisions_that_end_a_process_are_not_computed(op, number, divisor):
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17]>
        g (int64[1] x) => (int64[1] y) <int64[1] a = {{{number}}}, int64[1] b = {{{divisor}}}>
        {{ c = {op} (a, b) y = Add (x, c) }}"""
    )
    groups = channel_groups(Graph.from_model(model))
    assert not groups.swept.statics.is_static(groups.graph.nodes[0].outputs[0])
