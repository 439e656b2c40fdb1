"""Pages about a model: its operators and costs, its channel groups, the origin of a node, and graphs as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_graphsurgeon as gs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vggc.analysis.channels import groups_table
from vggc.analysis.costs import NodeCost, costs
from vggc.cli.tables import plain_table
from vggc.diagnostics import Code, CompileError, fail, spelling_help
from vggc.diagnostics.number_text import human_bytes, human_count
from vggc.graph import Graph
from vggc.graph.extras import node_extras
from vggc.graph.signature import value_text
from vggc.targets.diagnosis import causes, diagnose
from vggc.targets.flavours import missing


def model_page(graph: Graph, path: Path) -> RenderableType:
    """A model: its inputs and outputs, its operators with their cost, the totals, and role TensorRT would refuse."""
    model_costs = costs(graph)
    head = plain_table("", "")
    producer = f"{graph.producer_name} {graph.producer_version or ''}".strip() or "unknown"
    head.add_row("model", str(path))
    head.add_row("made by", f"{producer}, opset {graph.opset}, IR {graph.ir_version}")
    for role, values in (("input", graph.inputs), ("output", graph.outputs)):
        for value in values:
            head.add_row(role, value_text(graph, value))
    head.add_row("nodes", str(len(graph.nodes)))
    head.add_row("params", human_count(model_costs.params))
    samples = (
        "" if all(value.shape and isinstance(value.shape[0], int) for value in graph.inputs) else " for one sample"
    )
    head.add_row(
        "MACs",
        f"{human_count(model_costs.macs)}{samples}" if model_costs.macs is not None else _unknown(model_costs.unknown),
    )
    head.add_row("weights", f"{human_bytes(model_costs.weight_bytes)} ({_types(graph)})")
    return Group(head, _operators(model_costs.nodes), Text(), Text(_refusals(graph)))


def _refusals(graph: Graph) -> str:
    """What TensorRT RTX would refuse: the errors of `vggc lint`."""
    flavour = "tensorrt_rtx"
    absent = missing(flavour)
    if absent:
        return f"TensorRT RTX: not checked, because {absent.message}"
    try:
        errors = [each for each in diagnose(graph, flavour) if each.severity == "error"]
        refused = [each.diagnostic() for each in causes(errors)]
    except CompileError as error:
        refused = list(error.diagnostics)
    if not refused:
        return "TensorRT RTX: found nothing that it would refuse"
    return "\n".join(["TensorRT RTX would refuse:", *(f"  {each.message}" for each in refused)])


def groups_page(graph: Graph) -> RenderableType:
    """A row for each channel group of a model: its axes, what removing the first channel saves, why it is frozen."""
    table = plain_table("group", "channels", "made by", "read by", "params per channel", "MACs per channel", "note")
    for row in groups_table(graph):
        made, read = (
            f"{each[0]}{f' +{len(each) - 1}' if len(each) > 1 else ''}" if each else ""
            for each in (row.producers, row.consumers)
        )
        saved = (human_count(row.params), human_count(row.macs)) if row.prunable else ("", "")
        table.add_row(
            str(row.id), str(row.size), made, read, *saved, row.note if row.prunable else f"frozen: {row.note}"
        )
    return table


def _operators(nodes: Sequence[NodeCost]) -> Table:
    table = plain_table("\noperator", "\nnodes", "\nparams", "\nMACs", right=1)
    counts = Counter(each.op for each in nodes)
    for op, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        own = [each for each in nodes if each.op == op]
        macs = [each.macs for each in own]
        total = None if None in macs else sum(each for each in macs if each is not None)
        params = sum(each.params for each in own)
        table.add_row(op, str(count), human_count(params) if params else "", human_count(total) if total else "")
    return table


def _unknown(nodes: Sequence[NodeCost]) -> str:
    more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
    return f"unknown: the shapes around {nodes[0].label}{more} are not known"


def _types(graph: Graph) -> str:
    """The types of the weights, the one with the most bytes first."""
    sizes: Counter[str] = Counter()
    for constant in graph.constants():
        dtype = graph.dtype(constant) if isinstance(constant, gs.Constant) else None
        count = int(np.prod(constant.shape, dtype=np.int64)) if constant.shape else 1
        sizes[str(dtype)] += count
    return ", ".join(name for name, _ in sizes.most_common(3)) or "none"


def node_page(graph: Graph, name: str) -> RenderableType:
    """Where a node comes from. Raises CompileError when there is no node and no value with that name."""
    nodes = [node for node in graph.nodes if node.name == name or any(value.name == name for value in node.outputs)]
    if not nodes:
        names = {node.name for node in graph.nodes if node.name}
        raise fail(f"the model has no node `{name}`", help=spelling_help(name, names, "its nodes"), code=Code.NO_NODE)
    node = nodes[0]
    known = {key: text for key, text in node_extras(node).metadata.items() if key.startswith("vggc.")}
    table = plain_table("", "")
    table.add_row("node", graph.label(node))
    table.add_row("computes", ", ".join(f"`{value.name}`" for value in node.outputs if value.name))
    table.add_row("recipe line", known.get("vggc.line", "none: the node is from the original model"))
    if "vggc.pass" in known:
        table.add_row("pass", known["vggc.pass"])
    if "vggc.rule" in known:
        table.add_row("rule", known["vggc.rule"])
    table.add_row("made from", known.get("vggc.from", graph.label(node)))
    return table
