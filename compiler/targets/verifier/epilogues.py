"""Misplaced Q/DQ pairs, which separate nodes that TensorRT would otherwise fuse into one INT8 kernel.

The engine computes the right numbers, but more slowly than it could. So these findings are warnings.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import onnx_graphsurgeon as gs

from vggc.diagnostics import Code
from vggc.graph import Graph
from vggc.graph.domains import is_standard
from vggc.operators.data_movement import moves
from vggc.operators.fusion import TENSORRT_EPILOGUE
from vggc.operators.quantizers import is_quantizer
from vggc.operators.roles import CONVOLUTIONS, is_product
from vggc.targets.node_names import all_nodes
from vggc.targets.verifier.finding import Finding, LoweredGraph

_EIGHT_BIT = frozenset({"int8", "float8_e4m3fn"})


def whole_epilogues(subject: LoweredGraph) -> Iterator[Finding]:
    """DQ -> Conv -> BatchNormalization -> activation -> Q is one kernel; a pair inside it makes several."""
    graph = subject.graph
    for node in _weighted(graph):
        if _quantized_inputs(graph, node):
            yield from _separated_from(subject, node, TENSORRT_EPILOGUE)


def residual_sums(subject: LoweredGraph) -> Iterator[Finding]:
    """The branch of a residual sum that ends in a convolution must stay float, so that the sum is fused into it."""
    graph = subject.graph
    for node in all_nodes(graph):
        if node.op != "Add" or not is_standard(node) or len(node.inputs) != 2:
            continue
        ends = [_quantized_product(graph, value) for value in node.inputs]
        if all(is_quantizer(graph.producer(value), "DequantizeLinear") for value in node.inputs) and any(ends):
            quantize, product = next(each for each in reversed(ends) if each)
            yield _separated(subject, quantize, product, node)


def padding_kept(subject: LoweredGraph) -> Iterator[Finding]:
    """A Pad is fused into the convolution that follows, but not when a Q/DQ pair is between them."""
    for node in all_nodes(subject.graph):
        if node.op == "Pad" and is_standard(node):
            yield from _separated_from(subject, node, CONVOLUTIONS)


def both_quantized(subject: LoweredGraph) -> Iterator[Finding]:
    """A layer with int8 weights and float activations, or with float weights and int8 activations, runs in float."""
    graph = subject.graph
    for node in _weighted(graph):
        types = [_dequantized_from(graph, value) for value in node.inputs[:2]]
        # 4-bit weights with float activations are intended.
        if len(types) < 2 or not _EIGHT_BIT.intersection(types) or all(types):
            continue
        quantized, other = ("input", "weights") if types[0] else ("weights", "input")
        verb, negated = ("is", "are not") if types[0] else ("are", "is not")
        reason = f"its {quantized} {verb} quantized and its {other} {negated}"
        yield Finding(
            f"{graph.label(node)} runs in float: {reason}",
            f"it runs in float: {reason}",
            node,
            help="quantize all of its inputs, or none",
            severity="warning",
            code=Code.RUNS_IN_FLOAT,
        )


def _dequantized_from(graph: Graph, value: gs.Tensor) -> str:
    """The type that a value was dequantized from, also through nodes that only move it; empty when it was not."""
    node = graph.producer(value)
    while node is not None and (moves(graph, node) or (node.op == "Concat" and is_standard(node))):
        node = graph.producer(node.inputs[0])
    if node is None or not is_quantizer(node, "DequantizeLinear"):
        return ""
    dtype = graph.dtype(node.inputs[0])
    return "" if dtype is None else dtype.name


def _weighted(graph: Graph) -> Iterator[gs.Node]:
    return (node for node in all_nodes(graph) if is_product(node))


def _quantized_inputs(graph: Graph, node: gs.Node) -> bool:
    return any(is_quantizer(graph.producer(value), "DequantizeLinear") for value in node.inputs)


def _behind(graph: Graph, quantize: gs.Node) -> Iterator[gs.Node]:
    """The nodes that read the result of a QuantizeLinear and its DequantizeLinear."""
    if not is_quantizer(quantize, "QuantizeLinear"):
        return
    for dequantize in graph.readers(quantize.outputs[0]):
        if is_quantizer(dequantize, "DequantizeLinear"):
            yield from graph.readers(dequantize.outputs[0])


def _quantized_product(graph: Graph, value: gs.Tensor) -> tuple[gs.Node, gs.Node] | None:
    """The QuantizeLinear before a dequantized value, and the product whose result it quantizes; None without one."""
    dequantize = graph.producer(value)
    if not is_quantizer(dequantize, "DequantizeLinear"):
        return None
    quantize = graph.producer(dequantize.inputs[0])
    if not is_quantizer(quantize, "QuantizeLinear"):
        return None
    product = graph.producer(quantize.inputs[0])
    if product is None or not is_product(product) or not _quantized_inputs(graph, product):
        return None
    return quantize, product


def _separated_from(subject: LoweredGraph, node: gs.Node, operators: Collection[str]) -> Iterator[Finding]:
    """The Q/DQ pairs between a node and those of some operators that read it."""
    for quantize in subject.graph.readers(node.outputs[0]):
        for reader in _behind(subject.graph, quantize):
            if reader.op in operators and is_standard(reader):
                yield _separated(subject, quantize, node, reader)


def _separated(subject: LoweredGraph, quantize: gs.Node, first: gs.Node, second: gs.Node) -> Finding:
    graph = subject.graph
    between = f"is between {graph.label(first)} and {graph.label(second)}"
    return Finding(
        f"{graph.label(quantize)} {between}, which {subject.title} would otherwise run as one kernel",
        f"it {between}, which would otherwise run as one kernel",
        quantize,
        help=f"quantize before {graph.label(first)}" if first.op == "Pad" else f"quantize after {graph.label(second)}",
        severity="warning",
        code=Code.RUNS_IN_FLOAT,
    )
