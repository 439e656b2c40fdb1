"""Everything that keeps a model from becoming an engine, by the rules and by the importer. No recipe is needed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.diagnostics.number_text import counted
from vggc.graph import Graph
from vggc.graph.signature import inputs_of, outputs_of
from vggc.targets import flavours
from vggc.targets.import_findings import import_findings
from vggc.targets.node_names import parser_name
from vggc.targets.verifier import Finding, LoweredGraph, findings

_NAMED = 5
"""How many other nodes a message names."""

_OF_OPERATORS = (Code.UNSUPPORTED_NODE, Code.IMPORT)

_SPECIFIC = re.compile(r"\w+ `[^`]*`|`[^`]*`|\d+")
"""A node with its operator, a name or a number in a text."""


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


@dataclass(frozen=True)
class Cause:
    """Findings with the same cause: they differ in names and numbers only. `nodes` counts the nodes of the model."""

    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        return self.findings[0]

    @property
    def nodes(self) -> int:
        return len({id(each.node) for each in self.findings if each.node is not None})

    def diagnostic(self, *, all_nodes: bool = False) -> Diagnostic:
        """One message for all findings: that of the first node, and the names of other nodes: some, or all of them."""
        first = self.first.diagnostic()
        if len(self.findings) == 1:
            return first
        labels = [f"`{parser_name(each.node)}`" for each in self.findings[1:] if each.node is not None]
        shown = len(labels) if all_nodes else _NAMED
        more = f" and {len(labels) - shown} more" if len(labels) > shown else ""
        message = f"{first.message} (and {counted(len(labels), 'more node')} for the same reason)"
        return replace(first, message=message, facts=(*first.facts, ("others", ", ".join(labels[:shown]) + more)))


def causes(found: Sequence[Finding]) -> list[Cause]:
    """The findings by cause, in the order of their first nodes."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for each in found:
        groups.setdefault(_cause(each), []).append(each)
    return [Cause(tuple(group)) for group in groups.values()]


def _cause(finding: Finding) -> tuple[str, ...]:
    """What findings with one cause have in common. For an operator that is not supported, the operator is the cause."""
    operator = finding.node.op if finding.node is not None and finding.code in _OF_OPERATORS else ""
    text = finding.reason if finding.node is not None else finding.message
    return (finding.severity, finding.code.id, operator, *(_SPECIFIC.sub("", each) for each in (text, finding.help)))


def _importer_helps(by_rules: Sequence[Finding]) -> bool:
    """Whether the importer can report more. A type that it does not support ends the import at the first such value."""
    return not any(each.node is None and each.severity == "error" for each in by_rules)
