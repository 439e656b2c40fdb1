"""Fold batch norms, and what is written out as one, into the operator that feeds them.

    BatchNormalization(Conv(x, w, b), scale, shift, mean, var)
    => Conv(x, w * k, (b - mean) * k + shift)          where k = scale / sqrt(var + epsilon)

The same holds behind ConvTranspose, Gemm, MatMul and another BatchNormalization, through Identity, and for Mul, Div,
Add and Sub by constants that hold one number per channel. A whole chain of them is folded at once, in float64, and
each weight is rounded once. What stays is declined with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.affine import Affine, Channels, Vector, batch_norm, elementwise, is_standard
from vggc.analysis.linear import output_channels, rescaled, rounded
from vggc.graph import Array, Graph
from vggc.rewrite import Declined, whole_graph


@dataclass
class _Chain:
    """A linear operator, and the nodes behind it that scale and shift its output channels."""

    head: gs.Node
    channels: Channels
    affine: Affine
    nodes: list[gs.Node] = field(default_factory=list)

    @property
    def result(self) -> gs.Variable:
        return (self.nodes or [self.head])[-1].outputs[0]

    @property
    def replaced(self) -> list[gs.Node]:
        return [self.head, *self.nodes]


@whole_graph
def fold_batch_norm(graph: Graph) -> None:
    """Fold batch norms, and constant Mul, Div, Add and Sub per channel, into the operator that feeds them."""
    nodes = [node for node in graph.nodes if is_standard(node)]
    if any(_needs_rank(graph, node) for node in nodes):
        graph.infer_shapes()
    folded: set[int] = set()
    merged: dict[int, gs.Node] = {}
    kept: dict[int, str] = {}
    for node in nodes:
        if node.op not in _FOLDS or id(node) in folded:
            continue
        try:
            chain = _chain(graph, node)
            if _is_worth_it(chain):
                merged[id(node)] = _FOLDS[node.op](graph, chain)
                folded |= {id(each) for each in chain.nodes}
        except Declined as reason:
            kept |= {id(each): str(reason) for each in _behind(graph, node)}
    for node in nodes:
        if node.op == "BatchNormalization" and id(node) not in folded:
            graph.decline(merged.get(id(node), node), _why_kept(graph, node, kept))


def _chain(graph: Graph, head: gs.Node) -> _Chain:
    """The nodes behind `head` that fold into it. Raises Declined when nothing can fold into it."""
    chain = _start(graph, head)
    value = head.outputs[0]
    while (node := graph.only_reader(value)) is not None:
        affine = _affine(graph, node, value, chain)
        if not isinstance(affine, Affine):
            break
        chain.affine = chain.affine.then(affine)
        chain.nodes.append(node)
        value = node.outputs[0]
    while chain.nodes and chain.nodes[-1].op == "Identity":
        chain.nodes.pop()
    return chain


def _start(graph: Graph, head: gs.Node) -> _Chain:
    if head.op == "BatchNormalization":
        affine = batch_norm(graph, head)
        if isinstance(affine, str):
            raise Declined(affine)
        rank = graph.rank(head.inputs[0]) or graph.rank(head.outputs[0])
        channels = Channels(len(affine.scale), rank, 1 - rank if rank is not None else None)
    else:
        channels = output_channels(graph, head)
    return _Chain(head, channels, Affine.identity(channels.count))


def _affine(graph: Graph, node: gs.Node, value: gs.Tensor, chain: _Chain) -> Affine | None:
    """What `node` does to the channels of `value`, or None when it does not fold."""
    if not is_standard(node):
        return None
    if node.op == "Identity":
        return Affine.identity(chain.channels.count)
    if node.op != "BatchNormalization":
        return elementwise(graph, node, value, chain.channels)
    if node.inputs[0] is not value or not chain.channels.is_second_axis:
        return None
    affine = batch_norm(graph, node)
    return affine if isinstance(affine, Affine) and len(affine.scale) == chain.channels.count else None


def _is_worth_it(chain: _Chain) -> bool:
    """Whether folding leaves fewer nodes: a MatMul has no bias, so that the Add behind it stays what it is."""
    count = sum(node.op != "Identity" for node in chain.nodes)
    return count > 1 or (count == 1 and (chain.head.op != "MatMul" or chain.affine.scales))


# --- one function for each operator that takes a chain in ---------------------------------------------------


def _into_conv(graph: Graph, chain: _Chain) -> gs.Node:
    weight = _scaled(graph, chain, axis=0)
    return _finish(graph, chain, [weight, _bias(graph, chain)])


def _into_conv_transpose(graph: Graph, chain: _Chain) -> gs.Node:
    # The weight is (channels in, channels out / group, ...), its rows grouped one behind another.
    weight = _scaled(graph, chain, axis=1, group=chain.head.attrs.get("group", 1))
    return _finish(graph, chain, [weight, _bias(graph, chain)])


def _into_gemm(graph: Graph, chain: _Chain) -> gs.Node:
    weight = _scaled(graph, chain, axis=0 if chain.head.attrs.get("transB", 0) else 1)
    bias = _bias(graph, chain, chain.head.attrs.get("beta", 1.0))
    attrs = {"beta": 1.0} if "beta" in chain.head.attrs else {}
    return _finish(graph, chain, [weight, bias], attrs=attrs)


def _into_matmul(graph: Graph, chain: _Chain) -> gs.Node:
    weight = _scaled(graph, chain, axis=1)
    bias = _bias(graph, chain)
    if bias is None or chain.channels.rank == 2:
        return _finish(graph, chain, [weight, bias], op="MatMul" if bias is None else "Gemm")
    source, result, scaled = chain.head.outputs[0], chain.result, chain.head.inputs[0]
    last = chain.nodes[-1]
    _remove(graph, chain)
    product = graph.add("MatMul", [scaled, weight], like=chain.head, replaces=[chain.head])
    product.outputs[0].dtype, product.outputs[0].shape = source.dtype, source.shape
    return graph.add("Add", [product.outputs[0], bias], name=last.name, replaces=chain.nodes, output=result)


def _into_batch_norm(graph: Graph, chain: _Chain) -> gs.Node:
    """Scale and shift of the batch norm take the chain in; its mean and variance stay."""
    head, affine = chain.head, chain.affine
    old_scale, old_shift = (graph.array(value) for value in head.inputs[1:3])
    if old_scale is None or old_shift is None:
        raise AssertionError("a batch norm at the head of a chain has constant parameters")
    scale = rounded(np.asarray(old_scale, np.float64) * affine.scale, old_scale.dtype)
    shift = rounded(np.asarray(old_shift, np.float64) * affine.scale + affine.shift, old_shift.dtype)
    if scale is None or shift is None:
        raise Declined(f"scale and shift behind {graph.label(head)} do not fit {old_scale.dtype}")
    constants = [
        graph.constant(array, hint=value.name) for array, value in zip((scale, shift), head.inputs[1:3], strict=True)
    ]
    return _finish(graph, chain, [*constants, *head.inputs[3:]])


_FOLDS: dict[str, Callable[[Graph, _Chain], gs.Node]] = {
    "Conv": _into_conv,
    "ConvTranspose": _into_conv_transpose,
    "Gemm": _into_gemm,
    "MatMul": _into_matmul,
    "BatchNormalization": _into_batch_norm,
}


def _scaled(graph: Graph, chain: _Chain, axis: int, group: int = 1) -> gs.Constant:
    """The weight times the chain's scale: a new constant, since others may read the old one."""
    weight: gs.Constant = chain.head.inputs[1]
    if not chain.affine.scales:
        return weight
    array = rescaled(_numbers(graph, weight), chain.affine.scale, axis, group)
    if array is None:
        raise Declined(f"the weight of {graph.label(chain.head)}, rescaled, does not fit {graph.dtype(weight)}")
    return graph.constant(array, hint=weight.name)


