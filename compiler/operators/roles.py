"""Products, operators that multiply data by weights: which input has which role, and how the weights lie.

Conv            weights (Cout, Cin / group, ...)
ConvTranspose   weights (Cin, Cout / group, ...)
Gemm            weights (K, N), with transB (N, K)
MatMul          weights (..., K, N), or (..., M, K) where the first input is the constant one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.domains import is_standard


@dataclass(frozen=True)
class Roles:
    """The indices of an operator's inputs; None for the bias of an operator that has none."""

    data: int
    weight: int
    bias: int | None = None


ROLES = {
    "Conv": Roles(0, 1, 2),
    "ConvInteger": Roles(0, 1),
    "ConvTranspose": Roles(0, 1, 2),
    "DeformConv": Roles(0, 1, 3),
    "Gemm": Roles(0, 1, 2),
    "MatMul": Roles(0, 1),
    "MatMulInteger": Roles(0, 1),
    "QLinearConv": Roles(0, 3, 8),
    "QLinearMatMul": Roles(0, 3),
}

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
MATRIX_PRODUCTS = frozenset({"Gemm", "MatMul"})
PRODUCTS = CONVOLUTIONS | MATRIX_PRODUCTS
"""The products of floating-point numbers whose weights passes read and rewrite."""

RECURRENT = frozenset({"GRU", "LSTM", "RNN"})


NORMS = frozenset({"BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization"})

_PASSING = frozenset({"Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Reshape", "Transpose"})


def trained_weights(graph: Graph) -> list[gs.Constant]:
    """The constants that training has made: those that products, recurrent operators and norms read.

    What stands between may convert them or move their numbers.
    """
    found: dict[int, gs.Constant] = {}
    waiting = [
        value
        for node in graph.nodes
        if node.op in (ROLES.keys() | RECURRENT | NORMS) and is_standard(node)
        for value in node.inputs
    ]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, gs.Constant):
            found[id(value)] = value
            continue
        source = graph.producer(value)
        if source is not None and source.op in _PASSING and id(source) not in seen:
            seen.add(id(source))
            waiting += source.inputs
    return list(found.values())


def is_product(node: gs.Node) -> bool:
    """Whether a node is one of ONNX's own operators among PRODUCTS."""
    return node.op in PRODUCTS and is_standard(node)


def optional_input(node: gs.Node, index: int) -> gs.Tensor | None:
    """An optional input of a node, None where it is left out."""
    return node.inputs[index] if len(node.inputs) > index and node.inputs[index].name else None


def bias_of(node: gs.Node) -> gs.Tensor | None:
    """The bias of a product, None where it has none."""
    index = ROLES[node.op].bias
    return None if index is None else optional_input(node, index)


def group_count(node: gs.Node) -> int:
    """Into how many groups a product divides its channels."""
    return int(node.attrs.get("group", 1)) if node.op in CONVOLUTIONS else 1


def output_axis(node: gs.Node, weight: int = 1, rank: int = 2) -> int:
    """The axis of the output channels in the weights of a product: its input `weight`, of `rank` axes."""
    if node.op == "MatMul":
        return rank - 1 if weight == 1 else rank - 2
    return 0 if node.op == "Conv" or (node.op == "Gemm" and node.attrs.get("transB", 0)) else 1


def output_channels(node: gs.Node, shape: Sequence[int], weight: int = 1) -> int:
    """How many output channels a product has by the shape of its weights."""
    size = int(shape[output_axis(node, weight, len(shape))])
    return size * group_count(node) if node.op == "ConvTranspose" else size


def summed_channels(node: gs.Node, shape: Sequence[int], weight: int = 1) -> int:
    """Over how many input channels a product sums for each output channel, by the shape of its weights."""
    if node.op == "MatMul":
        return int(shape[len(shape) - 2 if weight == 1 else -1])
    size = int(shape[1 - output_axis(node)])
    return size // group_count(node) if node.op == "ConvTranspose" else size
