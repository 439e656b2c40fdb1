"""If nodes whose branches give values of different ranks, which the importer accepts and the builder refuses."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from vggc.analysis.shapes.integer_values import IntegerValues
from vggc.analysis.shapes.static_values import Statics
from vggc.graph import Graph
from vggc.graph.bodies import bodies
from vggc.graph.domains import is_standard
from vggc.targets.node_names import all_nodes
from vggc.targets.verifier.finding import Finding, LoweredGraph

_FIX = (
    "fix the sizes that the condition depends on with set_input_shapes, and one branch remains; "
    "or export the model with values of the same rank in both branches"
)


def branch_ranks(subject: LoweredGraph) -> Iterator[Finding]:
    """The branches of an If must give values of the same rank, unless its condition is constant.

    Then the importer takes one branch only.
    """
    nodes = list(all_nodes(subject.graph))
    if not any(node.op == "If" for node in nodes):
        return
    # Inferring the shapes inside bodies would change the graph to lower.
    twin = subject.graph.copy()
    originals = {id(copy): node for copy, node in zip(all_nodes(twin), nodes, strict=True)}
    choices: list[gs.Node] = []
    constant: set[int] = set()
    for part in _parts(twin):
        part.infer_shapes()
        choices += [node for node in part.nodes if node.op == "If" and is_standard(node)]
        constant |= set(_constant_values(part))
    for choice in choices:
        if id(choice.inputs[0]) not in constant:
            yield from _unequal(subject, originals[id(choice)], choice)


def _parts(graph: Graph) -> Iterator[Graph]:
    yield from bodies(graph)
    yield graph


def _constant_values(graph: Graph) -> Iterator[int]:
    """The ids of values that do not depend on the graph's inputs, or only on dimensions of fixed size."""
    statics, integers = Statics(graph), IntegerValues(graph)
    for node in graph.nodes:
        integers.visit(node)
        for value in (*node.inputs, *node.outputs):
            if statics.is_static(value) or integers.known(value) is not None:
                yield id(value)


def _unequal(subject: LoweredGraph, node: gs.Node, inferred: gs.Node) -> Iterator[Finding]:
    then, otherwise = inferred.attrs["then_branch"].outputs, inferred.attrs["else_branch"].outputs
    for one, other in zip(then, otherwise, strict=False):
        if one.shape is None or other.shape is None or len(one.shape) == len(other.shape):
            continue
        ranks = f"`{one.name}` has rank {len(one.shape)}, `{other.name}` has rank {len(other.shape)}"
        yield Finding(
            f"{subject.title} cannot build {subject.graph.label(node)}: the ranks of its branches differ",
            f"the ranks of its branches differ: {ranks}",
            node,
            facts=(("note", ranks),),
            help=_FIX,
        )
