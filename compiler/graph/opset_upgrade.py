"""Writing a graph in a newer opset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_graphsurgeon as gs
from onnx import version_converter

from vggc.diagnostics import Code, fail, first_line
from vggc.graph.domains import domain_of
from vggc.graph.extras import node_extras

if TYPE_CHECKING:
    from vggc.graph.graph import Graph


def raise_opset(graph: Graph, wanted: int, reason: str) -> None:
    """Write a graph in opset `wanted`, in place, unless it is that new already; weights are not touched.

    By onnx's version converter. `reason` completes "... needs opset 19". Raises CompileError when it cannot.
    """
    before = graph.opset
    if before >= wanted:
        return
    try:
        converted = version_converter.convert_version(graph.skeleton(), wanted)
    except (version_converter.ConvertError, RuntimeError, IndexError) as error:
        raise fail(
            f"{reason} needs opset {wanted}, but opset {before} cannot be raised: {first_line(error)[:200]}",
            help=f"export the model again with opset {wanted}",
            code=Code.OPSET,
        ) from None
    fresh = type(graph).from_model(converted)
    _weights_back(fresh, {value.name: value for value in graph.constants()})
    known = {value.name: node for node in graph.nodes for value in node.outputs}
    for node in fresh.nodes:
        old = next((known[value.name] for value in node.outputs if value.name in known), None)
        if old is not None:
            node_extras(node).metadata = node_extras(old).metadata
            node_extras(node).earlier = node_extras(old).earlier
            node_extras(node).attributes = node_extras(old).attributes
    graph.nodes, graph.inputs, graph.outputs = fresh.nodes, fresh.inputs, fresh.outputs
    graph.opset = wanted
    graph.import_domains = fresh.import_domains
    graph.ir_version = max(graph.ir_version, converted.ir_version)
    for each in graph.model.opset_import:
        if not domain_of(each.domain):
            each.version = wanted
    graph.tidy()
    graph.infer_shapes(check=True)


def _weights_back(graph: Graph, constants: dict[str, gs.Constant]) -> None:
    """Put the weights that the skeleton has as inputs back in their places."""
    given = {id(value): constants[value.name] for value in graph.inputs if value.name in constants}
    graph.inputs = [value for value in graph.inputs if id(value) not in given]
    for node in (*graph.nodes, *(node for body in graph.subgraphs(recursive=True) for node in body.nodes)):
        for index, value in enumerate(node.inputs):
            if id(value) in given:
                list.__setitem__(node.inputs, index, given[id(value)])
    for each in (graph, *graph.subgraphs(recursive=True)):
        each.outputs = [given.get(id(value), value) for value in each.outputs]
    graph.tidy()
