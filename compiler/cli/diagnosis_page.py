"""Findings about a model and a target as a page in the terminal, for `vggc inspect MODEL --target`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from vggc.cli.tables import plain_table
from vggc.diagnostics.number_text import counted
from vggc.graph import Graph
from vggc.targets.diagnosis import Cause, diagnose
from vggc.targets.engine_messages import TITLES
from vggc.targets.flavours import release
from vggc.targets.node_names import origin_facts
from vggc.targets.verifier import Finding


def title(flavour: str) -> str:
    """`TensorRT RTX 1.7`"""
    major, minor = release(flavour)
    return f"{TITLES[flavour]} {major}.{minor}"


def diagnosis_page(graph: Graph, flavour: str, compute: Sequence[str]) -> RenderableType:
    """A row for each finding: the node, its operator, the reason, the node's origin, and what to do instead.

    Raises CompileError when the flavour is not installed.
    """
    findings = diagnose(graph, flavour, compute)
    if not findings:
        return Text(f"{title(flavour)}: found nothing that it would refuse")
    table = plain_table("", "node", "operator", "reason", "recipe line", "made from", "instead")
    for finding in findings:
        facts = dict(origin_facts(finding.node)) if finding.node is not None else {}
        node, operator = ("", "") if finding.node is None else (node_name(finding), finding.node.op)
        row = (finding.severity, node, operator, finding.reason, facts.get("made by", ""), facts.get("made from", ""))
        table.add_row(*row, finding.help)
    return Group(table, Text(), Text(f"{title(flavour)}: {count(findings)}"))


def count(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 warning`"""
    kinds = [each.severity for each in findings]
    words = [counted(number, kind) for kind in ("error", "warning") if (number := kinds.count(kind))]
    return ", ".join(words) or "nothing found"


def count_causes(found: Sequence[Cause]) -> str:
    """`541 nodes, 3 causes: 2 errors, 1 warning`, or `nothing found`"""
    if not found:
        return "nothing found"
    nodes = sum(each.nodes for each in found)
    of_nodes = f"{counted(nodes, 'node')}, " if nodes else ""
    return f"{of_nodes}{counted(len(found), 'cause')}: {count([each.first for each in found])}"


def node_name(finding: Finding) -> str:
    assert finding.node is not None
    return finding.node.name or f"computes {finding.node.outputs[0].name}"
