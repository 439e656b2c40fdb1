"""Where TensorRT wants QuantizeLinear and DequantizeLinear.

TensorRT takes precision from the graph alone, and fuses a convolution with what follows it up to the QuantizeLinear:

    DQ -> Conv -> (BatchNormalization) -> activation -> Q      one INT8 kernel, float inside
    DQ -> Conv -> Add(DQ of the skip branch) -> Relu -> Q      the residual sum fused into it
    DQ -> Conv -> activation -> Add(DQ of the skip branch)     the sum reads a skip branch that is quantized already

So every input of a product is quantized, and results only where the next product reads them. What only moves numbers
(MaxPool, Reshape, Transpose, ...) reads and gives quantized numbers of one scale; the inputs of a Concat share one.
Average pools and nearest Resize are quantized between products only.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.domains import is_standard
from vggc.operators.data_movement import moves, pads_with_zero
from vggc.operators.fusion import TENSORRT_ACTIVATIONS
from vggc.operators.pooling import AVERAGES
from vggc.quantization.eligibility import too_small
from vggc.quantization.grids import INT8, WEIGHT8, Grid
from vggc.quantization.plan import Plan, Product

_BETWEEN = AVERAGES | {"Resize"}


def place(graph: Graph, products: Iterable[Product], grid: Grid = INT8, weight_grid: Grid = WEIGHT8) -> Plan:
    """What to quantize for some products; those too small for 8-bit kernels are left out."""
    inputs = {id(value) for value in graph.inputs}
    chosen = []
    kept = []
    for product in products:
        first = id(product.node.inputs[product.data]) in inputs
        reason = too_small(graph, product, first=first)
        if reason is None:
            chosen.append(product)
        else:
            kept.append((product.node, reason))
    plan = Plan(graph, chosen, grid, weight_grid)
    plan.kept = kept
    for product in chosen:
        plan.read(product.node.inputs[product.data], product.node, product.data)
    _residual_sums(plan)
    _follow_back(plan)
    return plan


def _residual_sums(plan: Plan) -> None:
    """Quantize the skip branch of each residual sum; the branch that ends in a product stays float to be fused.

    Behind an activation the sum is not fused into the product. There the skip branch is read quantized where that is
    free: where a product reads it quantized too.
    """
    graph = plan.graph
    quantized = {id(product.node) for product in plan.products}
    order = {id(node): at for at, node in enumerate(graph.nodes)}
    activated = []
    for node in graph.nodes:
        if node.op != "Add" or not is_standard(node) or not _alike(graph, node):
            continue
        ends = [_ends_in_product(graph, value, quantized) for value in node.inputs]
        if ends[0] is None and ends[1] is None:
            activated.append(node)
            continue
        # Of two such branches the one that runs last takes the sum in.
        fused = max((at for at in (0, 1) if ends[at] is not None), key=lambda at: order[id(ends[at])])
        plan.read(node.inputs[1 - fused], node, 1 - fused)
    for node in activated:
        for skip, branch in ((0, 1), (1, 0)):
            is_site = plan.site(node.inputs[skip]) is not None
            if is_site and _ends_in_activation(graph, node.inputs[branch], quantized):
                plan.read(node.inputs[skip], node, skip)


def _alike(graph: Graph, node: gs.Node) -> bool:
    """Whether a sum is one of two computed values of one shape."""
    first, second = node.inputs
    if first is second or any(isinstance(value, gs.Constant) for value in node.inputs):
        return False
    shapes = graph.shape(first), graph.shape(second)
    return shapes[0] is not None and shapes[1] is not None and shapes[0][1:] == shapes[1][1:]


def _ends_in_product(graph: Graph, value: gs.Tensor, quantized: set[int]) -> gs.Node | None:
    """The product whose result a value is, when a sum or an activation reads it and nothing else does."""
    return None if graph.only_reader(value) is None else _product_before(graph, value, quantized)


def _product_before(graph: Graph, value: gs.Tensor, quantized: set[int]) -> gs.Node | None:
    """The product whose result a value is, perhaps behind a batch norm."""
    node = graph.producer(value)
    if node is None or id(node) in quantized:
        return node
    return _ends_in_product(graph, node.inputs[0], quantized) if node.op in ("Identity", "BatchNormalization") else None


def _ends_in_activation(graph: Graph, value: gs.Tensor, quantized: set[int]) -> bool:
    """Whether a value is the activation of a product's result, also as x * Sigmoid(x), and only a sum reads it."""
    node = graph.producer(value)
    if node is None or not is_standard(node) or graph.only_reader(value) is None:
        return False
    if node.op in TENSORRT_ACTIVATIONS:
        return _ends_in_product(graph, node.inputs[0], quantized) is not None
    if node.op != "Mul":
        return False
    for gate, gated in (node.inputs, reversed(node.inputs)):
        inner = graph.producer(gate)
        if inner is None or inner.op not in TENSORRT_ACTIVATIONS or inner.inputs[0] is not gated:
            continue
        is_read_elsewhere = graph.is_result(gated) or graph.reader_beside(gated, {id(node), id(inner)}) is not None
        return not is_read_elsewhere and _product_before(graph, gated, quantized) is not None
    return False


def _follow_back(plan: Plan) -> None:
    """From each site back through what quantized numbers can go through."""
    graph = plan.graph
    pending = plan.sites
    while pending:
        site = pending.pop()
        node = graph.producer(site.value)
        if node is None or not plan.all_read(site.value) or not is_standard(node):
            continue
        if moves(graph, node):
            found = plan.read(node.inputs[0], node, 0)
            plan.unite(found, site)
            if pads_with_zero(graph, node):
                # Padding belongs to the convolution behind it: nothing may stand between the two.
                site.readers.clear()
            pending.append(found)
        elif node.op == "Concat":
            if any(isinstance(value, gs.Constant) for value in node.inputs):
                continue
            for index, value in enumerate(node.inputs):
                found = plan.read(value, node, index)
                plan.unite(found, site)
                pending.append(found)
        elif node.op in _BETWEEN and _is_quantized(plan, node.inputs[0]):
            pending.append(plan.read(node.inputs[0], node, 0))


def _is_quantized(plan: Plan, value: gs.Tensor) -> bool:
    """Whether a value is a site, or comes out of a product and its activation."""
    if plan.site(value) is not None:
        return True
    node = plan.graph.producer(value)
    if node is not None and node.op in TENSORRT_ACTIVATIONS:
        node = plan.graph.producer(node.inputs[0])
    return node is not None and any(node is product.node for product in plan.products)
