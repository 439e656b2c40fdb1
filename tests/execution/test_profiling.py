"""The time of each node: whose kernel it is, and what a profile of onnxruntime has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vggc.execution.profiling import node_seconds, seconds_by_value
from vggc.graph import Graph


@pytest.fixture
def graph(net: Any) -> Graph:
    made = net(shape=("n", 3, 16, 16))
    found: Graph = made.graph(made.head(made.op("Relu", made.conv("x", 3, 8)), 8))
    found.infer_shapes()
    return found


def kernel(name: str, microseconds: float) -> dict[str, Any]:
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": microseconds}


def test_kernels_count_for_the_node_or_the_value_that_they_are_named_for(graph: Graph) -> None:
    conv, relu, pool = (graph.nodes[index].outputs[0].name for index in range(3))
    # Three runs warm up; of the two others, which are the last, it is the median.
    events = [kernel("vggc:0_token_4", each) for each in (99, 99, 99, 10, 12)]
    events += [kernel(f"{relu}_nchwc", each) for each in (99, 99, 99, 4, 4)]
    events += [kernel("ReorderOutput", 5) for _ in range(5)]
    events += [kernel("vggc:2", each) for each in (9, 9, 9, 1, 2) for _ in range(2)]
    events += [
        {"cat": "Session", "name": "model_run", "dur": 7},
        {"cat": "Node", "name": "vggc:2_fence_before", "dur": 7},
    ]
    found = seconds_by_value(events, graph, runs=2)
    assert found == {
        conv: pytest.approx(11e-6),
        relu: pytest.approx(4e-6),
        "": pytest.approx(5e-6),
        pool: pytest.approx(3e-6),
    }


def test_a_real_profile_has_the_nodes_that_compute(graph: Graph) -> None:
    found = node_seconds(graph, {"x": np.zeros((1, 3, 16, 16), np.float32)}, seconds=0.02)
    values = {value.name: node.op for node in graph.nodes for value in node.outputs}
    # onnxruntime runs the convolution together with its Relu.
    assert (
        {"Gemm"} <= {values[name] for name in found if name} <= {"Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"}
    )
    assert {"Conv", "Relu"} & {values[name] for name in found if name}
    assert all(each > 0 for each in found.values())
