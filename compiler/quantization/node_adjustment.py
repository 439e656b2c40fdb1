"""Weights and biases of each quantized product, adjusted to what it reads: rounding and bias correction.

Products are taken in the order of the graph, each with inputs as the adjusted products before it make them, so that
shifts do not add up. The quantized model runs piece by piece, with integers where the runtime has kernels, and what
lies between two pieces is stored as the integers that it is.

Bias correction subtracts the shift that rounding causes in the mean results. Behind a Relu only those results count
that the Relu lets through, in either model. When a channel is rarely let through, its correction is smaller.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from vggc.calibration.epilogue import gate
from vggc.calibration.matrix import AsMatrix, Unsuitable
from vggc.calibration.node_matrices import as_matrix
from vggc.calibration.staged_run import StagedRun
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64, Floats
from vggc.operators.activations import Limits
from vggc.quantization.insert import replace_bias
from vggc.quantization.observation import Observation
from vggc.quantization.plan import Plan, Product
from vggc.quantization.sampled import Sampled
from vggc.quantization.weight_rounding import covariance, parts, rounded_blocks
from vggc.quantization.weights import encode
from vggc.rewrite import Context

_RARE = 0.02
"""The share of positions of which a channel must let through many more for its correction to count in full."""

_DEQUANTIZE = "DequantizeLinear"


def adjust_products(
    original: Graph,
    plan: Plan,
    context: Context,
    seen: Observation,
    *,
    round_weights: bool,
    correct_biases: bool,
) -> None:
    """Adjust the products of a plan that is inserted in its graph; `original` is that graph before.

    `seen` has the rows of the products of the float model.
    """
    samples, sampled = seen.few, seen.sampled
    graph = plan.graph
    graph.tidy()
    scratch = original.copy()
    twins = {value.name: node for node in scratch.nodes for value in node.outputs}
    order = {id(node): at for at, node in enumerate(graph.nodes)}
    walk = StagedRun(graph, samples, seen.spill, "quantized:", again=frozenset({_DEQUANTIZE}), optimise="all")
    for index, product in enumerate(sorted(plan.products, key=lambda each: order[id(each.node)])):
        context.progress("adjust weights and biases", index, len(plan.products))
        shared = len(graph.readers(product.node.inputs[product.weight])) > 1
        rounds = round_weights and not shared
        if round_weights and shared:
            reason = "other nodes read them too, with other inputs"
            context.decline(product.node, f"its weights are rounded to the nearest numbers: {reason}")
        corrects = correct_biases and product.bias is not None
        if not rounds and not corrects:
            continue
        twin = twins[product.node.outputs[0].name]
        try:
            matrix = as_matrix(scratch, twin)
        except Unsuitable as reason:
            context.decline(product.node, f"its weights and bias are not adjusted: {reason}")
            continue
        rows = _inputs(walk, product, matrix, sampled, len(samples))
        if rounds:
            _round(plan, product, matrix, rows)
            context.record("round weights")
        if corrects:
            wanted = sampled.results(twin.outputs[0].name)
            replace_bias(
                graph, product, _shift(plan, product, matrix, rows, wanted, limits=gate(scratch, twin.outputs[0]))
            )
            context.record("correct bias")


def _inputs(walk: StagedRun, product: Product, matrix: AsMatrix, sampled: Sampled, batches: int) -> Floats:
    """Rows of what the quantized product reads, (blocks, rows, width), all batches behind each other."""
    data = product.node.inputs[product.data]
    source = walk.graph.producer(data)
    stored = source if source is not None and source.op == _DEQUANTIZE else None
    value = data if stored is None else stored.inputs[0]
    walk.reach([value])
    scale, zero_point = np.float32(1), 0
    if stored is not None:
        factor, zero = (walk.graph.array(each) for each in stored.inputs[1:3])
        assert factor is not None and zero is not None
        scale, zero_point = np.float32(factor), int(zero)
    pieces = []
    for index in range(batches):
        places = sampled.places(product.node.outputs[0].name, index)
        given = _without_zero_point(walk.array(value, index), zero_point)
        pieces.append(matrix.rows(given, places.shape, places.chosen))
    walk.release([value])
    rows = np.concatenate(pieces, axis=1)
    rows *= scale
    return rows


def _without_zero_point(numbers: Array, zero_point: int) -> Array:
    if not zero_point:
        return numbers
    return np.subtract(numbers, zero_point, dtype=np.int16 if numbers.dtype == np.uint8 else np.int32)


def _stored_weights(plan: Plan, product: Product) -> tuple[gs.Node, Float64]:
    """The node that dequantizes the weights, and the scale of each output channel."""
    stored = plan.graph.producer(product.node.inputs[product.weight])
    assert stored is not None
    return stored, np.asarray(plan.graph.array(stored.inputs[1]), np.float64)


def _round(plan: Plan, product: Product, matrix: AsMatrix, rows: Floats) -> None:
    """Store other numbers of the weights, on the scales that they have."""
    stored, steps = _stored_weights(plan, product)
    scale = np.resize(steps, matrix.blocks * matrix.outputs).reshape(matrix.blocks, matrix.outputs)
    wanted = matrix.matrix()
    found = np.empty_like(wanted)
    for part in parts(matrix.width):
        found[:, part] = rounded_blocks(wanted[:, part], covariance(rows[:, :, part]), scale, plan.weight_grid)
    matrix.store_matrix(found)
    values = matrix.graph.array(matrix.weight)
    assert values is not None
    codes = encode(values, product.axis, steps, plan.weight_grid)
    plan.graph.set_input(stored, 0, plan.graph.constant(codes.numbers, stored.inputs[0].name))


def _shift(plan: Plan, product: Product, matrix: AsMatrix, rows: Floats, wanted: Floats, *, limits: Limits) -> Float64:
    """What to add to each channel, (outputs,), to bring its mean to that of the `wanted` results, (rows, outputs)."""
    stored, steps = _stored_weights(plan, product)
    numbers = plan.graph.array(stored.inputs[0])
    assert numbers is not None
    shape = [1] * numbers.ndim
    shape[product.axis] = -1
    weights = _as_matrix_of(matrix, np.asarray(numbers, np.float32) * steps.astype(np.float32).reshape(shape))
    have = np.matmul(rows, weights).transpose(1, 0, 2).reshape(wanted.shape)
    have += matrix.bias().astype(np.float32)
    gap = wanted - have
    if not np.isfinite(limits).any():
        return np.asarray(gap.mean(axis=0, dtype=np.float64))
    low, high = limits
    if np.isinf(high):
        seen = np.maximum(wanted, have) > low
    else:
        seen = ((wanted > low) & (wanted < high)) | ((have > low) & (have < high))
    gap *= seen
    return np.asarray(gap.mean(axis=0, dtype=np.float64) / (seen.mean(axis=0) + _RARE))


def _as_matrix_of(matrix: AsMatrix, weights: Floats) -> Floats:
    """Other weights of a node, shaped as it has them, as (blocks, width, outputs) in float32."""
    matrix.graph.set_input(matrix.node, matrix.weight_index, matrix.graph.constant(weights, matrix.weight.name))
    return matrix.matrix().astype(np.float32)
