"""What a model costs: parameters, bytes of weights, and multiply-accumulate operations (MACs)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import onnx
import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.domains import is_standard
from vggc.graph.writer import weight_bytes
from vggc.operators.quantizers import QUANTIZERS
from vggc.operators.roles import RECURRENT, ROLES

Shape = tuple[int | None, ...] | None
Shapes = Callable[[gs.Tensor], Shape]


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


def costs(graph: Graph, shapes: Shapes | None = None) -> Costs:
    """Count a graph whose shapes have been inferred, or are given by a function.

    A dynamic batch counts as one sample; a static one as it is. Parameters are the numbers of float constants and of
    quantized weights; single numbers, shapes, axes, indices, and scales and zero points of Q/DQ are none. MACs are
    those of convolutions and matrix products: a multiplication and an addition count as one, biases as nothing.
    """
    if shapes is not None:
        return _count(graph, shapes)
    found = _count(graph, _shapes(graph))
    # Where a shape is lost in a computed Reshape, inferring all of them for one sample may still tell.
    return _count(graph, _shapes_of_one_sample(graph)) if found.macs is None else found


def _count(graph: Graph, shapes: Shapes) -> Costs:
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


# --- shapes ------------------------------------------------------------------------------------------------


def _shapes(graph: Graph) -> Shapes:
    """Shapes in numbers, with one sample in a dynamic batch; None for what is not known."""
    firsts = [value.shape[0] for value in graph.inputs if value.shape]
    batch = {each for each in firsts if isinstance(each, str) and each}
    nameless = any(each is None or each == "" for each in firsts)

    symbols: dict[str, int] = dict.fromkeys(batch, 1)

    def size(axis: int, dimension: int | str | None) -> int | None:
        if type(dimension) is int:
            return dimension if dimension >= 0 else None
        if dimension is None or dimension == "":
            return 1 if nameless and axis == 0 else None
        if isinstance(dimension, str):
            return symbols.get(dimension)
        return int(dimension) if dimension >= 0 else None

    def shape(value: gs.Tensor) -> Shape:
        known = value.shape
        return None if known is None else tuple(size(axis, each) for axis, each in enumerate(known))

    for node in graph.nodes:
        if node.op == "Reshape":
            # What goes in comes out: that tells the one dimension inference had to invent a name for.
            target = node.outputs[0].shape or ()
            left = [each for each in target if isinstance(each, str) and each not in symbols]
            total = _size(shape(node.inputs[0]))
            rest = _size([size(axis, each) for axis, each in enumerate(target) if each not in left])
            if len(left) == 1 and total is not None and rest:
                symbols[left[0]] = total // rest
    return shape


def _shapes_of_one_sample(graph: Graph) -> Shapes:
    """Shapes inferred anew with 1 for the batch."""
    model = graph.skeleton(known=False)
    for each in model.graph.input[: len(graph.inputs)]:
        dimensions = each.type.tensor_type.shape.dim
        if dimensions and not dimensions[0].HasField("dim_value"):
            dimensions[0].dim_value = 1
    for output in model.graph.output:
        # What the model declares of its outputs may name the batch, too.
        output.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    known = {
        each.name: tuple(size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim)
        for each in (*inferred.input, *inferred.value_info, *inferred.output)
        if (tensor := each.type.tensor_type).HasField("shape")
    }

    def shape(value: gs.Tensor) -> Shape:
        return tuple(value.shape) if isinstance(value, gs.Constant) else known.get(value.name)

    return shape


def _size(dimensions: Sequence[int | None] | None) -> int | None:
    if dimensions is None:
        return None
    total = 1
    for each in dimensions:
        if each is None:
            return None
        total *= each
    return total


# --- weights -----------------------------------------------------------------------------------------------


def weights(node: gs.Node) -> dict[int, tuple[int, int]]:
    """Parameters and bytes of each constant a node reads, those of its bodies included, by identity."""
    found = {}
    for each in _with_bodies(node):
        for index, value in enumerate(each.inputs):
            if isinstance(value, gs.Constant):
                found[id(value)] = (_params(each.op, index, value), weight_bytes(value))
    return found


def _with_bodies(node: gs.Node) -> Iterator[gs.Node]:
    yield node
    # Most nodes have no body, and asking graphsurgeon takes its time.
    if any(isinstance(each, gs.Graph) for each in node.attrs.values()):
        for body in node.subgraphs(recursive=True):
            yield from body.nodes


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


def _convolution(node: gs.Node, shapes: Shapes) -> int | None:
    """Each output element of a Conv, and each input element of a ConvTranspose, meets one slice W[0] of the weight."""
    meeting = shapes(node.inputs[0] if node.op == "ConvTranspose" else node.outputs[0])
    weights = shapes(node.inputs[ROLES[node.op].weight])
    return None if weights is None else _product(_size(meeting), _size(weights[1:]))


def _gemm(node: gs.Node, shapes: Shapes) -> int | None:
    left, right = shapes(node.inputs[0]), shapes(node.inputs[1])
    inner = None if left is None or len(left) != 2 else left[0 if node.attrs.get("transA") else 1]
    if inner is None and right is not None and len(right) == 2:
        inner = right[1 if node.attrs.get("transB") else 0]
    return _product(_size(shapes(node.outputs[0])), inner)


def _matmul(node: gs.Node, shapes: Shapes) -> int | None:
    first, second = shapes(node.inputs[0]), shapes(node.inputs[ROLES[node.op].weight])
    if not first or not second:
        return None
    inner = first[-1] if first[-1] is not None else second[-2 if len(second) > 1 else -1]
    if len(second) <= 2 and _size(first) is not None:
        # One weight for all: what the data has, times the columns.
        return _product(_size(first), second[-1] if len(second) == 2 else 1)
    return _product(_size(shapes(node.outputs[0])), inner)


def _unknown(node: gs.Node, shapes: Shapes) -> int | None:
    return None


_COUNTERS: dict[str, Callable[[gs.Node, Shapes], int | None]] = {
    **dict.fromkeys(("Conv", "ConvInteger", "ConvTranspose", "QLinearConv"), _convolution),
    "Gemm": _gemm,
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _matmul),
    # These multiply too, and nobody has counted how often.
    **dict.fromkeys((*RECURRENT, "Attention", "DeformConv", "Einsum"), _unknown),
}


def _macs(node: gs.Node, shapes: Shapes) -> int | None:
    if not is_standard(node):
        return None
    if any(inner.op in _COUNTERS for inner in _with_bodies(node) if inner is not node):
        # How often a body runs, or which of two, is known when it runs.
        return None
    counter = _COUNTERS.get(node.op)
    return counter(node, shapes) if counter else 0
