"""What a model costs: parameters, bytes of weights, and multiply-accumulate operations (MACs)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import onnx_graphsurgeon as gs

from vggc.analysis.shapes.value_shapes import Shapes
from vggc.graph import Graph
from vggc.graph.domains import is_standard
from vggc.graph.writer import weight_bytes
from vggc.operators.quantizers import QUANTIZERS
from vggc.operators.roles import RECURRENT, ROLES

Shape = tuple[int | None, ...] | None
ShapeOf = Callable[[gs.Tensor], Shape]


class NodeCost(NamedTuple):
    """One node. `macs` is None when a shape it depends on is unknown; shared weights count at each of their nodes."""

    label: str
    op: str
    output: Shape
    params: int
    weight_bytes: int
    macs: int | None


@dataclass(frozen=True)
class Costs:
    """A model. Shared weights count once; `macs` is None when those of some node are, which `unknown` names."""

    params: int
    weight_bytes: int
    macs: int | None
    nodes: tuple[NodeCost, ...]

    @property
    def unknown(self) -> tuple[NodeCost, ...]:
        return tuple(each for each in self.nodes if each.macs is None)


def costs(graph: Graph, shapes: ShapeOf | None = None) -> Costs:
    """Count a graph whose shapes have been inferred, or are given by a function.

    A dynamic batch counts as one sample; a static one as it is. Parameters are the numbers of float constants and of
    quantized weights; single numbers, shapes, axes, indices, and scales and zero points of Q/DQ are none. MACs are
    those of convolutions, matrix products, recurrent operators, attention and Einsum: a multiplication and an addition
    count as one, biases and activations as nothing.
    """
    if shapes is not None:
        return _count(graph, shapes)
    known = Shapes(graph)
    found = _count(graph, known.of_one_sample)
    if found.macs is not None:
        return found
    known.complete()
    return _count(graph, known.of_one_sample)


def _count(graph: Graph, shapes: ShapeOf) -> Costs:
    nodes = []
    held: dict[int, tuple[int, int]] = {}
    for node in graph.nodes:
        own = weights(node)
        params = size = 0
        for identity, found in own.items():
            held[identity] = max(held.get(identity, found), found)
            params, size = params + found[0], size + found[1]
        output = shapes(node.outputs[0]) if node.outputs else None
        nodes.append(NodeCost(graph.label(node), node.op, output, params, size, _macs(node, shapes)))
    for value in graph.outputs:
        if isinstance(value, gs.Constant):
            held.setdefault(id(value), (0, weight_bytes(value)))
    macs = [each.macs for each in nodes]
    total = sum(each for each in macs if each is not None) if None not in macs else None
    counted = held.values()
    return Costs(sum(each[0] for each in counted), sum(each[1] for each in counted), total, tuple(nodes))


def _size(dimensions: Sequence[int | None] | None) -> int | None:
    known = [each for each in dimensions or () if each is not None]
    return math.prod(known) if dimensions is not None and len(known) == len(dimensions) else None


# --- weights -----------------------------------------------------------------------------------------------


def weights(node: gs.Node) -> dict[int, tuple[int, int]]:
    """Parameters and bytes of each constant a node reads, those of its bodies included, by identity."""
    found = {}
    for each in (node, *_inside(node)):
        for index, value in enumerate(each.inputs):
            if isinstance(value, gs.Constant):
                found[id(value)] = (_params(each.op, index, value), weight_bytes(value))
    return found


def _inside(node: gs.Node) -> Sequence[gs.Node]:
    """The nodes of a node's bodies."""
    for each in node.attrs.values():
        if isinstance(each, gs.Graph):
            return [inner for body in node.subgraphs(recursive=True) for inner in body.nodes]
    return ()


def _params(op: str, index: int, value: gs.Constant) -> int:
    shape = value.shape
    if not shape or (op in QUANTIZERS and index > 0):
        return 0
    name = _type_name(value.dtype)
    if "int" in name:
        narrow = name in ("int8", "uint8", "int4", "uint4", "int2", "uint2")
        # A quantized bias is int32; any other constant of that type is an index, an axis or a size.
        if not narrow and op not in ("DequantizeLinear", "QLinearConv"):
            return 0
    elif "float" not in name:
        return 0
    return math.prod(int(each) for each in shape)


@cache
def _type_name(dtype: Any) -> str:
    return str(getattr(dtype, "name", None) or getattr(dtype, "__name__", dtype))


# --- MACs --------------------------------------------------------------------------------------------------


def _product(*sizes: int | None) -> int | None:
    return _size(sizes)


