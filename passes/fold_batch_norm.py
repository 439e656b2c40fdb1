"""Fold batch norms, and nodes that compute the same, into the operators around them.

    BatchNormalization(Conv(x, w, b), scale, shift, mean, var)
    => Conv(x, w * k, (b - mean) * k + shift)          where k = scale / sqrt(var + epsilon)

The same holds after ConvTranspose, Gemm, MatMul and another BatchNormalization, for quantized weights (k is multiplied
into their scales), and for Mul, Div, Add and Sub by constants with one number per channel. A norm can also be folded
through nodes between it and such an operator: Identity, Transpose, Flatten, average pools; MaxPool when k >= 0; Relu
when k > 0 and nothing is added; Concat into each branch, and Add of two values into both.

    Conv(BatchNormalization(x), w, b)                  => Conv(x, w * k, b + sum(w * t))       t = shift - mean * k
    Conv(BatchNormalization(x), w, b, pads)            => Add(Conv(x, w * k, b, pads), conv(t, w, pads))

A norm without such an operator before it is folded into the Conv, Gemm or MatMul after it. When this convolution pads
an image of known size, t adds less at the border: a constant (1, channels, height, width). Where such constants would
make the model much larger, the norm stays.

All factors and shifts that meet in one operator are combined in float64, and each weight is rounded once. The pass
declines the other norms with a reason. It is one pass and not a set of rules, because rules would round at each step,
and a Concat may have any number of branches. Each body of an If, Loop or Scan is a separate graph: nothing is folded
into it or out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.affine import Affine, batch_norm
from vggc.analysis.folding.downward import Downward, Supply
from vggc.analysis.folding.parameters import Parameters, new_parameters
from vggc.analysis.folding.passages import PASSED
from vggc.analysis.folding.quantized import Quantized
from vggc.analysis.folding.reasons import why_kept
from vggc.analysis.folding.upward import Demand, Moved, Upward, linked
from vggc.analysis.linear import Linear, rounded
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.bodies import bodies
from vggc.graph.domains import is_standard
from vggc.graph.writer import weight_bytes
from vggc.operators.data_movement import FLATTENERS
from vggc.operators.elementwise import ARITHMETIC
from vggc.operators.roles import PRODUCTS
from vggc.rewrite import Context, Declined, whole_graph
from vggc.values import Bytes

_NORM = "BatchNormalization"
_LARGEST = 16 << 20
"""Bytes of one constant for the border of a padded convolution."""

_LEAST_BUDGET = 1 << 20
_SHARE = 10
"""All constants for borders together may take this part of the bytes of the weights, and always _LEAST_BUDGET."""


@dataclass
class _Folded:
    """What operators were before they took something in, so that a second time starts from weights not yet rounded."""

    operators: dict[int, tuple[Linear, Affine]] = field(default_factory=dict)
    affines: dict[int, Affine] = field(default_factory=dict)


@dataclass
class _Budget:
    """What the constants for borders may still add to the model, in bytes: in all, and one of them."""

    left: int
    one: int

    def beyond(self, borders: Sequence[tuple[gs.Node, int]]) -> set[int]:
        """The convolutions, by id, whose constants do not fit into what is left beside those of the ones before."""
        left, found = self.left, set[int]()
        for node, size in borders:
            if size > left:
                found.add(id(node))
            else:
                left -= size
        return found


@whole_graph
def fold_batch_norm(graph: Graph, context: Context, largest: Bytes | None = None) -> None:
    """Fold batch norms, and constant Mul, Div, Add and Sub per channel, into the operators around them.

    Options:
        largest: how many bytes the constants that shifts before padded convolutions need may add to the model in all.
            By default a tenth of its weights, at least 1 MiB, and at most 16 MiB for one of them.
    """
    if largest is None:
        left = max(_LEAST_BUDGET, sum(weight_bytes(each) for each in graph.constants()) // _SHARE)
        budget = _Budget(left, min(left, _LARGEST))
    else:
        budget = _Budget(int(largest), int(largest))
    _fold(graph, context, budget)
    for body in bodies(graph):
        _fold(body, context, budget)


def _fold(graph: Graph, context: Context, budget: _Budget) -> None:
    """The pass for a graph without its bodies."""
    if any(node.op in _BY_SHAPE and _needs_shape(graph, node) for node in graph.nodes):
        graph.infer_shapes()
    folded, refused = _Folded(), dict[int, str]()
    removed = _fold_upward(graph, context, folded, refused)
    left = [node for node in graph.nodes if node.op in _FOLDS and id(node) not in removed and _may_go_down(graph, node)]
    if not left:
        return
    graph.tidy()
    if any(graph.shape(node.outputs[0]) is None for node in left):
        graph.infer_shapes()
    down = _fold_downward(graph, context, budget, folded)
    for node, reason in down.costly:
        context.decline(node, reason)
    kept = [node for node in graph.nodes if node.op == _NORM and is_standard(node) and id(node) not in down.removed]
    if kept:
        up = Upward(graph, refused)
        for node in kept:
            context.decline(node, why_kept(up, down, node))


def _needs_shape(graph: Graph, node: gs.Node) -> bool:
    """Whether what folds into a node depends on a shape that is not known yet."""
    if not is_standard(node) or graph.rank(node.inputs[0]) is not None:
        return False
    source = graph.producer(node.inputs[0])
    if node.op == _NORM and source is not None and source.op in (PRODUCTS | {_NORM}) - {"MatMul"}:
        # The rank of their weights tells it, and that of the first batch norm those of others behind it.
        return source.op != _NORM and not isinstance(source.inputs[1], gs.Constant)
    return any(reader.op in _FOLLOWERS for reader in graph.readers(node.outputs[0]))


_BY_SHAPE = FLATTENERS | {"MatMul", _NORM}
_FOLLOWERS = ARITHMETIC | PASSED | {_NORM, "Concat"}


def _may_go_down(graph: Graph, node: gs.Node) -> bool:
    """Whether a node is a batch norm, or constant arithmetic before something that may take it in."""
    if node.op == _NORM:
        return is_standard(node)
    if not is_standard(node) or not any(isinstance(value, gs.Constant) for value in node.inputs):
        return False
    return any(each.op in _BELOW for each in graph.readers(node.outputs[0]))


_FOLDS = ARITHMETIC | {_NORM}
_BELOW = PRODUCTS | ARITHMETIC | PASSED


# --- into what is before --------------------------------------------------------------------------------------


def _fold_upward(graph: Graph, context: Context, folded: _Folded, refused: dict[int, str]) -> set[int]:
    """Returns the nodes that are gone, by id."""
    while True:
        plan, wrong = Upward(graph, refused), dict[int, str]()
        ready: list[tuple[gs.Node, Demand, Parameters | list[Array]]] = []
        for node, demand in plan.taken:
            try:
                ready.append((node, demand, _parameters(graph, plan, node, demand.affine)))
            except Declined as reason:
                wrong[id(node)] = str(reason)
        if not wrong:
            break
        # What one operator cannot take in must not be half done in the others.
        refused |= wrong
    for node in plan.gone:
        if node.op != "Identity":
            context.record(f"fold {node.op} into {plan.into[id(node)]}")
    old = [*plan.gone, *(each.node for each in plan.moved), *(node for node, _ in plan.taken)]
    for node in old:
        graph.remove(node)
    for each in plan.moved:
        _move(graph, each)
    for node, demand, parameters in ready:
        replaced = [node, *linked(demand.folded)]
        if isinstance(parameters, Parameters):
            place = _Place(node, node.inputs[0], demand.result, replaced, plan.operators[id(node)], demand.affine)
            _put(graph, folded, place, parameters)
        else:
            _put_norm(graph, folded, node, demand, parameters)
    return {id(node) for node in old}


def _parameters(graph: Graph, plan: Upward, node: gs.Node, affine: Affine) -> Parameters | list[Array]:
    if node.op != _NORM:
        return new_parameters(graph, plan.operators[id(node)], affine)
    # Scale and shift of a batch norm take in what is behind it; its mean and variance stay.
    old = [graph.array(value) for value in node.inputs[1:3]]
    if old[0] is None or old[1] is None:
        raise AssertionError("a batch norm that takes something in has constant parameters")
    scale, shift = (np.asarray(each, np.float64).reshape(-1) for each in old)
    new = rounded(scale * affine.scale, old[0].dtype), rounded(shift * affine.scale + affine.shift, old[1].dtype)
    if new[0] is None or new[1] is None:
        raise Declined(f"scale and shift behind {graph.label(node)} do not fit {old[0].dtype}")
    return [new[0], new[1]]


def _put_norm(graph: Graph, folded: _Folded, node: gs.Node, demand: Demand, arrays: list[Array]) -> None:
    constants = [graph.constant(array, hint=value.name) for array, value in zip(arrays, node.inputs[1:3], strict=True)]
    inputs = [node.inputs[0], *constants, *node.inputs[3:]]
    new = graph.add(node.op, inputs, like=node, replaces=[node, *linked(demand.folded)], output=demand.result)
    before = batch_norm(graph, node)
    if isinstance(before, Affine):
        folded.affines[id(new)] = before.then(demand.affine)


def _move(graph: Graph, each: Moved) -> None:
    node = each.node
    graph.add(node.op, each.inputs, like=node, replaces=[node, *linked(each.folded)], output=each.result)


# --- into what is behind --------------------------------------------------------------------------------------


def _fold_downward(graph: Graph, context: Context, budget: _Budget, folded: _Folded) -> Downward:
    refused, too_large = dict[int, str](), set[int]()
    while True:
        plan, wrong = Downward(graph, budget.one, folded.affines, refused, too_large), dict[int, str]()
        ready: list[tuple[_Place, Parameters]] = []
        for node, supply in plan.taken:
            try:
                ready.append(_taking(graph, folded, plan, node, supply))
            except Declined as reason:
                wrong[id(node)] = str(reason)
        borders = [(place.node, each.border.nbytes) for place, each in ready if each.border is not None]
        beyond = budget.beyond(borders)
        if not wrong and not beyond:
            break
        refused |= wrong
        too_large |= beyond
    budget.left -= sum(size for _, size in borders)
    for node in plan.gone:
        if node.op != "Identity":
            context.record(f"fold {node.op} into {plan.into[id(node)]}")
    replaced = [node for place, _ in ready for node in place.replaced[: place.own]]
    for node in (*plan.gone, *(each.node for each in plan.moved), *replaced):
        graph.remove(node)
    plan.removed = {id(node) for node in plan.gone}
    for each in plan.moved:
        _move(graph, each)
    for place, parameters in ready:
        _put(graph, folded, place, parameters)
    return plan


def _taking(graph: Graph, folded: _Folded, plan: Downward, node: gs.Node, supply: Supply) -> tuple[_Place, Parameters]:
    operator = plan.operators[id(node)]
    operator, after = folded.operators.get(id(node), (operator, Affine.identity(operator.channels.count)))
    result, own = node.outputs[0], [node]
    bias = plan.bias_behind(node) if node.op == "MatMul" and supply.affine.shift.any() else None
    if bias is not None:
        add, shift = bias
        exact = folded.affines.get(id(add), Affine(np.ones(len(shift)), shift))
        after, result = after.then(exact), add.outputs[0]
        own.append(add)
    parameters = new_parameters(graph, operator, after, supply.affine, plan.images.get(id(node)))
    replaced = [*own, *linked(supply.folded)[::-1]]
    return _Place(node, supply.source, result, replaced, operator, after, len(own)), parameters


# --- the new operator -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where an operator is put: what it reads and computes, and the nodes it stands for, the first `own` its own.

    `operator` is what it was before anything folded into it, `after` what has since folded into it from behind.
    """

    node: gs.Node
    source: gs.Tensor
    result: gs.Variable
    replaced: list[gs.Node]
    operator: Linear
    after: Affine
    own: int = 1


