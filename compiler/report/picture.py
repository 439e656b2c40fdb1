"""A graph as the page draws it: for each node its operator, costs, origin and weights, and the nodes that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.costs import Costs, NodeCost
from vggc.graph import Graph
from vggc.graph.extras import LINE, node_extras
from vggc.graph.node_order import reads
from vggc.graph.signature import shape_text, type_text, value_text
from vggc.graph.text import attribute_text
from vggc.report.blocks import Blocks, blocks
from vggc.report.weight_statistics import WeightStatistics, weight_statistics

_QUANTIZED = ("DequantizeLinear",)

_LONGEST = 120
"""Characters of an attribute that are shown."""


@dataclass(frozen=True)
class Node:
    """A node in topological order. `inputs` are the positions of the nodes it reads; `key` is its first result's name.

    precision  the type in which the node computes: the quantized type when a DequantizeLinear feeds it, otherwise the
               type of its first result
    width      the second size of its first result (the number of channels)
    macs       multiply-accumulate operations, None when they are unknown
    line       the recipe line that changed it last; `maker` is the pass, and the rule if there is one
    earlier    the recipe lines that changed it before
    origins    the names of the nodes of the model as read that it stands for
    reads      the names of its inputs
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
    maker: str = ""
    earlier: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    attributes: str = ""
    reads: tuple[str, ...] = ()
    weights: tuple[WeightStatistics, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A graph: its nodes in topological order, the blocks that fold them, its inputs and outputs as texts."""

    nodes: tuple[Node, ...]
    blocks: Blocks
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def picture(graph: Graph, counted: Costs) -> Picture:
    """A graph whose shapes have been inferred and costs counted. Linear in nodes, values and numbers of weights."""
    positions = {id(value): index for index, node in enumerate(graph.nodes) for value in node.outputs}
    quantized = {id(value): node for node in graph.nodes if node.op in _QUANTIZED for value in node.outputs}
    known: dict[int, WeightStatistics | None] = {}
    drawn = [
        _node(graph, node, cost, positions=positions, quantized=quantized, known=known)
        for node, cost in zip(graph.nodes, counted.nodes, strict=True)
    ]
    inputs, outputs = (tuple(value_text(graph, each) for each in values) for values in (graph.inputs, graph.outputs))
    return Picture(tuple(drawn), blocks(graph), inputs, outputs)


def _node(
    graph: Graph,
    node: gs.Node,
    cost: NodeCost,
    *,
    positions: dict[int, int],
    quantized: dict[int, gs.Node],
    known: dict[int, WeightStatistics | None],
) -> Node:
    """`positions` are those of the nodes by their results, `known` the statistics of weights of earlier nodes."""
    value = node.outputs[0] if node.outputs else None
    shape = None if value is None else graph.shape(value)
    width = shape[1] if shape is not None and len(shape) > 1 else None
    metadata = node_extras(node).metadata
    constants = [each for each in node.inputs if isinstance(each, gs.Constant)]
    for each in constants:
        if id(each) not in known:
            known[id(each)] = weight_statistics(each)
    rule = metadata.get("vggc.rule")
    return Node(
        name=str(node.name or ""),
        op=str(node.op),
        key=str(value.name) if value is not None else "",
        shape="?" if shape is None else shape_text(shape),
        width=width if isinstance(width, int) else None,
        precision=_precision(graph, node, quantized),
        params=cost.params,
        bytes=cost.weight_bytes,
        macs=cost.macs,
        line=metadata.get(LINE, ""),
        inputs=tuple(sorted({positions[id(each)] for each in reads(node) if id(each) in positions})),
        maker=metadata.get("vggc.pass", "") + (f", rule {rule}" if rule else ""),
        earlier=node_extras(node).earlier,
        origins=tuple(each for each in metadata.get("vggc.from", "").split(", ") if each),
        attributes="; ".join(f"{name} = {attribute_text(each)[:_LONGEST]}" for name, each in node.attrs.items()),
        reads=tuple(str(each.name) for each in node.inputs if each.name),
        weights=tuple(found for each in constants if (found := known[id(each)]) is not None),
    )


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
