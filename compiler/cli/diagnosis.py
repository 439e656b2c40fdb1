"""`vggc inspect MODEL --target` and `vggc lint`: what stands between a model and an engine."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from vggc.cli.tables import plain_table
from vggc.diagnostics.number_text import counted
from vggc.graph import Graph
from vggc.targets.diagnosis import diagnose
from vggc.targets.engine_messages import TITLES
from vggc.targets.flavours import release
from vggc.targets.node_names import origin_facts
from vggc.targets.verifier import Finding


def title(flavour: str) -> str:
    """`TensorRT RTX 1.7`"""
    major, minor = release(flavour)
    return f"{TITLES[flavour]} {major}.{minor}"


def diagnosis_page(graph: Graph, flavour: str, compute: Sequence[str]) -> RenderableType:
    """A row for everything found: the node, its operator, why, where the node comes from, what to do instead.

    Raises CompileError when the flavour is not installed.
    """
    found = diagnose(graph, flavour, compute)
    if not found:
        return Text(f"{title(flavour)}: nothing that is known to be refused")
    table = plain_table("", "node", "operator", "reason", "recipe line", "made from", "instead")
    for each in found:
        facts = dict(origin_facts(each.node)) if each.node is not None else {}
        node, operator = ("", "") if each.node is None else (_name(each), each.node.op)
        row = (each.severity, node, operator, each.reason, facts.get("made by", ""), facts.get("made from", ""))
        table.add_row(*row, each.help)
    return Group(table, Text(), Text(f"{title(flavour)}: {count(found)}"))


def count(found: Sequence[Finding]) -> str:
    """`2 errors, 1 warning`"""
    kinds = [each.severity for each in found]
    words = [counted(number, kind) for kind in ("error", "warning") if (number := kinds.count(kind))]
    return ", ".join(words) or "nothing found"


def _name(found: Finding) -> str:
    assert found.node is not None
    return found.node.name or f"computes {found.node.outputs[0].name}"