def _bias(graph: Graph, chain: _Chain, beta: float = 1.0) -> gs.Constant | None:
    """beta * bias * scale + shift in the type of the weight, or None where that is zero and there was none."""
    head = chain.head
    old = head.inputs[2] if len(head.inputs) > 2 and head.inputs[2].name else None
    values: Vector = chain.affine.shift
    if old is not None:
        values = beta * _numbers(graph, old).astype(np.float64) * chain.affine.scale + values
    elif not values.any():
        return None
    dtype = _numbers(graph, old if old is not None else head.inputs[1]).dtype
    array = rounded(values, dtype)
    if array is None:
        raise Declined(f"the bias of {graph.label(head)} does not fit {dtype}")
    return graph.constant(array, hint=old.name if old is not None else f"{head.name or chain.result.name}.bias")


def _numbers(graph: Graph, value: gs.Tensor) -> Array:
    array = graph.array(value)
    if array is None:
        raise Declined(f"`{value.name}` is a sparse constant")
    return array


def _finish(
    graph: Graph,
    chain: _Chain,
    parameters: list[gs.Constant | None],
    *,
    op: str | None = None,
    attrs: dict[str, float] | None = None,
) -> gs.Node:
    """Put one operator in the place of the chain."""
    inputs = [chain.head.inputs[0], *(each for each in parameters if each is not None)]
    result = chain.result
    _remove(graph, chain)
    return graph.add(op or chain.head.op, inputs, attrs, like=chain.head, replaces=chain.replaced, output=result)


def _remove(graph: Graph, chain: _Chain) -> None:
    for node in chain.replaced:
        graph.remove(node)
    for node in chain.nodes:
        if node.op != "Identity":
            graph.record(f"fold {node.op} into {chain.head.op}")


# --- why a batch norm stays --------------------------------------------------------------------------------


def _needs_rank(graph: Graph, node: gs.Node) -> bool:
    """Whether what folds into a node depends on a rank that is not known yet."""
    if node.op not in ("MatMul", "BatchNormalization") or graph.rank(node.inputs[0]) is not None:
        return False
    source = _source(graph, node.inputs[0])
    if node.op == "BatchNormalization" and source is not None and source.op in _FOLDS and source.op != "MatMul":
        return False
    return any(reader.op in _FOLLOWERS for reader in graph.readers(node.outputs[0]))


_FOLLOWERS = frozenset({"Add", "BatchNormalization", "Div", "Identity", "Mul", "Sub", "Sum"})


def _source(graph: Graph, value: gs.Tensor) -> gs.Node | None:
    """The node that computes a value, seen through Identity."""
    node = graph.producer(value)
    while node is not None and node.op == "Identity":
        node = graph.producer(node.inputs[0])
    return node


def _behind(graph: Graph, node: gs.Node) -> Iterable[gs.Node]:
    return [each for each in graph.readers(node.outputs[0]) if each.op == "BatchNormalization"]


def _why_kept(graph: Graph, node: gs.Node, reasons: dict[int, str]) -> str:
    affine = batch_norm(graph, node)
    if isinstance(affine, str):
        return affine
    if id(node) in reasons:
        return reasons[id(node)]
    value = node.inputs[0]
    source = graph.producer(value)
    if source is None:
        return f"its input `{value.name}` is an input of the model"
    label = graph.label(source)
    others = [each for each in graph.readers(value) if each is not node]
    if source.op not in _FOLDS:
        return f"it follows {label}, which has no weights of its own"
    if graph.is_output(value):
        return f"the output of {label} is an output of the model"
    if others:
        return f"the output of {label} is also read by {graph.label(others[0])}"
    return f"its channels are not those of {label}"
