"""Weights rounded so that their errors cancel in the results: `rounding=least_squares`.

Rounding each weight to the nearest number leaves the least error of the weights, not of what they compute. Here the
weights of an output are rounded one input after the other, and those still to come make good, by least squares over
the inputs on samples, what each rounding did (optimal brain surgeon, Hassibi and Stork 1993, as GPTQ applies it to
rounding, Frantar et al. 2022). Inputs are those of the quantized model, node by node.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from vggc.calibration.matrix import AsMatrix, Unsuitable
from vggc.calibration.node_matrices import as_matrix
from vggc.calibration.samples import Samples
from vggc.calibration.spill import Spill
from vggc.calibration.staged_run import StagedRun
from vggc.graph import Graph
from vggc.graph.arrays import Float64
from vggc.operators.roles import MATRIX_PRODUCTS
from vggc.quantization.grids import Grid
from vggc.quantization.plan import Plan, Product
from vggc.quantization.weights import encode
from vggc.rewrite import Context

_ROWS = 8192
"""About how many rows of a node's inputs are looked at, over all samples."""

_DAMPING = 0.01
"""Of the mean variance of the inputs: added to each, so that what samples say little of is not followed far."""

_COLUMNS = 64
"""Inputs whose errors are carried on together."""


def round_weights(original: Graph, plan: Plan, context: Context, samples: Samples, *, seed: int = 0) -> None:
    """Round the weights of an inserted plan anew; `original` is its graph before."""
    graph = plan.graph
    graph.tidy()
    scratch = original.copy()
    twins = {value.name: node for node in scratch.nodes for value in node.outputs}
    order = {id(node): at for at, node in enumerate(graph.nodes)}
    random = np.random.default_rng(seed)
    with Spill() as spill:
        walk = StagedRun(graph, samples, spill, "quantized:")
        for product in sorted(plan.products, key=lambda each: order[id(each.node)]):
            if len(graph.readers(product.node.inputs[product.weight])) > 1:
                reason = "other nodes read them too, with other inputs"
                context.decline(product.node, f"its weights are rounded to the nearest numbers: {reason}")
                continue
            context.progress(f"round weights: {graph.label(product.node)}")
            data = product.node.inputs[product.data]
            try:
                matrix = as_matrix(scratch, twins[product.node.outputs[0].name])
                walk.reach([data])
                moments = _second_moments(walk, matrix, data, random)
                walk.release([data])
            except Unsuitable as reason:
                context.decline(product.node, f"its weights are rounded to the nearest numbers: {reason}")
                continue
            _store(scratch, plan, product, matrix, moments)
            context.record("round weights")


def _second_moments(walk: StagedRun, matrix: AsMatrix, data: gs.Tensor, random: np.random.Generator) -> Float64:
    """The covariances of a node's inputs, (blocks, width, width)."""
    share = max(1, _ROWS // len(walk.samples))
    total = np.zeros((matrix.blocks, matrix.width, matrix.width))
    sums = np.zeros((matrix.blocks, matrix.width))
    count = 0
    for index in range(len(walk.samples)):
        x = walk.array(data, index)
        # Only its shape is asked for.
        y = np.broadcast_to(np.float32(0), _result_shape(matrix, x.shape))
        rows = matrix.count(x, y)
        chosen = np.sort(random.choice(rows, share, replace=False)) if rows > share else np.arange(rows)
        taken = matrix.rows(x, y.shape, chosen)
        total += np.matmul(taken.transpose(0, 2, 1), taken)
        sums += taken.sum(axis=1, dtype=np.float64)
        count += taken.shape[1]
    mean = sums / count
    return np.asarray(total / count - mean[:, :, None] * mean[:, None, :])


def _result_shape(matrix: AsMatrix, given: tuple[int, ...]) -> tuple[int, ...]:
    if matrix.node.op in MATRIX_PRODUCTS:
        return (*given[:-1], matrix.blocks * matrix.outputs)
    shape = matrix.graph.shape(matrix.node.outputs[0])
    spatial = [each for each in (shape or [None] * 3)[2:] if isinstance(each, int)]
    if shape is None or len(spatial) < len(shape) - 2:
        raise Unsuitable("the size of its output is not known")
    return (given[0], matrix.blocks * matrix.outputs, *spatial)


def _store(scratch: Graph, plan: Plan, product: Product, matrix: AsMatrix, moments: Float64) -> None:
    graph = plan.graph
    stored = graph.producer(product.node.inputs[product.weight])
    assert stored is not None
    steps = np.asarray(graph.array(stored.inputs[1]), np.float64)
    wanted = matrix.matrix()
    scale = np.resize(steps, matrix.blocks * matrix.outputs).reshape(matrix.blocks, matrix.outputs)
    rounded = [
        rounded_block(weights, own, step, plan.weight_grid)
        for weights, own, step in zip(wanted, moments, scale, strict=True)
    ]
    matrix.store_matrix(np.stack(rounded))
    values = scratch.array(matrix.weight)
    assert values is not None
    codes = encode(values, product.axis, steps, plan.weight_grid)
    graph.set_input(stored, 0, graph.constant(codes.numbers, stored.inputs[0].name))


def rounded_block(weights: Float64, moments: Float64, scale: Float64, grid: Grid) -> Float64:
    """(width, outputs) weights on the grid of each output's scale, errors carried on to inputs still to come.

    `moments` (width, width) is the covariance of the inputs, `scale` (outputs,).
    """
    order = np.argsort(-np.diag(moments))
    covariance = moments[np.ix_(order, order)]
    damping = _DAMPING * float(np.diag(covariance).mean())
    covariance = covariance + (damping if damping > 0 else 1.0) * np.eye(len(order))
    upper = np.linalg.cholesky(np.linalg.inv(covariance)).T
    left = weights[order].copy()
    found = np.empty_like(left)
    for start in range(0, len(order), _COLUMNS):
        stop = min(start + _COLUMNS, len(order))
        errors = np.zeros((stop - start, left.shape[1]))
        for at in range(start, stop):
            found[at] = grid.rounded(left[at], scale)
            errors[at - start] = (left[at] - found[at]) / upper[at, at]
            left[at + 1 : stop] -= np.outer(upper[at, at + 1 : stop], errors[at - start])
        left[stop:] -= upper[start:stop, stop:].T @ errors
    result = np.empty_like(found)
    result[order] = found
    return result
