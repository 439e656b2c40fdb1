"""Changing the shapes that a model declares of its inputs, and finding what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import onnx_graphsurgeon as gs

from vggc.diagnostics import Code, fail
from vggc.graph import Graph
from vggc.graph.arrays import Size
from vggc.graph.extras import value_extras
from vggc.operators.data_movement import SHAPE_READERS


def redeclare(graph: Graph, shapes: Mapping[str, Sequence[Size]]) -> None:
    """Give inputs new shapes, and find those of all other values anew, the outputs' included.

    Raises CompileError when the nodes cannot work with the new shapes.
    """
    for given in graph.inputs:
        if given.name in shapes:
            given.shape = list(shapes[given.name])
            value_extras(given).declared = None
    declared = {value.name: graph.rank(value) for value in graph.outputs}
    for value in graph.outputs:
        if isinstance(value, gs.Variable) and graph.producer(value) is not None:
            # What was declared of an output held for the old shapes.
            value.shape = None
            value_extras(value).declared = None
    try:
        onnx.shape_inference.infer_shapes(graph.skeleton(known=False), strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        wanted = ", ".join(f"`{name}` {list(shape)}" for name, shape in shapes.items())
        lines = [line for line in str(error).splitlines() if "op_type" in line] or str(error).splitlines()
        raise fail(
            f"the model cannot work with its input {wanted}", facts=(("note", lines[0].strip()),), code=Code.MODEL_INPUT
        ) from None
    graph.infer_shapes()
    for value in graph.outputs:
        rank = declared[value.name]
        if isinstance(value, gs.Variable) and value.shape is None and rank is not None:
            value.shape = [None] * rank


def data_nodes(graph: Graph) -> list[gs.Node]:
    """The nodes that compute with the numbers of the model's inputs, in order; not those that only ask for shapes."""
    reached = {id(value) for value in graph.inputs}
    found = []
    for node in graph.nodes:
        if node.op not in SHAPE_READERS and any(id(value) in reached for value in node.inputs):
            reached |= {id(value) for value in node.outputs}
            found.append(node)
    return found
