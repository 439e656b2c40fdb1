"""4-bit weights of matrix products, in blocks with a scale each; what they are multiplied by stays float."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.arrays import Array, Floats
from vggc.operators.roles import MATRIX_PRODUCTS
from vggc.quantization.grids import INT4
from vggc.quantization.insert import dequantized
from vggc.quantization.plan import Product
from vggc.quantization.weights import WeightScales, scales
from vggc.rewrite import Context


def quantize_blocks(graph: Graph, context: Context, products: list[Product], block: int, method: WeightScales) -> int:
    """Store the weights of Gemm and MatMul in blocks of `block` numbers along their inputs. Returns for how many."""
    done = 0
    stored: dict[tuple[int, int], gs.Variable] = {}
    for product in products:
        reason = _unfit(product, block)
        if reason:
            context.decline(product.node, reason)
            continue
        weights = product.weights
        if (id(weights), product.axis) not in stored:
            stored[id(weights), product.axis] = _stored(graph, weights, 1 - product.axis, block, method)
            context.record("quantize weights")
        graph.set_input(product.node, product.weight, stored[id(weights), product.axis])
        done += 1
    return done


def _unfit(product: Product, block: int) -> str:
    if product.node.op not in MATRIX_PRODUCTS:
        return "only weights of matrix products are stored in 4 bits"
    inputs = product.weights.shape[1 - product.axis]
    return "" if inputs % block == 0 else f"its {inputs} inputs are not a multiple of the block size {block}"


def in_blocks(weights: Array, inner: int, block: int, method: WeightScales) -> tuple[Array, Floats]:
    """A matrix as INT4 numbers of its shape, and float32 scales, one for each block along axis `inner`.

    For weights (inputs, outputs) and `inner` 0 the scales are (inputs / block, outputs), for weights (outputs, inputs)
    and `inner` 1 (outputs, inputs / block).
    """
    turned = np.moveaxis(np.asarray(weights, np.float64), inner, 1)
    rows = turned.reshape(-1, block)
    steps = scales(rows, INT4, method)
    numbers = INT4.codes(rows, steps[:, None]).reshape(turned.shape)
    across = steps.astype(np.float32).reshape(turned.shape[0], -1)
    return np.ascontiguousarray(np.moveaxis(numbers, 1, inner)), np.ascontiguousarray(np.moveaxis(across, 1, inner))


def _stored(graph: Graph, weights: gs.Constant, inner: int, block: int, method: WeightScales) -> gs.Variable:
    """A matrix in blocks along axis `inner`, behind a new DequantizeLinear."""
    array = graph.array(weights)
    assert array is not None
    numbers, steps = in_blocks(array, inner, block, method)
    inputs = [graph.constant(numbers, f"{weights.name}_quantized"), graph.constant(steps, f"{weights.name}_scale")]
    attributes = {"axis": inner, "block_size": numbers.shape[inner] // steps.shape[inner]}
    return dequantized(graph, inputs, weights.name, numbers.shape, attributes)
