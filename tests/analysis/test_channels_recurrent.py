"""Convolutions and products that feed recurrent operators, as in text recognition (CRNN)."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.analysis.channels import channel_groups
from vggc.analysis.costs import costs
from vggc.calibration.node_matrices import as_matrix
from vggc.data import ArrayDataset
from vggc.execution.session import Session
from vggc.passes.prune_channels import prune_channels
from vggc.passes.reconstruct import reconstruct
from vggc.passes.remove_dead_channels import remove_dead_channels
from vggc.passes.sparsify import sparsify
from vggc.rewrite import Context
from vggc.values import Ratio

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
EACH_OPERATOR = pytest.mark.parametrize("op", list(GATES))


def recurrent(n, op, x, inputs, hidden=5, *, both=True, bias=True, **more):
    """Its states of all steps: (steps, directions, batch, hidden)."""
    directions, rows = (2 if both else 1), GATES[op] * hidden
    parameters = [n.weight(directions, rows, inputs), n.weight(directions, rows, hidden)]
    parameters += [n.weight(directions, 2 * rows)] if bias else []
    more = {"direction": "bidirectional", **more} if both else more
    return n.op(op, x, *parameters, hidden_size=hidden, **more)


def crnn(n, op="LSTM", *, flat=True, channels=8, **more):
    """Convolutions over a line of text, whose columns are the steps of a recurrent operator."""
    x = n.op("Relu", n.conv("x", 1, 6))
    x = n.op("Relu", n.conv(x, 6, channels))
    if flat:
        x = n.op("Reshape", x, n.ints(0, 4 * channels, -1))
    else:
        x = n.op("Squeeze", n.op("MaxPool", x, kernel_shape=[4, 1]), n.ints(2))
    x = recurrent(n, op, n.op("Transpose", x, perm=[2, 0, 1]), 4 * channels if flat else channels, **more)
    both = more.get("both", True)
    x = n.op("Reshape", n.op("Transpose", x, perm=[0, 2, 1, 3]), n.ints(0, 0, -1))
    return n.graph(n.op("MatMul", x, n.weight(10 if both else 5, 7)))


@EACH_OPERATOR
@pytest.mark.parametrize("flat", [True, False])
def test_convolutions_before_a_recurrent_operator(net, removes, op, flat):
    groups = removes(crnn(net(shape=("batch", 1, 4, 12)), op, flat=flat))
    assert [group.size for group in groups.prunable] == [6, 8]
    assert [each.node.op for each in groups[1].consumers] == [op]


def test_lines_of_any_length(net, removes):
    groups = removes(crnn(net(shape=("batch", 1, 4, "width")), "GRU", flat=False, both=False))
    assert [group.size for group in groups.prunable] == [6, 8]


def test_the_work_of_the_state_stays(net):
    n = net(shape=(6, 2, 4))
    x = n.op("Tanh", n.op("MatMul", "x", n.weight(4, 8)))
    graph = n.graph(recurrent(n, "LSTM", x, 8))
    found = channel_groups(graph)
    state = 6 * 2 * 2 * 20 * 5
    assert found.cost({}).macs == 12 * 4 * 8 + 12 * 2 * 20 * 8 + state
    assert found.cost({0: 4}).macs == 12 * 4 * 4 + 12 * 2 * 20 * 4 + state


@EACH_OPERATOR
def test_the_state_says_why_it_stays(net, op):
    n = net(shape=(6, 2, 4))
    x = recurrent(n, op, "x", 4, both=False)
    label = n.nodes[-1].name
    graph = n.graph(n.op("MatMul", n.op("Squeeze", x, n.ints(1)), n.weight(5, 3)))
    found = channel_groups(graph)
    assert found[0].frozen == f"is the state of {op} `{label}`: every step needs all of it"
    assert not found.prunable


def test_steps_stay(net):
    n = net(shape=(2, 6, 4))
    x = n.op("Transpose", n.op("MatMul", "x", n.weight(4, 8)), perm=[2, 0, 1])
    x = recurrent(n, "LSTM", x, 6)
    label = n.nodes[-1].name
    assert channel_groups(n.graph(x))[0].frozen == f"lies along an axis that LSTM `{label}` steps over"


@pytest.mark.parametrize("given", [5, 6, 1])
def test_computed_operands_stay(net, given):
    """States and weights that are computed keep all of their channels."""
    n = net(shape=(2, 2, 4))
    made = n.op("MatMul", "x", n.weight(4, 40 if given == 1 else 5))
    made = n.op("Reshape", made, n.ints(2, 20, -1)) if given == 1 else made
    size = 8 if given == 1 else 4
    data = n.op("MatMul", "x", n.weight(4, size))
    operands = [
        data,
        n.weight(2, 20, size),
        n.weight(2, 20, 5),
        n.weight(2, 40),
        "",
        n.weight(2, 2, 5),
        n.weight(2, 2, 5),
    ]
    operands[given] = made
    x = n.op("LSTM", *operands, hidden_size=5, direction="bidirectional")
    label = n.nodes[-1].name
    reason = {1: f"reaches LSTM `{label}`, whose weights are computed at run time"}.get(
        given, f"is a state of LSTM `{label}`, which keeps all of them"
    )
    assert reason in [group.frozen for group in channel_groups(n.graph(x))]


def test_channels_that_are_zero_go_without_a_trace(net):
    n = net(shape=("batch", 1, 4, 12))
    graph = crnn(n)
    for node in [node for node in graph.nodes if node.op == "Conv"]:
        weight, bias = (graph.array(value).copy() for value in node.inputs[1:])
        weight[[1, 4]], bias[[1, 4]] = 0, 0
        for index, array in ((1, weight), (2, bias)):
            graph.set_input(node, index, graph.constant(array))
    image = np.random.default_rng(0).standard_normal((2, 1, 4, 12), np.float32)
    (before,) = Session(graph).run({"x": image}).values()
    assert remove_dead_channels(graph).changes["remove constant channels"] == 4
    (after,) = Session(graph).run({"x": image}).values()
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_a_constant_input_becomes_a_bias(net, bias):
    n = net(shape=("steps", "batch", 4))
    shift = np.array([0, 0.5, 0, -1, 0, 0], np.float32)
    weight = n.random.normal(size=(4, 6)).astype(np.float32)
    weight[:, 1] = 0
    x = n.op("Add", n.op("MatMul", "x", n.constant(weight)), n.constant(shift))
    graph = n.graph(recurrent(n, "GRU", x, 6, bias=bias, linear_before_reset=1))
    data = np.random.default_rng(0).standard_normal((5, 2, 4), np.float32)
    (before,) = Session(graph).run({"x": data}).values()
    assert remove_dead_channels(graph).changes["remove constant channels"] == 1
    graph.infer_shapes(check=True)
    (after,) = Session(graph).run({"x": data}).values()
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)


def test_inputs_and_weights_as_a_matrix(net):
    """Without a state, an RNN is the activation of the product."""
    n = net(shape=(6, 2, 4))
    x = n.op("RNN", "x", n.weight(2, 5, 4), n.constant(np.zeros((2, 5, 5))), n.weight(2, 10), hidden_size=5,
             direction="bidirectional")  # fmt: skip
    graph = n.graph(x)
    node = graph.nodes[0]
    data = np.random.default_rng(0).standard_normal((6, 2, 4), np.float32)
    product = as_matrix(graph, node)
    both = graph.array(node.inputs[3])
    (states,) = Session(graph).run({"x": data}).values()
    sums = np.arctanh(states).transpose(0, 2, 1, 3).reshape(12, 10) - both[:, 5:].reshape(-1)
    np.testing.assert_allclose(product.results(data), sums, atol=1e-4)
    rows = product.rows(data, data.shape, np.array([3, 7]))
    np.testing.assert_allclose(rows[0] @ product.matrix()[0] + product.bias(), sums[[3, 7]], atol=1e-4)
    product.store(product.matrix(), product.bias())
    (again,) = Session(graph).run({"x": data}).values()
    np.testing.assert_array_equal(again, states)


def _errors(graph, data, **options):
    images = next(iter(data.batches(96, 96)))["x"]
    (reference,) = Session(graph).run({"x": images}).values()
    errors = {}
    for repair in ("none", "bias", "least_squares"):
        pruned = graph.copy()
        prune_channels(pruned, data=data, repair=repair, align=1, **options)
        pruned.tidy()
        pruned.infer_shapes(check=True)
        (found,) = Session(pruned).run({"x": images}).values()
        errors[repair] = float(np.square(found - reference).mean())
    return errors


def images(count=96):
    """Lines whose pixels depend on each other, so that channels can replace channels."""
    random = np.random.default_rng(0)
    smooth = random.standard_normal((count, 1, 1, 12), np.float32)
    return ArrayDataset({"x": smooth + 0.1 * random.standard_normal((count, 1, 4, 12), np.float32)}, None, "lines")


@EACH_OPERATOR
def test_the_repair_of_the_weights_of_inputs(net, op):
    graph = crnn(net(shape=("batch", 1, 4, 12)), op, channels=24)
    full = channel_groups(graph.copy(), {"x": (1, 4, 12)}).cost({}).macs
    assert full == costs(graph).macs
    errors = _errors(graph, images(), macs=Ratio(0.5))
    assert errors["bias"] < errors["none"]
    assert errors["least_squares"] < errors["none"] / 3


def test_reconstruct_solves_a_recurrent_operator(net):
    graph = crnn(net(shape=("batch", 1, 4, 12)), channels=24)
    data = images()
    lines = next(iter(data.batches(96, 96)))["x"]
    pruned = graph.copy()
    prune_channels(pruned, keep=Ratio(0.5), data=data, repair="none", align=1)
    (reference,) = Session(graph).run({"x": lines}).values()
    before, after = pruned.copy(), pruned
    reconstruct(after, data=data, context=Context(original=graph.copy))
    errors = [
        float(np.square(Session(each).run({"x": lines}).popitem()[1] - reference).mean()) for each in (before, after)
    ]
    assert errors[1] < errors[0] / 3


def test_sparsity_leaves_recurrent_weights(net):
    graph = crnn(net(shape=("batch", 1, 4, 12)))
    sparsify(graph, amount=Ratio(0.5))
    weights = graph.array(next(node for node in graph.nodes if node.op == "LSTM").inputs[1])
    assert np.count_nonzero(weights) == weights.size
