"""Two models side by side: planted faults are named, whatever the values are called."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest

from vggc.diff import ModelDiff, diff_models
from vggc.graph import Graph
from vggc.passes.fold_batch_norm import fold_batch_norm


@pytest.fixture
def graph(networks: ModuleType) -> Graph:
    made: Graph = networks.residual_blocks_with_projection()
    return made


def convolutions(graph: Graph) -> list[gs.Node]:
    return [node for node in graph.nodes if node.op == "Conv"]


def renamed(graph: Graph) -> Graph:
    """The same model as another exporter would name it."""
    twin = graph.copy()
    for index, node in enumerate(twin.nodes):
        node.name = f"node_{index}"
        for value in node.outputs:
            value.name = f"val_{index}"
        for value in node.inputs:
            if isinstance(value, gs.Constant):
                value.name = f"p_{value.name}"
    return twin


def scaled_weight(graph: Graph) -> gs.Node:
    node = convolutions(graph)[3]
    graph.set_input(node, 1, graph.constant(graph.array(node.inputs[1]) * np.float32(1.5), "w"))
    return node


def swapped_pads(graph: Graph) -> gs.Node:
    node = next(each for each in convolutions(graph)[2:] if graph.array(each.inputs[1]).shape[2:] == (3, 3))
    node.attrs["pads"] = [0, 0, 2, 2]
    return node


def wrong_axis(graph: Graph) -> gs.Node:
    node = next(each for each in graph.nodes if each.op == "Flatten")
    node.op = "Softmax"
    node.attrs = {"axis": 2}
    return node


def first_node(found: ModelDiff) -> str:
    assert found.numbers is not None and found.numbers.first is not None
    return found.numbers.first.node_before


@pytest.mark.parametrize("rename", [False, True])
@pytest.mark.parametrize(
    ("fault", "told"),
    [(scaled_weight, "input 1 `"), (swapped_pads, "pads: [1, 1, 1, 1] became [0, 0, 2, 2]")],
)
def test_it_names_the_node_with_a_planted_fault(
    graph: Graph, fault: Callable[[Graph], gs.Node], told: str, rename: bool
) -> None:
    wrong = graph.copy()
    label = wrong.label(fault(wrong))
    found = diff_models(graph, renamed(wrong) if rename else wrong)
    assert first_node(found) == label
    (change,) = found.structure.changed
    assert change.before == label and change.matched_by == ("structure" if rename else "name")
    assert len(change.changes) == 1 and change.changes[0].startswith(told)


def softmax_along(axis: int, net: Any) -> Graph:
    made = net()
    x = made.op("Relu", made.conv("x", 3, 6))
    x = made.op("Softmax", x, axis=axis)
    graph: Graph = made.graph(made.head(made.op("Relu", made.conv(x, 6, 4)), 4))
    return graph


@pytest.mark.parametrize("rename", [False, True])
def test_it_names_a_wrong_axis(net: Any, rename: bool) -> None:
    right, wrong = softmax_along(1, net), softmax_along(2, net)
    found = diff_models(right, renamed(wrong) if rename else wrong)
    (softmax,) = [node for node in right.nodes if node.op == "Softmax"]
    assert first_node(found) == right.label(softmax)
    assert [each.changes for each in found.structure.changed] == [("axis: 1 became 2",)]


@pytest.mark.parametrize("rename", [False, True])
def test_the_same_model_has_no_difference(graph: Graph, rename: bool) -> None:
    found = diff_models(graph, renamed(graph) if rename else graph.copy())
    assert found.numbers is not None and found.numbers.first is None
    assert len(found.numbers.values) == len(graph.nodes)
    assert all(each.difference.error == 0 and each.sqnr == math.inf for each in found.numbers.values)
    assert not found.structure.only_before and not found.structure.changed
    assert found.structure.same is not rename


@pytest.mark.parametrize("rename", [False, True])
def test_a_folded_model_computes_the_same(graph: Graph, rename: bool) -> None:
    folded = graph.copy()
    fold_batch_norm(folded)
    folded.tidy()
    found = diff_models(graph, renamed(folded) if rename else folded)
    assert found.numbers is not None and found.numbers.first is None
    # Behind every batch norm stands a Relu or an Add, and these are compared with their like.
    assert len(found.numbers.values) >= sum(node.op in ("Relu", "Add") for node in graph.nodes)
    assert found.structure.operators["BatchNormalization"] == (
        sum(node.op == "BatchNormalization" for node in graph.nodes),
        0,
    )


def test_nodes_are_counted_by_the_line_they_come_from(graph: Graph) -> None:
    folded = graph.copy()
    with folded.stamping({"vggc.line": "my.opt:3", "vggc.pass": "fold_batch_norm"}):
        fold_batch_norm(folded)
    folded.tidy()
    before, after = diff_models(graph, folded).structure.provenance
    assert before == {"original model": len(graph.nodes)}
    assert after["my.opt:3 fold_batch_norm"] == len(convolutions(graph))


def test_the_tolerance_can_be_given(net: Any) -> None:
    def small(scale: float) -> Graph:
        made = net(shape=(2, 3, 4, 4))
        graph: Graph = made.graph(made.op("Mul", "x", made.constant(np.array(scale))))
        return graph

    assert first_node(diff_models(small(1.0), small(1.001))) == "Mul `Mul_3`"
    loose = diff_models(small(1.0), small(1.001), tolerance=0.01)
    assert loose.numbers is not None and loose.numbers.first is None


def test_models_with_other_inputs_are_compared_in_structure_alone(net: Any) -> None:
    def small(shape: tuple[int, ...]) -> Graph:
        made = net(shape=shape)
        graph: Graph = made.graph(made.op("Relu", "x"))
        return graph

    found = diff_models(small((2, 3, 4, 4)), small((2, 5, 4, 4)))
    assert found.numbers is None
    assert found.not_run == (
        "input `x` float32 [2, 3, 4, 4] of the first model does not match `x` float32 [2, 5, 4, 4] of the second"
    )
    assert found.structure.interface[0] == "input `x` float32 [2, 3, 4, 4] became `x` float32 [2, 5, 4, 4]"


def test_a_fault_that_breaks_a_model_is_named_all_the_same(net: Any) -> None:
    def small(*axes: int) -> Graph:
        made = net(shape=(2, 3, 4, 8), opset=18)
        pooled = made.op("ReduceMean", made.conv("x", 3, 6), made.ints(*axes), keepdims=0)
        made.outputs = made.linear(pooled, 6, 5)
        proto = onnx.helper.make_graph(
            made.nodes,
            "net",
            made.inputs,
            [onnx.helper.make_tensor_value_info(made.outputs, onnx.TensorProto.FLOAT, None)],
            made.weights,
        )
        model = onnx.helper.make_model(proto, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
        return Graph.from_model(model)

    found = diff_models(small(2, 3), small(1, 2))
    assert found.numbers is not None
    assert "Gemm `Gemm_11`" in found.numbers.broken
    assert first_node(found) == "ReduceMean `ReduceMean_7`"
    assert [each.before for each in found.numbers.values] == ["conv3", "reducemean6"]
    assert found.numbers.outputs == ()
    told = {each.before.split()[0]: each.changes for each in found.structure.changed}
    assert told["ReduceMean"][0].startswith("input 1 `ints")
    assert told["ReduceMean"][1] == "result float32 [2, 6] became float32 [2, 8]"


def test_fixed_batches_need_not_agree(net: Any) -> None:
    def small(batch: int | str) -> Graph:
        made = net(shape=(batch, 3, 4, 4))
        graph: Graph = made.graph(made.op("Relu", made.conv("x", 3, 4)))
        return graph

    for first, second in ((4, 1), (1, 4), ("n", 2), (2, "n")):
        found = diff_models(small(first), small(second))
        assert found.numbers is not None and found.numbers.first is None


def test_what_is_random_is_not_held_against_the_second(net: Any) -> None:
    def small(scale: float, seed: float) -> Graph:
        made = net(shape=(2, 3, 4, 4))
        noise = made.op("RandomNormalLike", "x")
        kept = made.op("Mul", "x", made.constant(np.array(scale)))
        graph: Graph = made.graph(made.op("Relu", noise), made.op("Neg", kept))
        if seed:
            graph.nodes[0].attrs["seed"] = seed
        return graph

    found = diff_models(small(1.0, 0.0), small(1.0, 7.0))
    assert found.numbers is not None and found.numbers.first is None
    assert [each.random for each in found.numbers.outputs] == [True, False]
    assert first_node(diff_models(small(1.0, 0.0), small(2.0, 7.0))).startswith("Mul ")


def test_everything_is_json(graph: Graph) -> None:
    wrong = graph.copy()
    scaled_weight(wrong)
    told = json.loads(json.dumps(diff_models(graph, wrong).as_dict(), allow_nan=False))
    assert told["numbers"]["first"]["node_before"] == first_node(diff_models(graph, wrong))
    assert {each["sqnr"] for each in told["numbers"]["values"] if each["error"] == 0} == {"inf"}
