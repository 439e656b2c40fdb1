"""Fix the batch size of a model, or make it dynamic.

    input: float[batch, 3, 224, 224]   set_batch(4)         => input: float[4, 3, 224, 224]
    input: float[1, 3, 224, 224]       set_batch(4)         => input: float[4, 3, 224, 224]
    input: float[1, 3, 224, 224]       set_batch(dynamic)   => input: float[batch, 3, 224, 224]

The batch is the first dimension of every input whose first dimension is dynamic. When no first dimension is dynamic, it
is that of all inputs, which must then agree. The results for each sample stay the same. Exporters write a static batch
size into the targets of Reshapes; these are rewritten. When it is part of anything else, the step fails and names the
node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.interface import data_nodes, redeclare
from vggc.analysis.no_ops import zero_states
from vggc.diagnostics import Code, fail
from vggc.graph import Graph
from vggc.graph.arrays import Size
from vggc.graph.signature import ValueType, inputs_of
from vggc.operators.roles import RECURRENT
from vggc.rewrite import Context, Declined, whole_graph
from vggc.values import Within


def _inputs_after(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> tuple[ValueType, ...]:
    batched, old = _batched(inputs)
    size = options["size"]
    if size == "dynamic":
        new: Size = _name(inputs) if old is not None else None
    else:
        new = size
    return tuple(
        each._replace(shape=(new, *batched[each.name][1:])) if new is not None and each.name in batched else each
        for each in inputs
    )


@whole_graph(sets_inputs=_inputs_after)
def set_batch(graph: Graph, context: Context, size: Annotated[int, Within(1, 1 << 20)] | Literal["dynamic"]) -> None:
    """Fix the batch size, the first dimension of the inputs, or make it dynamic.

    Options:
        size: samples in a batch, or `dynamic`
    """
    graph.infer_shapes()
    inputs, old = _batched(inputs_of(graph))
    new: Size = _name(inputs_of(graph)) if size == "dynamic" else size
    if old == new or (old is None and size == "dynamic"):
        raise Declined(f"the batch size is already {'dynamic' if old is None else old}")
    before = {value.name: graph.shape(value) for value in graph.outputs}
    if old is not None:
        for node in data_nodes(graph):
            _rewrite_target(graph, context, node, old, new)
            _free_state(graph, context, node)
    redeclare(graph, {name: [new, *shape[1:]] for name, shape in inputs.items()})
    if old is not None:
        _check_outputs(graph, before, old, new)
    context.record("set batch size", len(inputs))


def _batched(inputs: Sequence[ValueType]) -> tuple[dict[str, list[Size]], int | None]:
    """The shapes of the inputs that have the batch, by name, and its size; None when it is dynamic."""
    shapes: dict[str, list[Size]] = {}
    for value in inputs:
        if value.shape is None:
            raise fail(
                f"the rank of the model's input `{value.name}` is unknown",
                help="declare it with set_input_shapes",
                code=Code.BATCH,
            )
        if value.shape:
            shapes[value.name] = list(value.shape)
    dynamic = {name: shape for name, shape in shapes.items() if not isinstance(shape[0], int)}
    if dynamic:
        return dynamic, None
    sizes = {shape[0] for shape in shapes.values() if isinstance(shape[0], int)}
    if len(sizes) != 1:
        told = ", ".join(f"`{name}` {shape}" for name, shape in shapes.items()) or "none has a dimension"
        raise fail(
            f"no first dimension is the batch of all inputs: {told}",
            help="export the model with a dynamic batch",
            code=Code.BATCH,
        )
    return shapes, sizes.pop()


def _name(inputs: Sequence[ValueType]) -> str:
    """A name for the dimension that no other one has."""
    taken = {size for value in inputs for size in value.shape or ()}
    name, count = "batch", 0
    while name in taken:
        count += 1
        name = f"batch_{count}"
    return name


def _rewrite_target(graph: Graph, context: Context, node: gs.Node, old: int, new: Size) -> None:
    """Let a Reshape whose constant target begins with the old batch size begin with the new one."""
    array = graph.array(node.inputs[1]) if node.op == "Reshape" and graph.opset >= 5 else None
    if array is None or array.ndim != 1 or not array.size or array[0] != old:
        return
    target = [int(each) for each in array]
    source, result = graph.shape(node.inputs[0]), graph.static_shape(node.outputs[0])
    if -1 in target and result is not None and 0 not in result:
        target = result
    if isinstance(new, int):
        target[0] = new
    elif source and source[0] == old and not node.attrs.get("allowzero", 0):
        target[0] = 0
    elif -1 not in target:
        target[0] = -1
    else:
        raise fail(
            f"the batch size {old} is baked into {graph.label(node)}, whose target is {target}",
            help="export the model with a dynamic batch",
            code=Code.BATCH,
        )
    graph.set_input(node, 1, graph.constant(np.array(target, np.int64), hint=node.inputs[1].name))
    context.record("set batch size of Reshape")


def _free_state(graph: Graph, context: Context, node: gs.Node) -> None:
    """Leave out the initial state of a recurrent node that is zero for each sample of the old batch."""
    for index in zero_states(graph, node):
        graph.set_input(node, index, gs.Variable.empty())
        context.record(f"set batch size of {node.op}")
    for value in node.inputs[5:7] if node.op in RECURRENT else ():
        if isinstance(value, gs.Constant):
            raise fail(
                f"the batch size is baked into {graph.label(node)}, whose initial state `{value.name}` is constant",
                help="export the model with a dynamic batch",
                code=Code.BATCH,
            )


def _check_outputs(graph: Graph, before: dict[str, list[Size] | None], old: int, new: Size) -> None:
    """Raise CompileError when an output kept the old batch size: something holds it where it cannot be changed."""
    for value in graph.outputs:
        shape, was = graph.shape(value), before[value.name]
        if was and shape and was[0] == old and shape[0] is None and isinstance(value, gs.Variable):
            value.shape = [new, *shape[1:]]
        if was and shape and was[0] == old and shape[0] == old and new != old:
            node = next(each for each in data_nodes(graph) if _keeps(graph, each, old))
            raise fail(
                f"the batch size {old} is baked into {graph.label(node)}",
                facts=(("note", f"output `{value.name}` stays {shape}"),),
                help="export the model with a dynamic batch",
                code=Code.BATCH,
            )


def _keeps(graph: Graph, node: gs.Node, old: int) -> bool:
    shape = graph.shape(node.outputs[0])
    return shape is not None and shape[:1] == [old]
