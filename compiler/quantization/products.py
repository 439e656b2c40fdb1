"""The nodes whose weights can be quantized, and which of them a recipe means."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.node_selection import name_filter, names_of
from vggc.graph import Graph
from vggc.operators.roles import ROLES, bias_of, is_product, output_axis
from vggc.quantization.plan import Product
from vggc.rewrite import Context
from vggc.values import Names


def product(graph: Graph, node: gs.Node) -> Product | str:
    """A node of PRODUCTS as a product, or why it is none."""
    weight = 1
    if node.op == "MatMul" and isinstance(node.inputs[0], gs.Constant):
        weight = 0
    array = graph.array(node.inputs[weight])
    if array is None:
        return "its weights are computed"
    if array.dtype != np.float32:
        return f"its weights are {array.dtype}: quantize first, cast afterwards"
    if isinstance(node.inputs[1 - weight if node.op == "MatMul" else 0], gs.Constant):
        return "what it reads is constant"
    if array.ndim < 2 or 0 in array.shape:
        return "its weights are not a matrix"
    if node.op == "MatMul" and array.ndim != 2:
        return "its weights are a stack of matrices"
    bias = bias_of(node)
    if bias is not None and graph.array(bias) is None:
        return "its bias is computed"
    at = ROLES[node.op].bias if bias is not None else None
    return Product(node, 1 - weight if node.op == "MatMul" else 0, weight, at, output_axis(node, weight))


def all_products(graph: Graph) -> list[Product]:
    """Every node whose weights could be quantized."""
    nodes = [node for node in graph.nodes if is_product(node)]
    return [found for node in nodes if isinstance(found := product(graph, node), Product)]


def products(graph: Graph, context: Context, only: Names, except_: Names) -> list[Product]:
    """The products that `only` names (all, when it names none) and `except_` does not.

    A name stands for an operator (`Conv`), or for a node: by its own name, that of its output or of a weight, or that
    of the module in front of either (`features.7` of `features.7.weight` or `/features/features.7/Conv`). Nodes with
    weights that cannot be quantized are declined. Raises CompileError for a name that means no node with weights.
    """
    nodes = [node for node in graph.nodes if is_product(node)]
    known = [(node, {node.op, *names_of(node)}) for node in nodes]
    is_selected = name_filter(only, except_, [names for _, names in known], "node with weights")
    found = []
    for node in (node for node, names in known if is_selected(names)):
        product_or_reason = product(graph, node)
        if isinstance(product_or_reason, Product):
            found.append(product_or_reason)
        else:
            context.decline(node, product_or_reason)
    return found
