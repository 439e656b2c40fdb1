"""The `result` of a command's JSON document: what its tables say, as plain JSON values. See `vggc schema`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vggc.graph import Graph
    from vggc.options.schema import Option
    from vggc.report.record import Report
    from vggc.rewrite import Pass
    from vggc.targets.contract import Target
    from vggc.targets.diagnosis import Cause
    from vggc.targets.verifier import Finding


def report_result(report: Report, folder: Path | None) -> dict[str, Any]:
    """A compile or a plan: the content of report.json, and the folder that has it, if there is one."""
    return {"folder": None if folder is None else str(folder), "report": report.as_dict()}


def pass_result(names: Sequence[str]) -> dict[str, Any]:
    """Passes with their options."""
    from vggc.binding.registry import shipped

    return {"passes": [_pass(shipped().passes[name]) for name in names]}


def target_result(names: Sequence[str]) -> dict[str, Any]:
    """Targets with their options."""
    from vggc.binding.registry import shipped

    return {"targets": [_target(shipped().targets[name]) for name in names]}


def recipe_result(names: Sequence[str], *, text: bool) -> dict[str, Any]:
    """Ready recipes: what each buys and costs, its parameters, and on request its text."""
    from vggc.grammar.kept_trees import read_tree
    from vggc.grammar.recipe_summary import summary_of

    recipes = []
    for name in names:
        tree = read_tree(Path(name))
        recipes.append({"name": name, **asdict(summary_of(tree)), **({"text": tree.source.text} if text else {})})
    return {"recipes": recipes}


def lint_result(model: Path, target: str, release: str, found: Sequence[Cause]) -> dict[str, Any]:
    """The causes that `vggc lint` finds, each with all of its nodes."""
    return {
        "model": str(model),
        "target": target,
        "release": release,
        "nodes": sum(each.nodes for each in found),
        "causes": [
            {
                "code": each.first.code.id,
                "severity": each.first.severity,
                "reason": each.first.reason,
                "help": each.first.help,
                "nodes": [_node(finding) for finding in each.findings if finding.node is not None],
            }
            for each in found
        ],
    }


def model_result(graph: Graph, model: Path) -> dict[str, Any]:
    """A model: its interface, its operators with their costs, and the totals; null for what is not known."""
    from vggc.analysis.costs import costs

    total = costs(graph)
    counts = Counter(each.op for each in total.nodes)
    operators = []
    for op, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        own = [each for each in total.nodes if each.op == op]
        macs = [each.macs for each in own]
        known = None if None in macs else sum(each for each in macs if each is not None)
        operators.append({"operator": op, "nodes": count, "params": sum(each.params for each in own), "macs": known})
    return {
        "model": str(model),
        "producer": f"{graph.producer_name or ''} {graph.producer_version or ''}".strip(),
        "opset": graph.opset,
        "ir_version": graph.ir_version,
        "inputs": [_value(graph, each) for each in graph.inputs],
        "outputs": [_value(graph, each) for each in graph.outputs],
        "nodes": len(graph.nodes),
        "params": total.params,
        "macs": total.macs,
        "weight_bytes": total.weight_bytes,
        "operators": operators,
    }


def groups_result(graph: Graph) -> list[dict[str, Any]]:
    """The channel groups of a model."""
    from vggc.analysis.channels import groups_table

    return [{**asdict(row), "prunable": row.prunable} for row in groups_table(graph)]


def findings_result(target: str, found: Sequence[Finding]) -> dict[str, Any]:
    """What a target would refuse in a model, one entry for each node."""
    findings = [
        {
            "code": each.code.id,
            "severity": each.severity,
            "message": each.message,
            "reason": each.reason,
            "help": each.help,
            "node": None if each.node is None else _node(each),
        }
        for each in found
    ]
    return {"target": target, "findings": findings}


def _node(finding: Finding) -> dict[str, str]:
    from vggc.targets.node_names import parser_name

    assert finding.node is not None
    return {"name": parser_name(finding.node), "operator": finding.node.op}


def _value(graph: Graph, value: Any) -> dict[str, Any]:
    from vggc.graph.signature import type_text

    dtype = graph.dtype(value)
    shape = value.shape
    return {
        "name": value.name,
        "type": None if dtype is None else type_text(dtype),
        "shape": None if shape is None else [each if isinstance(each, int | str) else None for each in shape],
    }


def _pass(shown: Pass) -> dict[str, Any]:
    return {
        "name": shown.name,
        "exact": shown.exact,
        "summary": shown.summary,
        "details": shown.details,
        "options": _options(shown.schema.options),
    }


def _target(shown: Target) -> dict[str, Any]:
    text = shown.doc.partition("\nOptions:")[0].strip()
    return {"name": shown.name, "summary": text, "options": _options(shown.schema.options)}


def _options(options: Sequence[Option]) -> list[dict[str, Any]]:
    from vggc.binding.call_texts import default_text
    from vggc.options.type_text import catalogue_text

    return [
        {
            "name": each.name,
            "type": catalogue_text(each.annotation),
            "required": each.required,
            "default": None if each.required else default_text(each),
            "meaning": each.doc,
        }
        for each in options
    ]
