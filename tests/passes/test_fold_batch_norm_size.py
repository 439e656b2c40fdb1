"""A fold must be worth its bytes: what constants for the border of padded convolutions may add to a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from vggc.execution.model_comparison import compare
from vggc.graph import Graph
from vggc.passes.fold_batch_norm import fold_batch_norm
from vggc.rewrite import ChangeLog

MAP = 2 * 250 * 250 * 4
"""Bytes of one constant below: half a megabyte, of which two fit into the 1 MiB that is always allowed."""


def chain(first: str, convolutions: int, **weights: Any) -> Graph:
    """`first` in front of each of several convolutions that pad: each would add a constant of `MAP` bytes."""
    random = np.random.default_rng(7)
    nodes, value = "", "x"
    for at in range(convolutions):
        before = first.replace("$", value).replace("#", str(at))
        last = f"d{at}" if "d#" in first else f"n{at}"
        nodes += f" n{at} = {before} c{at} = Conv<pads=[1,1,1,1]>({last}, w) r{at} = Sigmoid(c{at})"
        value = f"r{at}"
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> g (float[1,2,250,250] x) => (float[1,2,250,250] {value}) {{{nodes}}}'
    )
    arrays = {"w": random.standard_normal((2, 2, 3, 3)), **weights}
    named = [numpy_helper.from_array(np.asarray(each, np.float32), name) for name, each in arrays.items()]
    model.graph.initializer.extend(named)
    graph = Graph.from_model(model)
    graph.infer_shapes()
    return graph


def fold(graph: Graph, **options: Any) -> tuple[ChangeLog, int]:
    """Fold, compare with what was there before, and return the log and by how many bytes the constants grew."""
    before, bytes_before = graph.copy(), size(graph)
    log = fold_batch_norm(graph, **options)
    graph.tidy()
    found = compare(before, graph, [{"x": np.random.default_rng(1).standard_normal((1, 2, 250, 250), np.float32)}])
    assert found.ok
    return log, size(graph) - bytes_before


def size(graph: Graph) -> int:
    return sum(int(np.prod(each.shape)) * 4 for each in graph.constants())


NORM = {name: [0.5, 2.0] for name in ("scale", "shift", "mean", "var")}
CHANNELS = {"s": np.reshape([0.5, 2.0], (2, 1, 1)), "t": np.reshape([1.5, 3.0], (2, 1, 1))}
KINDS = [
    ("BatchNormalization($, scale, shift, mean, var)", NORM, "BatchNormalization"),
    ("Mul($, s) d# = Add(n#, t)", CHANNELS, "Mul"),
]
"""What stands before each convolution (`#` is its number), its weights, and an operator of it."""


@pytest.mark.parametrize(("first", "weights", "op"), KINDS)
def test_constants_for_borders_share_a_budget(first: str, weights: dict[str, Any], op: str) -> None:
    graph = chain(first, 5, **weights)
    log, grown = fold(graph)
    assert MAP < grown < 1 << 20
    assert sum(node.op == op for node in graph.nodes) == 3
    kept = [reason for _, reason in log.declined.elements()]
    assert len(kept) == 3
    assert all("would take 500 kB, more than the fold is worth (`largest=` allows more)" in each for each in kept)


@pytest.mark.parametrize(("first", "weights", "op"), KINDS)
def test_largest_is_for_all_of_them_together(first: str, weights: dict[str, Any], op: str) -> None:
    graph = chain(first, 5, **weights)
    log, grown = fold(graph, largest=5 * MAP)
    assert 5 * MAP - 1000 < grown < 5 * MAP + 1000
    assert not log.declined and not any(node.op == op for node in graph.nodes)

    graph = chain(first, 5, **weights)
    fold(graph, largest=4 * MAP)
    assert sum(node.op == op for node in graph.nodes) == 1
