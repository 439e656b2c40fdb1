"""Where TensorRT wants QuantizeLinear and DequantizeLinear.

TensorRT takes precision from the graph alone, and fuses a convolution with what follows it up to the QuantizeLinear:

    DQ -> Conv -> (BatchNormalization) -> activation -> Q      one INT8 kernel, float inside
    DQ -> Conv -> Add(DQ of the skip branch) -> Relu -> Q      the residual sum fused into it
    DQ -> Conv -> activation -> Add(DQ of the skip branch)     the sum reads a skip branch that is quantized already
    DQ -> Conv -> Mul(gate) -> Add(DQ of the skip branch)      so does that behind a gate (squeeze and excitation)

So every input of a product is quantized, and results only where the next product reads them. What only moves numbers
(MaxPool, Reshape, Transpose, Split, ...) reads and gives quantized numbers of one scale; the inputs of a Concat share
one. Average pools and nearest Resize are quantized between products only, and only when nothing else reads the result
of the product in float: its kernel gives one of the two.
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
    separate = _fused_sums(plan)
    known = -1
    # What is read quantized because it is moved to a product may be the skip branch of another sum.
    while known != (known := sum(len(site.readers) for site in plan.sites)):
        _separate_sums(plan, separate)
        _follow_back(plan)
    return plan


def _fused_sums(plan: Plan) -> list[gs.Node]:
    """Quantize the skip branch of each residual sum; the branch that ends in a product stays float to be fused.

    Returns the sums of two values of which none ends in a product: they are not fused into one.
    """
    graph = plan.graph
    quantized = {id(product.node) for product in plan.products}
    order = {id(node): at for at, node in enumerate(graph.nodes)}
    separate = []
    for node in graph.nodes:
        if node.op != "Add" or not is_standard(node) or not _alike(graph, node):
            continue
        ends = [_ends_in_product(graph, value, quantized) for value in node.inputs]
        if ends[0] is None and ends[1] is None:
            separate.append(node)
            continue
        # Of two such branches the one that runs last takes the sum in.
        fused = max((at for at in (0, 1) if ends[at] is not None), key=lambda at: order[id(ends[at])])
        plan.read(node.inputs[1 - fused], node, 1 - fused)
    return separate


def _separate_sums(plan: Plan, sums: Iterable[gs.Node]) -> None:
    """Let sums behind an activation or a gate read the skip branch quantized where that is free.

    It is where a product reads it quantized, too: then its producer need not give both.
    """
    graph = plan.graph
    quantized = {id(product.node) for product in plan.products}
    for node in sums:
        for skip, branch in ((0, 1), (1, 0)):
            is_site = plan.site(node.inputs[skip]) is not None
            if is_site and _ends_in_pointwise(graph, node.inputs[branch], quantized):
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


def _ends_in_pointwise(graph: Graph, value: gs.Tensor, quantized: set[int]) -> bool:
    """Whether a value is what an activation or a gate makes of a product's result, and only a sum reads it."""
    return _ends_in_activation(graph, value, quantized) or _ends_in_gate(graph, value, quantized)


def _ends_in_gate(graph: Graph, value: gs.Tensor, quantized: set[int]) -> bool:
    """Whether a value is x * gate with one number of the gate for each channel: x is a product's result, or the
    activation of one, which the gate is computed from, too."""
    node = graph.producer(value)
    if node is None or node.op != "Mul" or not is_standard(node) or graph.only_reader(value) is None:
        return False
    for gate, gated in (node.inputs, reversed(node.inputs)):
        sizes, shape = graph.shape(gate), graph.shape(gated)
        if sizes is None or shape is None or len(sizes) != len(shape) or isinstance(gate, gs.Constant):
            continue
        if len(sizes) > 2 and all(size == 1 for size in sizes[2:]) and not all(size == 1 for size in shape[2:]):
            inner = graph.producer(gated)
            if inner is not None and inner.op in TENSORRT_ACTIVATIONS:
                inner = graph.producer(inner.inputs[0])
            return inner is not None and id(inner) in quantized
    return False


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
        elif node.op == "Split":
            parts = [plan.site(value) for value in node.outputs if graph.readers(value) or graph.is_result(value)]
            read = [part for part in parts if part is not None and plan.all_read(part.value)]
            if len(read) == len(parts):
                found = plan.read(node.inputs[0], node, 0)
                for part in read:
                    plan.unite(found, part)
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
    """Whether a value is a site, or comes out of a product and its activation and has no other reader."""
    if plan.site(value) is not None:
        return True
    if plan.graph.only_reader(value) is None:
        return False
    node = plan.graph.producer(value)
    if node is not None and node.op in TENSORRT_ACTIVATIONS:
        node = plan.graph.producer(node.inputs[0])
    return node is not None and any(node is product.node for product in plan.products)
