"""Each fact that operators/activations.py states, held against what onnxruntime computes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from vggc.analysis.channels.sweep import OPERATORS as channel_rules
from vggc.analysis.folding.passages import PASSED
from vggc.analysis.ranges.ranges import RULES as range_rules
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64
from vggc.operators.activations import ACTIVATIONS, SCALABLE, UNLIMITED, clamp_limits, saturation
from vggc.operators.fusion import TENSORRT_EPILOGUE
from vggc.operators.kernels import ONNXRUNTIME_INTEGER

OPERANDS = {"attributes": [], "scalars": [-1.5, 2.5], "tensor": [0.25]}
X = np.linspace(-16, 16, 1025, dtype=np.float32)
FACTS = {op: activation for op, activation in ACTIVATIONS.items() if op != "Swish"}
"""Swish is younger than the opsets that onnxruntime runs."""


def graph_of(op: str) -> Graph:
    weights = [
        helper.make_tensor(f"w{index}", TensorProto.FLOAT, [], [number])
        for index, number in enumerate(OPERANDS[ACTIVATIONS[op].operands])
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in "xy")
    node = helper.make_node(op, ["x", *(weight.name for weight in weights)], ["y"])
    opset = helper.make_opsetid("", 22)
    model = helper.make_model(helper.make_graph([node], op, [x], [y], weights), opset_imports=[opset], ir_version=10)
    return Graph.from_model(model)


def computed(op: str, x: Float64 | Array) -> Float64:
    return Session(graph_of(op), threads=1).run({"x": np.asarray(x, np.float32)})["y"].astype(np.float64)


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_it_is_an_operator(op: str) -> None:
    assert onnx.defs.has(op)


@pytest.mark.parametrize("op", [op for op, activation in FACTS.items() if activation.homogeneous])
def test_positive_factors_pass(op: str) -> None:
    assert np.allclose(computed(op, 3 * X), 3 * computed(op, X), rtol=1e-6)


@pytest.mark.parametrize("op", [op for op, activation in FACTS.items() if activation.function])
def test_bounds(op: str) -> None:
    function, lowest_at = ACTIVATIONS[op].function, ACTIVATIONS[op].lowest_at
    assert function is not None
    node, x = graph_of(op).nodes[0], X.astype(np.float64)
    y = function(node, x)
    assert np.allclose(y, computed(op, X), rtol=1e-5, atol=1e-6)
    rises = x >= (-np.inf if lowest_at is None else lowest_at)
    assert (np.diff(y[rises]) >= 0).all() and (np.diff(y[~rises]) <= 0).all()
    with np.errstate(all="ignore"):
        assert not np.isnan(function(node, np.array([-np.inf, np.inf]))).any()


@pytest.mark.parametrize("op", FACTS)
def test_saturation(op: str) -> None:
    graph = graph_of(op)
    low, high = saturation(graph, graph.nodes[0])
    y = computed(op, X)
    assert np.unique(y[low >= X]).size <= 1 and np.unique(y[high <= X]).size <= 1
    assert ACTIVATIONS[op].clamps == (np.array_equal(y, np.clip(X, low, high)) and (low, high) != UNLIMITED)
    assert clamp_limits(graph, graph.nodes[0]) == ((low, high) if ACTIVATIONS[op].clamps else None)


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_one_entry_is_enough(op: str) -> None:
    activation = ACTIVATIONS[op]
    assert op in channel_rules
    assert activation.function is None or op in range_rules
    assert (op in TENSORRT_EPILOGUE) == activation.tensorrt
    assert (op in ONNXRUNTIME_INTEGER) == activation.integer_kernel
    assert (op in PASSED) == (op in SCALABLE) == (activation.homogeneous and activation.operands == "attributes")
