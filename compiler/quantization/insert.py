"""Writing a plan into its graph: QuantizeLinear and DequantizeLinear around values, DequantizeLinear behind weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.arrays import Array, Floats, Size
from vggc.quantization.grids import Quantizer
from vggc.quantization.plan import Plan, Product
from vggc.quantization.weights import Codes
from vggc.rewrite import Context


def insert(plan: Plan, context: Context, quantizers: Mapping[int, Quantizer], weights: Mapping[int, Codes]) -> None:
    """Quantize the sites of a plan and the weights of its products.

    quantizers  by family
    weights     by id of the product's node; products that share their weights have the same Codes
    """
    graph = plan.graph
    scale_of = {id(product.node): quantizers[plan.family(product)].scale for product in plan.products}
    for site in plan.sites:
        _quantize_value(graph, site.value, site.readers, quantizers[site.family])
        context.record("quantize value")
    stored: dict[int, gs.Variable] = {}
    for product in plan.products:
        codes = weights[id(product.node)]
        if plan.integer_bias and product.bias is not None:
            _integer_bias(graph, product, scale_of[id(product.node)], codes)
        if id(codes) not in stored:
            stored[id(codes)] = _stored(graph, product.weights.name, codes.numbers, codes.scale, codes.axis)
            context.record("quantize weights")
        graph.set_input(product.node, product.weight, stored[id(codes)])


def _quantize_value(graph: Graph, value: gs.Tensor, readers: list[tuple[gs.Node, int]], quantizer: Quantizer) -> None:
    scale = graph.constant(np.float32(quantizer.scale), f"{value.name}_scale")
    zero = graph.constant(np.asarray(quantizer.zero_point, quantizer.grid.dtype), f"{value.name}_zero_point")
    stored = gs.Variable(graph.fresh_name(f"{value.name}_quantized"), quantizer.grid.dtype, value.shape)
    graph.add("QuantizeLinear", [value, scale, zero], name=f"{value.name}_quantize", output=stored)
    found = dequantized(graph, [stored, scale, zero], value.name, value.shape)
    for node, index in readers:
        graph.set_input(node, index, found)


def _integer_bias(graph: Graph, product: Product, scale: float, codes: Codes) -> None:
    """Store a bias on the grid of the products it is added to: int32, with the product of both scales."""
    assert product.bias is not None
    value = product.node.inputs[product.bias]
    array = graph.array(value)
    assert array is not None
    numbers, steps = integer_bias(array, scale, codes.scale)
    graph.set_input(product.node, product.bias, _stored(graph, value.name, numbers, steps, axis=0))


def _stored(graph: Graph, name: str, numbers: Array, scale: Floats, axis: int) -> gs.Variable:
    """What constant numbers, symmetric about zero, stand for, with a scale for each index of an axis."""
    inputs = [
        graph.constant(numbers, f"{name}_quantized"),
        graph.constant(scale, f"{name}_scale"),
        graph.constant(np.zeros(scale.shape, numbers.dtype), f"{name}_zero_point"),
    ]
    return dequantized(graph, inputs, name, numbers.shape, {"axis": axis})


def integer_bias(bias: Array, scale: float, weight_scale: Floats) -> tuple[Array, Floats]:
    """A bias as int32 numbers and their float32 scales, both (outputs,), as `weight_scale` is.

    `bias` has as many numbers, or one for all.
    """
    steps = (np.float64(scale) * weight_scale.astype(np.float64)).astype(np.float32)
    spread = np.broadcast_to(np.asarray(bias, np.float64).reshape(-1), steps.shape)
    limits = np.iinfo(np.int32)
    numbers = np.clip(np.rint(spread / steps), limits.min, limits.max).astype(np.int32)
    return numbers, steps


def replace_bias(graph: Graph, product: Product, shift: Floats) -> None:
    """Add (outputs,) numbers to the bias of a product, which may be stored in whatever type."""
    assert product.bias is not None
    value = product.node.inputs[product.bias]
    stored = graph.producer(value)
    if stored is None:
        array = graph.array(value)
        assert array is not None
        changed = np.asarray(np.asarray(array, np.float64) + shift, np.float32)
        graph.set_input(product.node, product.bias, graph.constant(changed, value.name))
        return
    numbers, steps = (graph.array(each) for each in stored.inputs[:2])
    assert numbers is not None and steps is not None
    limits = np.iinfo(np.int32)
    moved = np.asarray(numbers, np.float64) + np.rint(shift / np.asarray(steps, np.float64))
    constant = graph.constant(np.clip(moved, limits.min, limits.max).astype(np.int32), stored.inputs[0].name)
    graph.set_input(stored, 0, constant)


def dequantized(
    graph: Graph,
    inputs: Sequence[gs.Tensor],
    name: str,
    shape: Sequence[Size] | None,
    attributes: Mapping[str, int] | None = None,
) -> gs.Variable:
    """The value of a new DequantizeLinear."""
    value = gs.Variable(graph.fresh_name(f"{name}_dequantized"), np.dtype(np.float32), shape)
    graph.add("DequantizeLinear", inputs, attributes, name=f"{name}_dequantize", output=value)
    return value
