"""Which values and weights of a graph are quantized, for the targets of its recipe."""

from __future__ import annotations

from typing import Literal

from vggc.diagnostics import fail
from vggc.graph import Graph
from vggc.quantization import placement_onnxruntime, placement_tensorrt
from vggc.quantization.plan import Plan
from vggc.quantization.preparing import refuse_quantized, warn_of_norms
from vggc.quantization.products import products
from vggc.rewrite import Declined
from vggc.values import Names

Placement = Literal["onnxruntime", "tensorrt"]

OLDEST_OPSET = 13
"""The first one whose DequantizeLinear takes a scale for each channel."""


def placement_for(graph: Graph) -> Placement:
    """Whose kernels the recipe's targets mean: TensorRT's as soon as one of them is, otherwise onnxruntime's."""
    return "tensorrt" if any(each.target.startswith("tensorrt") for each in graph.destinations) else "onnxruntime"


def choose(graph: Graph, placement: Placement | None, only: Names, except_: Names) -> Plan:
    """What to quantize. Raises CompileError for a graph that cannot be, Declined when nothing of it can."""
    refuse_quantized(graph)
    if graph.opset < OLDEST_OPSET:
        raise fail(
            f"the model is written in opset {graph.opset}; quantization needs {OLDEST_OPSET}",
            help="export it again with opset 17",
        )
    graph.infer_shapes()
    found = products(graph, only, except_)
    warn_of_norms(graph, found)
    if (placement or placement_for(graph)) == "tensorrt":
        plan = placement_tensorrt.place(graph, found)
    else:
        plan = placement_onnxruntime.place(graph, found)
    for node, reason in plan.kept:
        graph.decline(node, reason)
    if not plan.products:
        raise Declined("nothing of the model can be quantized")
    return plan
