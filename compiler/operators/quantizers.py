"""Operators of quantized models: those that convert to and from integers, and those that compute with integers."""

from __future__ import annotations

from typing import TypeGuard

import onnx_graphsurgeon as gs

from vggc.graph.domains import is_standard

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
"""A pair of them around float operators is how a model says what is to be computed with integers."""

INTEGER_OPERATORS = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear")
"""ONNX's operators that read or compute quantized numbers themselves."""

_INTEGER_FAMILIES = ("QLinear", "QGemm", "QAttention")
"""How onnxruntime's own integer operators (domain com.microsoft) begin."""


def is_quantizer(node: gs.Node | None, op: str = "") -> TypeGuard[gs.Node]:
    """Whether a node is one of ONNX's two quantizers, or the one named `op`."""
    return node is not None and node.op in ((op,) if op else QUANTIZERS) and is_standard(node)


def is_quantized(node: gs.Node) -> bool:
    """Whether a node shows that its model is quantized: a quantizer or an integer operator of any domain."""
    return node.op in (*QUANTIZERS, *INTEGER_OPERATORS) or node.op.startswith(_INTEGER_FAMILIES)
