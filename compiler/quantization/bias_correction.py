"""Bias correction: what rounding shifts the mean results of each product by, taken out of its bias.

Products are taken in the order of the graph, each with inputs as the corrected products before it make them, so that
shifts do not add up. Behind a Relu only those results count that the Relu lets through, in either model. A channel that
is rarely let through says little, and its correction is made smaller by that.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from vggc.calibration.epilogue import gate
from vggc.calibration.samples import Samples
from vggc.calibration.spill import Spill
from vggc.calibration.staged_run import StagedRun
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64
from vggc.operators.roles import ROLES
from vggc.quantization.insert import replace_bias
from vggc.quantization.plan import Plan, Product
from vggc.rewrite import Context

_RARE = 0.02
"""The share of positions of which a channel must let through many more for its correction to count in full."""


def give_biases(plan: Plan) -> None:
    """Give a bias of zeros to those products that can have one and do not."""
    graph = plan.graph
    for index, product in enumerate(plan.products):
        bias = ROLES[product.node.op].bias
        if product.bias is None and bias is not None:
            name = f"{product.node.name or product.node.outputs[0].name}_bias"
            constant = graph.constant(np.zeros(product.outputs, np.float32), name)
            if len(product.node.inputs) > bias:
                graph.set_input(product.node, bias, constant)
            else:
                product.node.inputs.append(constant)
            plan.products[index] = Product(product.node, product.data, product.weight, bias, product.axis)


def correct_biases(original: Graph, plan: Plan, context: Context, samples: Samples) -> None:
    """Correct the biases of a plan that is inserted in its graph; `original` is that graph before."""
    graph = plan.graph
    graph.tidy()
    twins = {value.name: value for node in original.nodes for value in node.outputs}
    order = {id(node): at for at, node in enumerate(graph.nodes)}
    with Spill() as spill:
        right, wrong = StagedRun(original, samples, spill, "float:"), StagedRun(graph, samples, spill, "quantized:")
        for product in sorted(plan.products, key=lambda each: order[id(each.node)]):
            value = product.node.outputs[0]
            twin = twins.get(value.name)
            if product.bias is None or twin is None:
                continue
            context.progress(f"correct biases: {graph.label(product.node)}")
            right.reach([twin])
            wrong.reach([value])
            shift = _shift(right, twin, wrong, value, gate(original, twin))
            replace_bias(graph, product, shift)
            wrong.amend(value, lambda array, by=shift: _moved(array, by))  # type: ignore[misc]
            right.release([twin])
            wrong.release([value])
            context.record("correct bias")


def _shift(
    right: StagedRun, twin: gs.Tensor, wrong: StagedRun, value: gs.Tensor, limits: tuple[float, float]
) -> Float64:
    """What to add to each channel."""
    total: Float64 | float = 0.0
    counted: Float64 | float = 0.0
    positions = 0
    low, high = limits
    for index in range(len(right.samples)):
        want = np.asarray(right.array(twin, index), np.float32)
        have = np.asarray(wrong.array(value, index), np.float32)
        axes = (0, *range(2, want.ndim))
        gap = want - have
        if np.isfinite(limits).any():
            seen = ((want > low) & (want < high)) | ((have > low) & (have < high))
            gap *= seen
            counted = counted + seen.sum(axis=axes, dtype=np.float64)
        else:
            counted = counted + float(want.size // want.shape[1])
        total = total + gap.sum(axis=axes, dtype=np.float64)
        positions += want.size // want.shape[1]
    return np.asarray(total / (counted + (_RARE * positions if np.isfinite(limits).any() else 0.0)))


def _moved(array: Array, by: Float64) -> Array:
    shape = (1, -1, *[1] * (array.ndim - 2))
    return np.asarray(np.asarray(array, np.float32) + by.astype(np.float32).reshape(shape))
