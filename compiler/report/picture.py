"""A graph as the report draws it: for each node its operator, its cost, and the nodes that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.costs import Costs
from vggc.graph import Graph
from vggc.graph.extras import node_extras
from vggc.graph.node_order import reads
from vggc.graph.signature import shape_text, type_text

_QUANTIZED = ("DequantizeLinear",)


@dataclass(frozen=True)
class Node:
    """A node in topological order. `inputs` are the positions of the nodes it reads; `key` is its first result's name.

    `precision` is the type in which the node computes: the quantized type when a DequantizeLinear feeds it, otherwise
    the type of its first result. `width` is the second size of its first result (the number of channels), `line` the
    recipe line that made it. `macs` is None when they are unknown.
    """

    name: str
    op: str
    key: str
    shape: str
    width: int | None
    precision: str
    params: int
    bytes: int
    macs: int | None
    line: str
    inputs: tuple[int, ...]


def picture(graph: Graph, counted: Costs) -> tuple[Node, ...]:
    """The nodes of a graph whose shapes have been inferred and costs counted. Linear in nodes and values."""
    positions = {id(value): index for index, node in enumerate(graph.nodes) for value in node.outputs}
    quantized = {id(value): node for node in graph.nodes if node.op in _QUANTIZED for value in node.outputs}
    drawn = []
    for node, cost in zip(graph.nodes, counted.nodes, strict=True):
        value = node.outputs[0] if node.outputs else None
        shape = None if value is None else graph.shape(value)
        width = shape[1] if shape is not None and len(shape) > 1 else None
        drawn.append(
            Node(
                name=str(node.name or ""),
                op=str(node.op),
                key=str(value.name) if value is not None else "",
                shape="?" if shape is None else shape_text(shape),
                width=width if isinstance(width, int) else None,
                precision=_precision(graph, node, quantized),
                params=cost.params,
                bytes=cost.weight_bytes,
                macs=cost.macs,
                line=node_extras(node).metadata.get("vggc.line", ""),
                inputs=tuple(sorted({positions[id(each)] for each in reads(node) if id(each) in positions})),
            )
        )
    return tuple(drawn)


def _precision(graph: Graph, node: gs.Node, quantized: dict[int, gs.Node]) -> str:
    """`quantized` are the nodes of _QUANTIZED by their results."""
    if quantized and node.op not in _QUANTIZED:
        for value in node.inputs:
            if id(value) in quantized:
                return _type(graph.dtype(quantized[id(value)].inputs[0]))
    return _type(graph.dtype(node.outputs[0])) if node.outputs else "?"


@cache
def _type(dtype: np.dtype[Any] | None) -> str:
    return "?" if dtype is None else type_text(dtype)