def _put(graph: Graph, folded: _Folded, place: _Place, parameters: Parameters) -> None:
    """Put an operator with new parameters, and the Add it may need, in the place of the old nodes."""
    node, old, result, operator, after = place.node, place.operator.node, place.result, place.operator, place.after
    op, bias, attrs = old.op, operator.bias, {}
    summand: gs.Tensor | None = None
    base = node.name or result.name
    if parameters.bias is not None:
        bias = graph.constant(parameters.bias, hint=bias.name if bias is not None else f"{base}.bias")
        attrs = {"beta": 1.0} if "beta" in old.attrs else {}
    if parameters.border is not None:
        summand = graph.constant(parameters.border, hint=f"{base}.border")
    if op == "MatMul" and bias is not None:
        if operator.channels.rank == 2:
            op = "Gemm"
        else:
            summand, bias = bias, None
    inputs = [place.source, _weight(graph, old, parameters.weight), *([bias] if bias is not None else [])]
    if summand is None:
        new = graph.add(op, inputs, attrs, like=node, replaces=place.replaced, output=result)
        folded.operators[id(new)] = operator, after
        return
    new = graph.add(op, inputs, attrs, like=node, replaces=[node])
    value = new.outputs[0]
    value.dtype, value.shape = node.outputs[0].dtype, node.outputs[0].shape
    folded.operators[id(new)] = operator, after
    others = [each for each in place.replaced if each is not node]
    name = others[-1].name if others else None
    add = graph.add("Add", [value, summand], name=name, replaces=others or [node], output=result)
    if old.op == "MatMul":
        # What is folded into the product later must not count its bias twice.
        still = np.zeros_like(after.shift)
        folded.operators[id(new)] = operator, Affine(after.scale, still)
        folded.affines[id(add)] = Affine(np.ones_like(after.scale), after.shift)


def _weight(graph: Graph, node: gs.Node, new: Array | Quantized | None) -> gs.Tensor:
    old = node.inputs[1]
    if new is None:
        return old
    if not isinstance(new, Quantized):
        return graph.constant(new, hint=old.name)
    names = [value.name for value in new.node.inputs]
    zero = names[2] if len(names) > 2 and names[2] else f"{old.name}.zero_point"
    inputs = [
        graph.constant(array, hint=name)
        for array, name in zip((new.codes, new.scale, new.zero), (names[0], names[1], zero), strict=True)
    ]
    dequantize = graph.add("DequantizeLinear", inputs, {"axis": new.axis}, like=new.node)
    dequantize.outputs[0].dtype, dequantize.outputs[0].shape = new.scale.dtype, list(new.codes.shape)
    return dequantize.outputs[0]
