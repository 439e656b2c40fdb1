"""The blocks in which the page folds a graph."""

from __future__ import annotations

from typing import Any

import pytest

from vggc.graph.extras import annotate
from vggc.report.blocks import Blocks, arranged, module_paths


def path_of(found: Blocks, node: int) -> list[str]:
    names, block = [], found.of_node[node]
    while block:
        names.insert(0, found.names[block])
        block = found.parents[block]
    return names


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/layer1/layer1.0/conv1/Conv", ("layer1", "0", "conv1")),
        ("/features/features.0/Conv", ("features", "0")),
        ("Conv_12", ("stage", "4")),
    ],
)
def test_a_module_is_in_names(net: Any, name: str, path: tuple[str, ...]) -> None:
    made = net()
    graph = made.graph(made.op("Relu", made.conv("x", 3, 4)))
    conv, relu = graph.nodes
    conv.name, relu.name = name, ""
    conv.inputs[1].name = "stage.4.conv.weight"
    # A node that names no module belongs to that of the node before it.
    assert module_paths(graph) == [path, path]


@pytest.mark.parametrize(
    ("scopes", "path"),
    [
        ("['', 'layer1', 'layer1.0', 'conv2d']", ("layer1", "0")),
        ("os.system('x')", ()),
        ("['one']", ()),
        ("[1, 2]", ()),
    ],
)
def test_a_module_is_in_scopes(net: Any, scopes: str, path: tuple[str, ...]) -> None:
    made = net()
    graph = made.graph(made.op("Relu", "x"))
    graph.nodes[0].name = ""
    annotate(graph.nodes[0], {"pkg.torch.onnx.name_scopes": scopes})
    assert module_paths(graph) == [path]


def test_a_residual_sum_is_in_the_module_of_its_branch(net: Any) -> None:
    made = net()
    first = made.conv("x", 3, 4)
    graph = made.graph(made.op("Add", first, made.conv(first, 4, 4)))
    for node, weight in zip(graph.nodes, ("a.0.conv.weight", "a.1.conv.weight"), strict=False):
        node.inputs[1].name = weight
    assert module_paths(graph) == [("a", "0"), ("a", "1"), ("a", "1")]


def test_a_module_of_one_entry_is_no_block() -> None:
    found = arranged([("a", "b", "conv"), ("a", "b", "relu"), ("a", "b", "relu"), (), ("c",)])
    assert [path_of(found, node) for node in range(5)] == [["a.b"], ["a.b", "relu"], ["a.b", "relu"], [], []]


def test_no_block_has_many_entries() -> None:
    found = arranged([()] * 5000)
    entries = [list(found.parents).count(block) + list(found.of_node).count(block) for block in range(len(found.names))]
    assert max(entries) <= 60
    assert found.names[found.of_node[4999]] == "nodes 4961 to 5000"
    assert all(parent < block for block, parent in enumerate(found.parents))
