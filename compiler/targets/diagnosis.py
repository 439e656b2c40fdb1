"""Everything that is known to stand between a model and an engine, for any model: no recipe is needed."""

from __future__ import annotations

from collections.abc import Sequence

from vggc.diagnostics import CompileError
from vggc.graph import Graph
from vggc.graph.signature import inputs_of, outputs_of
from vggc.targets import flavours
from vggc.targets.probe import import_findings
from vggc.targets.verifier import Finding, Subject, findings


def diagnose(graph: Graph, flavour: str, compute: Sequence[str] = ()) -> list[Finding]:
    """What a flavour would refuse of a graph, compute otherwise, or run slowly: by the rules, then by its importer.

    Types and shapes of the graph are inferred. A node that a rule names already is not named by the importer again.
    Raises CompileError when the flavour is not installed, or the model has an input or output that is no tensor.
    """
    if absent := flavours.missing(flavour):
        raise CompileError(absent)
    inputs_of(graph), outputs_of(graph)
    found = findings(Subject(graph, flavour, flavours.release(flavour), tuple(compute)))
    named = {id(each.node) for each in found if each.node is not None and each.severity == "error"}
    if _imports(found):
        found += [each for each in import_findings(graph, flavour) if each.node is None or id(each.node) not in named]
    return found


def _imports(found: Sequence[Finding]) -> bool:
    """Whether asking the importer says more: a type it lacks ends the import at the first value that has it."""
    return not any(each.node is None and each.severity == "error" for each in found)
