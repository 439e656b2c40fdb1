"""Everything that keeps a model from becoming an engine, by the rules and by the importer. No recipe is needed."""

from __future__ import annotations

from collections.abc import Sequence

from vggc.diagnostics import CompileError
from vggc.graph import Graph
from vggc.graph.signature import inputs_of, outputs_of
from vggc.targets import flavours
from vggc.targets.import_findings import import_findings
from vggc.targets.verifier import Finding, LoweredGraph, findings


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


def _importer_helps(by_rules: Sequence[Finding]) -> bool:
    """Whether the importer can report more. A type that it does not support ends the import at the first such value."""
    return not any(each.node is None and each.severity == "error" for each in by_rules)
