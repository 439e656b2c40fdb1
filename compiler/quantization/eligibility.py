"""Which products TensorRT has INT8 kernels for that are worth it."""

from __future__ import annotations

import math

from vggc.graph import Graph
from vggc.operators.roles import MATRIX_PRODUCTS
from vggc.quantization.plan import Product

NARROW = 16
"""Channels below which an integer kernel spends its time on padding."""


def too_small(graph: Graph, product: Product, *, first: bool) -> str | None:
    """Why a product had better stay in float, or None. `first`: it reads an input of the model."""
    node, shape = product.node, product.weights.shape
    inner, outputs = product.inputs, product.outputs
    if node.op in MATRIX_PRODUCTS:
        if min(inner, outputs) < NARROW:
            what = f"{inner} numbers to {outputs}"
            return f"a matrix product of {what} is too narrow for INT8, which needs {NARROW} on each side"
        rows = graph.static_shape(node.outputs[0])
        if rows is not None and math.prod(rows) == rows[-1]:
            return "a product of one row reads each weight once: INT8 would not make it faster"
        return None
    if min(inner, outputs) >= NARROW:
        return None
    square = len(set(shape[2:])) == 1
    aligned = product.group == 1 and inner % 8 == 0 and outputs % 8 == 0
    if aligned and square and (first or max(inner, outputs) >= NARROW):
        return None
    return f"a convolution of {inner} channels to {outputs} is too narrow for INT8, which needs {NARROW} on each side"
