"""What quantizing saves: which product time counts for, and estimates where there is no measurement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vggc.graph import Graph
from vggc.operators.gpu_speed import GPUS
from vggc.quantization import time_saved
from vggc.quantization.node_sensitivity import whole_plan
from vggc.quantization.quantize_graph import Settings
from vggc.quantization.time_saved import (
    conversion_rate,
    differences,
    saved_on_cpu,
    saved_on_gpu,
    seconds_by_product,
)
from vggc.rewrite import Context


def outputs(graph: Graph, op: str) -> list[str]:
    return [node.outputs[0].name for node in graph.nodes if node.op == op]


def test_what_follows_a_product_counts_for_it(net: Any) -> None:
    made = net()
    first = made.op("HardSwish", made.conv("x", 3, 8))
    second = made.conv(first, 8, 8)
    graph = made.graph(made.op("Relu", made.op("Add", first, second)))
    (one, two), (swish,), (add,), (relu,) = (outputs(graph, op) for op in ("Conv", "HardSwish", "Add", "Relu"))
    seconds = {one: 1.0, swish: 2.0, two: 4.0, add: 8.0, relu: 16.0, "": 32.0}
    # A sum counts for the last product before it, as the branch that its kernel is fused into.
    assert seconds_by_product(graph, seconds, {one, two}) == {one: 3.0, two: 28.0}
    assert seconds_by_product(graph, seconds, {two}) == {two: 28.0}


def test_a_product_without_a_kernel_of_its_own_gets_a_share_by_its_multiplications() -> None:
    before, after = {"a": 5.0, "b": 3.0, "c": 1.0}, {"a": 2.0, "b": 4.0}
    macs = {"a": 100, "b": 300, "c": 50, "d": None}
    # a and b together: 2 seconds saved by 400 multiplications.
    assert differences(before, after, macs) == {"a": 3.0, "b": -1.0, "c": pytest.approx(0.25), "d": 0.0}
    assert differences({}, {}, {"a": 7}) == {"a": 0.0}


def test_conversions_have_a_rate(net: Any) -> None:
    made = net(shape=("n", 16, 8, 8))
    step, zero = made.constant(np.float32(0.1)), made.constant(np.uint8(0))
    x = made.op("DequantizeLinear", made.op("QuantizeLinear", "x", step, zero), step, zero)
    graph = made.graph(made.conv(x, 16, 16))
    graph.infer_shapes()
    seconds = {
        graph.nodes[0].outputs[0].name: 3.0,
        graph.nodes[1].outputs[0].name: 1.0,
        graph.nodes[2].outputs[0].name: 7.0,
    }
    assert conversion_rate(graph, seconds) == pytest.approx(4.0 / (2 * 16 * 8 * 8))
    assert conversion_rate(graph, {graph.nodes[2].outputs[0].name: 7.0}) == 0.0


def test_a_product_between_others_saves_their_conversions(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = net(shape=("n", 16, 8, 8))
    step, zero = made.constant(np.float32(0.1)), made.constant(np.uint8(0))
    x = made.op("DequantizeLinear", made.op("QuantizeLinear", "x", step, zero), step, zero)
    first = made.conv(x, 16, 4)
    graph = made.graph(made.conv(first, 4, 8))
    graph.infer_shapes()
    convert, first, last = (graph.nodes[index].outputs[0].name for index in (0, 2, 3))
    times = iter([{first: 5.0, last: 5.0}, {first: 4.0, last: 4.0, convert: 1024.0}])
    monkeypatch.setattr(time_saved, "node_seconds", lambda *_: next(times))
    # One second for each number: the first reads 1024 from a node and gives 256, which the last one reads.
    assert saved_on_cpu(graph, graph, {}, {first, last}) == {first: 1.0 + 1024 + 256, last: 1.0 + 256}


def test_wide_products_save_more_on_a_gpu_than_small_ones(net: Any) -> None:
    made = net(shape=("n", 32, 32, 32))
    x = made.conv("x", 32, 64, bias=False)
    x = made.conv(x, 64, 256, bias=False)
    x = made.conv(x, 256, 256, group=256, bias=False)
    graph = made.graph(made.head(x, 256))
    graph.infer_shapes()
    plan = whole_plan(graph, Context(), Settings("int8", "tensorrt"))
    saved = saved_on_gpu(plan.graph, plan.products, GPUS[86], "float16", "int8")
    names = [product.node.outputs[0].name for product in plan.products]
    assert list(saved) == names
    assert all(each > 0 for each in saved.values())
    small, wide = outputs(graph, "Conv")[:2]
    assert saved[wide] > saved[small]


def test_a_product_of_unknown_shape_counts_as_nothing(net: Any) -> None:
    made = net(shape=("n", 32, "height", "width"))
    graph = made.graph(made.conv("x", 32, 64))
    graph.infer_shapes()
    plan = whole_plan(graph, Context(), Settings("int8", "tensorrt"))
    assert list(saved_on_gpu(plan.graph, plan.products, GPUS[86], "float16", "int8").values()) == [0.0]
