"""Pages the command line shows: the passes with their options, and what is in a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import onnx_graphsurgeon as gs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vggc.analysis.channels import groups_table
from vggc.analysis.costs import NodeCost, costs
from vggc.binding.registry import shipped
from vggc.cli.tables import plain_table
from vggc.diagnostics import fail, spelling_help
from vggc.diagnostics.number_text import human_bytes, human_count
from vggc.graph import Graph
from vggc.graph.extras import node_extras
from vggc.graph.signature import value_text
from vggc.graph.text import graph_text
from vggc.options import spell
from vggc.options.schema import Option
from vggc.options.type_text import catalogue_text
from vggc.pipeline.model import Pipeline
from vggc.report.record import StepRecord
from vggc.rewrite import Pass
from vggc.targets.flavours import missing, release
from vggc.targets.verifier import Subject, refusals


def pass_list() -> RenderableType:
    """Every pass on a line: name, whether it is exact, what it does."""
    table = plain_table("pass", "", "what it does")
    for each in shipped().passes.values():
        table.add_row(each.name, "exact" if each.exact else "lossy", _first_sentence(each.summary))
    return table


def pass_page(name: str) -> RenderableType:
    """One pass: how it is called, what it does, its options. Raises CompileError for an unknown name."""
    passes = shipped().passes
    if name not in passes:
        raise fail(f"unknown pass `{name}`", help=spelling_help(name, passes, "passes"))
    found = passes[name]
    options = found.schema.options
    kind = "exact: the model computes the same" if found.exact else "lossy: results change"
    parts: list[RenderableType] = [
        Text(call_of(found), style="bold"),
        Text(kind),
        Text(),
        Text(found.summary),
    ]
    if found.details:
        parts += [Text(), Text(found.details)]
    if options:
        parts.append(options_table(options))
    return Group(*parts)


def options_table(options: Sequence[Option]) -> RenderableType:
    """A row for each option of a pass or a target."""
    table = plain_table("\noption", "\ntype", "\ndefault", "\nmeaning")
    for each in options:
        table.add_row(each.name, catalogue_text(each.annotation), default_text(each), each.doc)
    return table


def options_markdown(options: Sequence[Option]) -> list[str]:
    """The same as lines of a page of the documentation."""
    lines = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for each in options:
        kind = catalogue_text(each.annotation).replace("|", "\\|")
        lines.append(f"| `{each.name}` | {kind} | {default_text(each)} | {each.doc} |")
    return lines


def call_of(found: Pass) -> str:
    """How a recipe calls a pass, its options with their defaults: `prune(align=8)`."""
    options = found.schema.options
    words = [f"{each.name}={'...' if each.required else default_text(each)}" for each in options]
    return f"{found.name}({', '.join(words)})" if words else found.name


def default_text(option: Option) -> str:
    """An option's default as a recipe would write it."""
    if option.required:
        return "required"
    is_word = isinstance(option.default, str) and option.default.isidentifier()
    return option.default if is_word else spell(option.default)


def catalogue() -> str:
    """docs/passes.md: every pass with its options, from the docstrings."""
    lines = [
        "# Passes",
        "",
        "Made from the passes' own docstrings by `vggc passes --markdown`. Exact passes keep what the model computes,",
        "and are checked numerically; lossy ones change it. `vggc passes NAME` shows one of them in the terminal.",
    ]
    for found in shipped().passes.values():
        kind = "exact" if found.exact else "lossy"
        lines += ["", f"## {found.name}", "", f"`{call_of(found)}` ({kind})", "", found.summary]
        lines += ["", found.details] if found.details else []
        options = found.schema.options
        if options:
            lines += ["", *options_markdown(options)]
    return "\n".join(lines) + "\n"


def model_page(graph: Graph, path: Path) -> RenderableType:
    """A model: what goes in and out, its operators with their cost, the totals, and what TensorRT would refuse."""
    found = costs(graph)
    head = plain_table("", "")
    producer = f"{graph.producer_name} {graph.producer_version or ''}".strip() or "unknown"
    head.add_row("model", str(path))
    head.add_row("made by", f"{producer}, opset {graph.opset}, IR {graph.ir_version}")
    for what, values in (("input", graph.inputs), ("output", graph.outputs)):
        for value in values:
            head.add_row(what, value_text(graph, value))
    head.add_row("nodes", str(len(graph.nodes)))
    head.add_row("params", human_count(found.params))
    samples = (
        "" if all(value.shape and isinstance(value.shape[0], int) for value in graph.inputs) else " for one sample"
    )
    head.add_row("MACs", f"{human_count(found.macs)}{samples}" if found.macs is not None else _unknown(found.unknown))
    head.add_row("weights", f"{human_bytes(found.weight_bytes)} ({_types(graph)})")
    return Group(head, _operators(found.nodes), Text(), Text(_refusals(graph)))


def _refusals(graph: Graph) -> str:
    """What TensorRT RTX would refuse, by the rules alone; `--target` asks its importer as well."""
    flavour = "tensorrt_rtx"
    absent = missing(flavour)
    if absent:
        return f"TensorRT RTX: not asked, since {absent.message}"
    found = refusals(Subject(graph, flavour, release(flavour)), batch_varies=False)
    if not found:
        return "TensorRT RTX: nothing that is known to be refused"
    return "\n".join(["TensorRT RTX would refuse:", *(f"  {each.message}" for each in found)])


def groups_page(graph: Graph) -> RenderableType:
    """The channel groups of a model: axes that shrink together, what the first channel to go saves, what is frozen."""
    table = plain_table("group", "channels", "made by", "read by", "params a channel", "MACs a channel", "note")
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


def graph_printer(pipeline: Pipeline, wanted: str | None) -> Callable[[StepRecord, Graph], None]:
    """What prints graphs after the steps named `wanted`, or after all that `changed` something.

    Raises CompileError when the recipe has no such step.
    """
    names = {step.name for step in pipeline.steps()}
    if wanted is not None and wanted != "changed" and wanted not in names:
        raise fail(f"--print-after: the recipe has no step `{wanted}`", help=spelling_help(wanted, names, "its steps"))

    def show(record: StepRecord, graph: Graph) -> None:
        if wanted == record.name or (wanted == "changed" and record.total):
            click.echo(f"# after {record.name} ({record.line}): {len(graph.nodes)} nodes\n{graph_text(graph)}\n")

    return show


def node_page(graph: Graph, name: str) -> RenderableType:
    """Where a node comes from. Raises CompileError when there is no node, nor a value, of that name."""
    found = [node for node in graph.nodes if node.name == name or any(value.name == name for value in node.outputs)]
    if not found:
        names = {node.name for node in graph.nodes if node.name}
        raise fail(f"the model has no node `{name}`", help=spelling_help(name, names, "its nodes"))
    node = found[0]
    known = {key: text for key, text in node_extras(node).metadata.items() if key.startswith("vggc.")}
    table = plain_table("", "")
    table.add_row("node", graph.label(node))
    table.add_row("computes", ", ".join(f"`{value.name}`" for value in node.outputs if value.name))
    table.add_row("recipe line", known.get("vggc.line", "none: as in the model that was read"))
    if "vggc.pass" in known:
        table.add_row("pass", known["vggc.pass"])
    if "vggc.rule" in known:
        table.add_row("rule", known["vggc.rule"])
    table.add_row("made from", known.get("vggc.from", graph.label(node)))
    return table


def _first_sentence(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())