def _convolution(node: gs.Node, shapes: ShapeOf) -> int | None:
    """Each output element of a Conv, and each input element of a ConvTranspose, meets one slice W[0] of the weight."""
    meeting = shapes(node.inputs[0] if node.op == "ConvTranspose" else node.outputs[0])
    weights = shapes(node.inputs[ROLES[node.op].weight])
    return None if weights is None else _product(_size(meeting), _size(weights[1:]))


def _gemm(node: gs.Node, shapes: ShapeOf) -> int | None:
    left, right = shapes(node.inputs[0]), shapes(node.inputs[1])
    inner = None if left is None or len(left) != 2 else left[0 if node.attrs.get("transA") else 1]
    if inner is None and right is not None and len(right) == 2:
        inner = right[1 if node.attrs.get("transB") else 0]
    return _product(_size(shapes(node.outputs[0])), inner)


def _matmul(node: gs.Node, shapes: ShapeOf) -> int | None:
    first, second = shapes(node.inputs[0]), shapes(node.inputs[ROLES[node.op].weight])
    if not first or not second:
        return None
    inner = first[-1] if first[-1] is not None else second[-2 if len(second) > 1 else -1]
    if len(second) <= 2 and _size(first) is not None:
        # One weight for all: what the data has, times the columns.
        return _product(_size(first), second[-1] if len(second) == 2 else 1)
    return _product(_size(shapes(node.outputs[0])), inner)


def _recurrent(node: gs.Node, shapes: ShapeOf) -> int | None:
    """Each step of each sample meets all weights of the input and of the state, of all directions."""
    data = shapes(node.inputs[0])
    own = [_size(shapes(value)) for value in node.inputs[1:3]]
    if data is None or len(own) < 2 or own[0] is None or own[1] is None:
        return None
    return _product(data[0], data[1], own[0] + own[1])


def _attention(node: gs.Node, shapes: ShapeOf) -> int | None:
    """Each query meets each key, and each of the weights that come of it a value, in every head.

    Operands are (batch, heads, length, width), or (batch, length, heads * width) with the heads in attributes.
    """
    query, key, value = (_heads(node, shapes(each), index) for index, each in enumerate(node.inputs[:3]))
    if query is None or key is None or value is None:
        return None
    keys = key[2]
    if len(node.inputs) > 4 and node.inputs[4].name:
        past = shapes(node.inputs[4])
        keys = None if past is None or keys is None or past[2] is None else keys + past[2]
    widths = None if query[3] is None or value[3] is None else query[3] + value[3]
    return _product(query[0], query[1], query[2], keys, widths)


def _heads(node: gs.Node, shape: Shape, index: int) -> Shape:
    """An operand's dimensions as (batch, heads, length, width)."""
    if shape is None or len(shape) == 4:
        return shape
    heads = node.attrs.get("q_num_heads" if index == 0 else "kv_num_heads")
    if len(shape) != 3 or not heads:
        return None
    return shape[0], int(heads), shape[1], None if shape[2] is None else shape[2] // int(heads)


def _einsum(node: gs.Node, shapes: ShapeOf) -> int | None:
    """Every combination of all indices is one product of all operands."""
    equation = str(node.attrs.get("equation", "")).replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    sizes: dict[str | int, int | None] = {}
    for term, value in zip(terms, node.inputs, strict=True):
        shape = shapes(value)
        if shape is None:
            return None
        before, dots, after = term.partition("...")
        # The axes that the dots stand for broadcast, so they are numbered from the last one.
        hidden = range(len(shape) - len(before) - len(after))[::-1] if dots else ()
        for index, size in zip((*before, *hidden, *after), shape, strict=True):
            known = sizes.setdefault(index, size)
            if known == 1 or (known is None and size != 1):
                sizes[index] = size
    return _product(*sizes.values(), len(terms) - 1)


_COUNTERS: dict[str, Callable[[gs.Node, ShapeOf], int | None]] = {
    **dict.fromkeys(("Conv", "ConvInteger", "ConvTranspose", "DeformConv", "QLinearConv"), _convolution),
    "Gemm": _gemm,
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _matmul),
    **dict.fromkeys(RECURRENT, _recurrent),
    "Attention": _attention,
    "Einsum": _einsum,
}


def _macs(node: gs.Node, shapes: ShapeOf) -> int | None:
    if not is_standard(node):
        return None
    if any(inner.op in _COUNTERS for inner in _inside(node)):
        # How often a body runs, or which of two, is known when it runs.
        return None
    counter = _COUNTERS.get(node.op)
    return counter(node, shapes) if counter else 0
