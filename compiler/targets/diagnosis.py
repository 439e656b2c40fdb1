"""Everything that keeps a model from becoming an engine, by the rules and by the importer. No recipe is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vggc.diagnostics import CompileError, Diagnostic
from vggc.diagnostics.number_text import counted
from vggc.graph import Graph
from vggc.graph.signature import inputs_of, outputs_of
from vggc.targets import flavours
from vggc.targets.import_findings import import_findings
from vggc.targets.node_names import parser_name
from vggc.targets.verifier import Finding, LoweredGraph, findings

_NAMED = 5
"""How many other nodes a message names."""


def diagnose(graph: Graph, flavour: str, compute: Sequence[str] = ()) -> list[Finding]:
    """What a flavour would refuse, compute differently or run slowly in a graph: by the rules, then by its importer.

    Types and shapes of the graph are inferred. A node that a rule reports is not reported for the importer again.
    Raises CompileError when the flavour is not installed, or the model has an input or output that is not a tensor.
    """
    if absent := flavours.missing(flavour):
        raise CompileError(absent)
    inputs_of(graph), outputs_of(graph)
    by_rules = findings(LoweredGraph(graph, flavour, flavours.release(flavour), tuple(compute)))
    return with_importer(graph, flavour, by_rules)


def with_importer(graph: Graph, flavour: str, by_rules: list[Finding]) -> list[Finding]:
    """The findings of the rules, then what only the importer refuses: all kinds of refusals at once."""
    if not _importer_helps(by_rules):
        return by_rules
    reported = {id(each.node) for each in by_rules if each.node is not None and each.severity == "error"}
    by_importer = import_findings(graph, flavour)
    return by_rules + [each for each in by_importer if each.node is None or id(each.node) not in reported]


def by_cause(found: Sequence[Finding]) -> list[Diagnostic]:
    """The findings as messages, one for all nodes of an operator that are refused for the same reason."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for each in found:
        cause = (each.node.op, each.reason) if each.node is not None else (each.message,)
        groups.setdefault((each.severity, *cause, each.help), []).append(each)
    return [_message(group) for group in groups.values()]


def _message(group: Sequence[Finding]) -> Diagnostic:
    first = group[0].diagnostic()
    if len(group) == 1:
        return first
    labels = [f"`{parser_name(each.node)}`" for each in group[1:] if each.node is not None]
    more = len(labels) - _NAMED
    listed = ", ".join(labels[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    message = f"{first.message} (and {counted(len(labels), 'more node')} for the same reason)"
    return replace(first, message=message, facts=(*first.facts, ("others", listed)))


def _importer_helps(by_rules: Sequence[Finding]) -> bool:
    """Whether the importer can report more. A type that it does not support ends the import at the first such value."""
    return not any(each.node is None and each.severity == "error" for each in by_rules)
