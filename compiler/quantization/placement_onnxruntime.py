"""Where onnxruntime's CPU provider wants QuantizeLinear and DequantizeLinear.

It replaces an operator between DequantizeLinear and QuantizeLinear by one that computes with integers:

    DQ(x), DQ(w), DQ(int32 bias) -> Conv -> Relu -> Q      => QLinearConv
    DQ(a), DQ(b) -> Add -> Relu -> Q                       => QLinearAdd
    DQ(x), DQ(w), DQ(int32 bias) -> Gemm                   => QGemm, whose result may stay float

So every result of a convolution is quantized behind its activation, and so is what comes out of sums, pools and
concatenations of quantized values. Values are uint8 with a zero point: nothing of the range behind a Relu is wasted,
and the Relu itself costs nothing. What the model hands out stays float.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.domains import is_standard
from vggc.operators.data_movement import moves
from vggc.operators.fusion import quantizer_ceiling
from vggc.operators.kernels import ONNXRUNTIME_INTEGER
from vggc.quantization.grids import UINT8, WEIGHT8, Grid
from vggc.quantization.plan import Plan, Product, QuantizationSite

_QUICK = 448
"""Multiplications at each position of a convolution up to which float is quicker than quantizing what it gives."""


def place(graph: Graph, products: Iterable[Product], grid: Grid = UINT8, weight_grid: Grid = WEIGHT8) -> Plan:
    """What to quantize for some products; those without an integer kernel are left out."""
    chosen = []
    kept = []
    for product in products:
        reason = _without_kernel(graph, product)
        if reason is None:
            chosen.append(product)
        else:
            kept.append((product.node, reason))
    plan = Plan(graph, chosen, grid, weight_grid, integer_bias=True)
    plan.kept = kept
    for product in chosen:
        plan.read(product.node.inputs[product.data], product.node, product.data)
    quantized = {id(product.node): product for product in chosen}
    for node in graph.nodes:
        if id(node) in quantized:
            if node.op == "Conv":
                _result(plan, node)
        elif is_standard(node) and _takes_sites(plan, node):
            _pass_on(plan, node)
    return plan


def _without_kernel(graph: Graph, product: Product) -> str | None:
    node = product.node
    if node.op == "ConvTranspose":
        return "onnxruntime has no integer kernel for ConvTranspose on the CPU"
    if node.op == "Gemm" and node.attrs.get("transA", 0):
        return "onnxruntime's integer kernel for Gemm takes rows of data only"
    if node.op == "MatMul" and product.weight == 0:
        return "onnxruntime's integer kernel takes weights on the right side only"
    if node.op == "Conv" and _is_quick(graph, product):
        return "a convolution of the model's input as small as this is faster in float"
    if node.op == "Conv" and graph.is_result(_behind_activation(graph, node.outputs[0])[0]):
        return "its result is an output of the model, in float"
    return None


def _is_quick(graph: Graph, product: Product) -> bool:
    """Whether a product reads an input of the model, few numbers at a time, and gives few."""
    data = product.node.inputs[product.data]
    first = any(data is value for value in graph.inputs)
    return first and math.prod(product.weights.shape) <= _QUICK


def _takes_sites(plan: Plan, node: gs.Node) -> bool:
    """Whether all data that a node reads is quantized."""
    if node.op in ONNXRUNTIME_INTEGER:
        return all(plan.site(value) is not None for value in node.inputs if value.name)
    return moves(plan.graph, node) and plan.site(node.inputs[0]) is not None


def _pass_on(plan: Plan, node: gs.Node) -> None:
    """Have a node read quantized values, and quantize its result."""
    graph = plan.graph
    if graph.is_result(_behind_activation(graph, node.outputs[0])[0]):
        return
    if moves(graph, node):
        source = plan.read(node.inputs[0], node, 0)
        site = plan.read_everywhere(node.outputs[0])
        if site is not None:
            plan.unite(source, site)
        return
    for index, value in enumerate(node.inputs):
        if value.name:
            plan.read(value, node, index)
    _result(plan, node)


def _result(plan: Plan, node: gs.Node) -> QuantizationSite | None:
    """Quantize what a node computes, behind its activation."""
    value, ceiling = _behind_activation(plan.graph, node.outputs[0])
    site = plan.read_everywhere(value)
    if site is not None:
        site.ceiling = ceiling
    return site


def _behind_activation(graph: Graph, value: gs.Tensor) -> tuple[gs.Tensor, float | None]:
    """The value behind the activations that a QuantizeLinear can do on the way, and the most it can be."""
    ceiling = math.inf
    while (node := graph.only_reader(value)) is not None and (limit := quantizer_ceiling(graph, node)) is not None:
        ceiling = min(ceiling, limit)
        value = node.outputs[0]
    return value, ceiling if ceiling < math.inf else None
