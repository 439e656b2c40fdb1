"""Why a batch norm stays, in words."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from vggc.analysis.affine import batch_norm
from vggc.analysis.folding.downward import Downward
from vggc.analysis.folding.passages import PASSED
from vggc.analysis.folding.upward import JOINS, Upward
from vggc.graph import Graph
from vggc.operators.activations import SCALABLE
from vggc.operators.roles import PRODUCTS


def why_kept(up: Upward, down: Downward, node: gs.Node) -> str:
    """Why a batch norm folds neither into what is before it nor into what is behind it."""
    affine = up.norms.get(id(node)) or batch_norm(up.graph, node)
    if isinstance(affine, str):
        return affine
    before = _why_not_up(up, node)
    behind = down.reasons.get(id(node.outputs[0]))
    return f"{before}, and {behind}" if behind is not None else before


def _why_not_up(up: Upward, node: gs.Node) -> str:
    graph, value, reader = up.graph, node.inputs[0], node
    while (source := graph.producer(value)) is not None and source.op == "Identity":
        seen = _seen_elsewhere(graph, value, reader)
        if seen is not None:
            return seen
        value, reader = source.inputs[0], source
    if source is None:
        return f"its input `{value.name}` is an input of the model"
    label = graph.label(source)
    if id(value) in up.reasons:
        return up.reasons[id(value)]
    if source.op not in PRODUCTS | PASSED | JOINS | {"BatchNormalization"}:
        return f"it follows {label}, which has no weights of its own"
    seen = _seen_elsewhere(graph, value, reader)
    if source.op in PRODUCTS | {"BatchNormalization"}:
        return seen or f"its channels are not those of {label}"
    if up.room(value) is not None:
        limit = "a positive scale and no shift" if source.op in SCALABLE else "a scale that is not negative"
        return f"{label} is between it and {' and '.join(sorted(up.rooms_into(value)))}, and lets only {limit} through"
    if source.op in PASSED:
        return f"it follows {label}, which has no weights of its own"
    if seen is not None:
        return seen
    found = (_why_not_branch(up, each, source) for each in source.inputs)
    return f"it follows {label}, and {next((each for each in found if each), 'its inputs differ in their channels')}"


def _seen_elsewhere(graph: Graph, value: gs.Tensor, reader: gs.Node) -> str | None:
    source = graph.producer(value)
    if source is None:
        return None
    if graph.is_result(value):
        return f"the output of {graph.label(source)} is an output of the model"
    others = [each for each in graph.readers(value) if each is not reader]
    return f"the output of {graph.label(source)} is also read by {graph.label(others[0])}" if others else None


def _why_not_branch(up: Upward, value: gs.Tensor, join: gs.Node) -> str | None:
    if up.room(value) is not None:
        return None
    graph = up.graph
    source = graph.producer(value)
    if isinstance(value, gs.Constant):
        return f"`{value.name}` is a constant"
    if source is None:
        return f"`{value.name}` is an input of the model"
    if id(value) in up.reasons:
        return up.reasons[id(value)]
    return _seen_elsewhere(graph, value, join) or f"{graph.label(source)} has no weights of its own"
