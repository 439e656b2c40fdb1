"""The names that TensorRT gives to ONNX nodes and weights, and how messages describe these nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.extras import node_extras

LINE = "vggc.line"
PASS = "vggc.pass"
FROM = "vggc.from"
"""Keys of a node's metadata: the recipe line and the pass that made it, and the names of the nodes it replaces."""


@dataclass(frozen=True)
class Described:
    """How a message names a node ("Conv `features.0`"), and the facts it adds about it."""

    label: str
    facts: tuple[tuple[str, str], ...] = ()


Describe = Callable[[str], Described]


def all_nodes(graph: gs.Graph) -> Iterator[gs.Node]:
    """The nodes of a graph, those in the bodies of If, Loop and Scan included."""
    for node in graph.nodes:
        yield node
        for body in node.subgraphs():
            yield from all_nodes(body)


def parser_name(node: gs.Node) -> str:
    """The name that TensorRT's ONNX parser uses for a node: its own, or one made from its first output."""
    return node.name or f"node_of_{node.outputs[0].name if node.outputs else ''}"


def describer(graph: Graph) -> Describe:
    """A function that describes a node or weight of `graph`, given the name that TensorRT uses for it."""
    nodes: dict[str, gs.Node] = {}
    for node in all_nodes(graph):
        nodes.setdefault(parser_name(node), node)
    weights = {value.name for value in graph.constants()}

    def describe(name: str) -> Described:
        node = nodes.get(name)
        if node is not None:
            return Described(graph.label(node), origin_facts(node))
        return Described(f"the weights `{name}`" if name in weights else f"`{name}`")

    return describe


def origin_facts(node: gs.Node) -> tuple[tuple[str, str], ...]:
    """Where a node comes from according to its metadata, as facts of a message."""
    metadata = node_extras(node).metadata
    facts = []
    if made_by := _step(metadata):
        facts.append(("made by", made_by))
    if metadata.get(FROM) and metadata[FROM] != node.name:
        facts.append(("made from", metadata[FROM]))
    return tuple(facts)


def origins(graph: Graph) -> dict[str, str]:
    """By TensorRT's name of a node, the text about the recipe for its layers' metadata: ` [vggc: pass, line 4]`."""
    texts = {}
    for node in all_nodes(graph):
        metadata = node_extras(node).metadata
        parts = [made_by] if (made_by := _step(metadata)) else []
        parts += [f"from {metadata[FROM]}"] if metadata.get(FROM) else []
        if parts:
            texts[parser_name(node)] = f" [vggc: {', '.join(parts)}]"
    return texts


def _step(metadata: Mapping[str, str]) -> str:
    """`fold_batch_norm, line 4`, as far as it is known."""
    line = metadata.get(LINE, "")
    place = f"line {line}" if line.isdigit() else line
    return ", ".join(each for each in (metadata.get(PASS, ""), place) if each)
