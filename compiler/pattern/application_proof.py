"""Prove one application of a rule: run the matched nodes and their replacement on the same random inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnx.printer
import onnx_graphsurgeon as gs

from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.node_order import subgraphs
from vggc.pattern.context import RuleTally
from vggc.pattern.rule import Rule

if TYPE_CHECKING:
    from vggc.execution.model_comparison import Difference

_WIDEST = 4000
"""Characters of a graph's text in a message."""


@dataclass(frozen=True)
class Instance:
    """An application about to be made: the matched nodes that stay and that go, and what is to stand there."""

    rule: Rule
    label: str
    kept: Sequence[gs.Node]
    replaced: Sequence[gs.Node]
    roots: Sequence[gs.Variable]
    added: Sequence[gs.Node]
    values: Sequence[gs.Tensor]


def prove(graph: Graph, instance: Instance, tally: RuleTally) -> None:
    """Run what goes and what comes on the same inputs.

    Raises CompileError when they compute something else. `tally` counts whether they could be run apart from the graph:
    a body cannot, nor a value of unknown rank.
    """
    found = difference(graph, instance)
    tally.proved += found is not None
    tally.unproved += found is None
    if found is not None and not found.ok:
        raise wrong(instance.rule, instance.label, found, before_part(graph, instance))


def wrong(rule: Rule, label: str, found: Difference, before: Graph) -> CompileError:
    """The error for a rule that changed what a graph computes."""
    facts = [("at", label), ("value", f"`{found.name}`: {found}"), ("inputs", "seeded random numbers")]
    facts.append(("matched", graph_as_text(before)))
    help = "correct the rule, restrict it with `where`, or state how far results may differ: `rule NAME tolerance=1e-3`"
    return CompileError(
        Diagnostic(
            f"rule `{rule.name}` changes what it rewrites", rule.name_span, "", tuple(facts), help, code=Code.RULE_WRONG
        )
    )


def difference(graph: Graph, instance: Instance) -> Difference | None:
    """How far the replacement is from what it replaces, on random inputs; None when that cannot be run."""
    from vggc.execution.model_comparison import DoesNotRun, compare
    from vggc.execution.random_inputs import random_inputs

    if any(True for node in (*instance.kept, *instance.replaced, *instance.added) for _ in subgraphs(node)):
        return None
    before = before_part(graph, instance)
    if not before.outputs:
        return None
    try:
        feeds = random_inputs(before)
    except CompileError:
        return None
    # Logarithms and roots tell more of positive numbers.
    positive = [{name: _positive(array) for name, array in each.items()} for each in feeds]
    try:
        found = compare(before, after_part(graph, instance), [*feeds, *positive])
    except DoesNotRun as error:
        message = f"the replacement of rule `{instance.rule.name}` does not run here"
        facts = (("at", instance.label), ("note", error.diagnostics[0].message), ("matched", graph_as_text(before)))
        raise CompileError(Diagnostic(message, instance.rule.name_span, "", facts, code=Code.RULE_WRONG)) from None
    allowed = instance.rule.tolerance
    if allowed is None:
        return found.worst
    outputs = [replace(each, tolerance=max(each.tolerance, allowed)) for each in found.outputs]
    return max(outputs, key=lambda each: each.error / each.tolerance if each.tolerance else math.inf * (each.error > 0))


def _positive(array: Array) -> Array:
    return np.abs(array) if array.dtype.kind == "f" else array


def before_part(graph: Graph, instance: Instance) -> Graph:
    """What is matched, as a graph of its own."""
    from vggc.graph.subgraph import part

    made = {id(value) for node in instance.replaced for value in node.outputs}
    return part(graph, [*instance.kept, *instance.replaced], [value for value in instance.roots if id(value) in made])


def after_part(graph: Graph, instance: Instance) -> Graph:
    """What is to stand there, as a graph of its own with the same outputs."""
    from vggc.graph.subgraph import part

    gone = {id(value) for node in instance.replaced for value in node.outputs}
    pairs = [(old, new) for old, new in zip(instance.roots, instance.values, strict=True) if id(old) in gone]
    nodes = [*instance.kept, *instance.added]
    results = []
    for old, new in pairs:
        result = gs.Variable(old.name, old.dtype if old.dtype is not None else new.dtype, old.shape)
        results.append(result)
        # Unlinked by hand: the real values must not learn of these nodes.
        node = gs.Node("Identity", f"result of {old.name}", {}, [], [result])
        list.append(node.inputs, new)
        nodes.append(node)
    return part(graph, nodes, results)


def graph_as_text(graph: Graph) -> str:
    """A small graph in ONNX's own text form."""
    proto = graph.export(inline_below=1 << 30).model.graph
    proto.name = "matched"
    text = onnx.printer.to_text(proto)
    return text if len(text) <= _WIDEST else f"{text[:_WIDEST]} ..."
