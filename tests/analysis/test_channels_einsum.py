"""Einsum as exporters write linear layers and attention with it."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.analysis.channels import channel_groups
from vggc.analysis.costs import costs
from vggc.calibration.matrix import Unsuitable
from vggc.calibration.node_matrices import as_matrix
from vggc.data import ArrayDataset
from vggc.execution.session import Session
from vggc.passes.prune_channels import prune_channels
from vggc.passes.remove_dead_channels import remove_dead_channels
from vggc.values import Ratio


def sizes(groups):
    return [group.size for group in groups.prunable]


@pytest.mark.parametrize(
    ("equation", "shape"), [("bchw,oc->bohw", (7, 6)), ("bchw,co->bohw", (6, 7)), ("oc,bchw->bohw", (7, 6))]
)
def test_a_linear_layer_over_images(net, removes, equation, shape):
    n = net()
    operands = [n.conv("x", 3, 6), n.weight(*shape)]
    x = n.op("Einsum", *(operands[::-1] if equation.startswith("oc") else operands), equation=equation)
    groups = removes(n.graph(n.head(n.op("Relu", x), 7)))
    assert sizes(groups) == [6, 7]
    assert [each.node.op for each in groups[0].consumers] == ["Einsum"]
    assert [each.node.op for each in groups[1].producers] == ["Einsum"]


@pytest.mark.parametrize("equation", ["bnc,cd->bnd", "bnc, cd", "bnc,cd->dbn"])
def test_a_linear_layer_over_rows(net, removes, equation):
    n = net(shape=("batch", 5, 4))
    x = n.op("Tanh", n.op("MatMul", "x", n.weight(4, 6)))
    x = n.op("Einsum", x, n.weight(6, 7), equation=equation)
    rows = n.op(
        "Transpose", x, perm=[1, 2, 0] if equation.endswith("dbn") else [0, 1, 2] if "->" in equation else [0, 2, 1]
    )
    groups = removes(n.graph(n.op("MatMul", rows, n.weight(7, 3))))
    assert sizes(groups) == [6, 7]


def test_attention_by_einsum(net, removes):
    """Heads are an axis of the weights: all of them keep the same of their channels."""
    n = net(shape=("batch", 5, 6))
    query, key, value = (n.op("Einsum", "x", n.weight(6, 2, 4), equation="bnc,chd->bhnd") for _ in range(3))
    weights = n.op("Softmax", n.op("Einsum", query, key, equation="bhnd,bhmd->bhnm"), axis=-1)
    mixed = n.op("Einsum", weights, value, equation="bhnm,bhmd->bhnd")
    groups = removes(n.graph(n.op("Einsum", mixed, n.weight(2, 4, 6), equation="bhnd,hdc->bnc")))
    assert sizes(groups) == [4, 4]


def test_a_weight_for_each_channel(net, removes):
    n = net()
    x = n.op("Einsum", n.conv("x", 3, 6), n.weight(6), equation="bchw,c->bchw")
    assert sizes(removes(n.graph(n.head(x, 6)))) == [6]


def test_what_meets_an_axis_that_cannot_shrink(net):
    n = net()
    x = n.op("Einsum", n.conv("x", 3, 3), "x", equation="bchw,bchw->bc")
    label = n.nodes[-1].name
    assert channel_groups(n.graph(x))[0].frozen == f"meets `x` at Einsum `{label}`, which cannot shrink"


def test_dead_channels_before_an_einsum(net):
    n = net()
    norm = [n.constant(np.array(each, np.float32)) for each in ([1, 0, 2, 1], [0, 0.5, 1, 1], [0] * 4, [1] * 4)]
    x = n.op("BatchNormalization", n.conv("x", 3, 4), *norm)
    x = n.op("Einsum", x, n.weight(5, 4), equation="bchw,oc->bohw")
    graph = n.graph(x)
    image = np.random.default_rng(0).standard_normal((2, 3, 8, 8), np.float32)
    (before,) = Session(graph).run({"x": image}).values()
    assert remove_dead_channels(graph).changes["remove constant channels"] == 1
    (after,) = Session(graph).run({"x": image}).values()
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_the_repair_of_an_einsum(net, bias):
    n = net()
    x = n.op("Relu", n.conv("x", 3, 24))
    x = n.op("Einsum", x, n.weight(16, 24), equation="bchw,oc->bohw")
    x = n.op("Relu", n.op("Add", x, n.weight(16, 1, 1)) if bias else x)
    graph = n.graph(n.head(x, 16))
    images = np.random.default_rng(0).standard_normal((64, 3, 8, 8), np.float32)
    (reference,) = Session(graph).run({"x": images}).values()
    full, errors = costs(graph).macs, {}
    for repair in ("none", "least_squares"):
        pruned = graph.copy()
        data = ArrayDataset({"x": images}, None, "images")
        log = prune_channels(pruned, macs=Ratio(0.6), data=data, repair=repair, align=1)
        pruned.tidy()
        pruned.infer_shapes(check=True)
        assert 0.5 * full < costs(pruned).macs <= 0.6 * full
        (found,) = Session(pruned).run({"x": images}).values()
        errors[repair] = float(np.square(found - reference).mean())
        assert not any("Einsum" in label for label, _ in log.declined)
    assert errors["least_squares"] < errors["none"] / 4


@pytest.mark.parametrize("equation", ["bchw,oc->bohw", "bchw,co->bwho", "bchw,co->bowh"])
def test_an_einsum_as_a_matrix(net, equation):
    n = net()
    x = n.op("Einsum", "x", n.weight(3, 5) if "co" in equation else n.weight(5, 3), equation=equation)
    graph = n.graph(x)
    image = np.random.default_rng(0).standard_normal((2, 3, 8, 8), np.float32)
    (result,) = Session(graph).run({"x": image}).values()
    if equation != "bchw,oc->bohw":
        with pytest.raises(Unsuitable, match="the axes of its result are in another order than those of its data"):
            as_matrix(graph, graph.nodes[0])
        return
    product = as_matrix(graph, graph.nodes[0])
    found = product.rows(image, result.shape)[0] @ product.matrix()[0]
    np.testing.assert_allclose(found, product.results(result), rtol=1e-4, atol=1e-5)
    product.store(product.matrix() * 2, np.arange(5.0))
    graph.infer_shapes(check=True)
    (changed,) = Session(graph).run({"x": image}).values()
    np.testing.assert_allclose(
        changed, 2 * result + np.arange(5, dtype=np.float32).reshape(5, 1, 1), rtol=1e-4, atol=1e-4
    )
