"""The report as one HTML file for people: report.html beside report.json.

The file contains everything, so that it can be opened without a network, mailed or printed. Tables are plain HTML. A
script in the file draws the plots and the graph from data in the file when they come into view.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vggc.report import sections
from vggc.report.accuracy_section import accuracy_section
from vggc.report.facts_section import facts_section
from vggc.report.graph_data import GraphData
from vggc.report.graph_section import graph_section
from vggc.report.node_remarks import kept_shares, node_errors, node_remarks
from vggc.report.page_frame import GRAPH_SCRIPTS, PLOT_SCRIPTS, framed
from vggc.report.picture import Node, Picture
from vggc.report.pictures import NO_PICTURES, PagePictures
from vggc.report.record import ModelCost, Report, StepRecord
from vggc.report.sections import Line, Width
from vggc.report.time_section import node_times, time_section

_MOST_DECLINES = 500
"""The most rows in the table of declined matches. report.json lists all of them."""

_MOST_BARS = 40
"""The most nodes in the plot of sensitivities. The table lists all of them."""


def html_page(report: Report, before: Picture, after: Picture | None, pictures: PagePictures = NO_PICTURES) -> str:
    """The page of a compilation, with graphs of the model as read and as compiled. Names are always escaped.

    `after` is None for a compile that failed, whose page has no graphs.
    """
    declined = [(step, each) for step in report.steps for each in step.declined]
    sensitive, widths, last = _sensitive(report), _widths(report, before.nodes), _last(report)
    precisions = [(step, each) for step in report.steps if not step.undone for each in step.precisions]
    graphs = () if after is None else (("As read", before), ("Compiled", after))
    sums = [(name, _sum(picture.nodes)) for name, picture in graphs]
    checked = report.requirements or report.objectives or report.verification or report.fidelity
    name, title = Path(report.recipe["path"]).name, _title(report)
    main = [
        sections.lead(report, title),
        sections.failure(report.failure) if report.failure else "",
        sections.cards(report, last) if last is not None else "",
        sections.warnings(report.warnings) if report.warnings else "",
        sections.recipe(report, _lines(report), name),
        sections.steps(report),
        sections.checks(report) if checked else "",
        time_section(report.latency, before, after) if report.latency and after else "",
        accuracy_section(report.accuracy, after, pictures.worst) if report.accuracy and after else "",
        sections.costs(report, sums) if graphs else "",
        sections.sensitivity(sensitive) if sensitive else "",
        sections.precisions(precisions) if precisions else "",
        sections.widths(widths) if widths else "",
        sections.declined(declined[:_MOST_DECLINES], max(0, len(declined) - _MOST_DECLINES)) if declined else "",
        graph_section(graphs) if graphs else "",
        sections.runs(report) if report.runs else "",
        sections.files(report),
        facts_section(report, pictures) if report.facts else "",
    ]
    links = {
        "recipe": True,
        "steps": True,
        "checks": checked,
        "time": report.latency and after,
        "accuracy": report.accuracy and after,
        "costs": graphs,
        "sensitivity": sensitive,
        "precisions": precisions,
        "widths": widths,
        "declined": declined,
        "graph": graphs,
        "runs": report.runs,
        "files": True,
        "facts": report.facts,
    }
    return framed(
        title,
        "\n\n".join(each for each in main if each),
        links=[name for name, there in links.items() if there],
        data=_data(report, before, before if after is None else after, widths),
        scripts=(*PLOT_SCRIPTS, "page.js", *(GRAPH_SCRIPTS if graphs else ())),
    )


def _title(report: Report) -> str:
    return f"{Path(report.model['path']).name} by {Path(report.recipe['path']).name}"


def _last(report: Report) -> ModelCost | None:
    """The cost after the last step that was not undone."""
    kept = [step for step in report.steps if not step.undone]
    if kept:
        return kept[-1].after
    return report.steps[0].before if report.steps else None


def _lines(report: Report) -> list[Line]:
    """The lines of the recipe, each with the steps, gates and files that belong to it."""
    name = Path(report.recipe["path"]).name
    texts = report.recipe["text"].rstrip("\n").split("\n")
    lines = [Line(f"{name}:{number}", number, text) for number, text in enumerate(texts, 1)]

    def line_at(place: str) -> Line | None:
        # `my.opt:4 > library.opt:9` is a step of a definition that line 4 calls.
        file, _, number = place.partition(" > ")[0].rpartition(":")
        return lines[int(number) - 1] if file == name and number.isdigit() and int(number) <= len(lines) else None

    for number, step in enumerate(report.steps, 1):
        if line := line_at(step.line):
            line.steps.append((number, step))
    for gate in report.requirements:
        if line := line_at(gate.line):
            line.gates.append(gate)
    by_target: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in report.artifacts:
        by_target[each["target"]].append(each)
    for line in lines:
        words = line.text.split("(")[0].split("#")[0].split()
        if words[:1] == ["target"] and len(words) > 1:
            line.artifacts = by_target.pop(words[1], [])
    return lines


def _widths(report: Report, before: Sequence[Node]) -> list[Width]:
    known = {node.name: node.width for node in before if node.name}
    widths = []
    for step in report.steps:
        for name, left in ({} if step.undone else step.channels).items():
            widths.append(Width(step.name, name, known.get(name), len(left)))
            known[name] = len(left)
    return widths


def _sensitive(report: Report) -> list[tuple[StepRecord, str, float]]:
    """Step, node and error for each node whose sensitivity was measured, the most sensitive first."""
    rows = [(step, node, error) for step in report.steps for node, error in step.sensitivity.items()]
    return sorted(rows, key=lambda row: -row[2])


def _sum(nodes: Sequence[Node]) -> str:
    """A sentence that describes the plot of the nodes."""
    costly = max(nodes, key=lambda node: node.macs or 0, default=None)
    total = sum(node.macs or 0 for node in nodes)
    if costly is None or not costly.macs:
        return f"{len(nodes)} nodes, none of which multiplies"
    share = 100 * costly.macs / total
    return f"{len(nodes)} nodes; the costliest is {costly.op} {costly.name or costly.key} with {share:.2g}% of the MACs"


def _data(report: Report, before: Picture, after: Picture, widths: Sequence[Width]) -> dict[str, Any]:
    """The data for the scripts."""
    graphs = GraphData()
    graphs.add("As read", before, {"time": node_times(report.latency, 0, before)})
    graphs.add(
        "Compiled",
        after,
        {
            "time": node_times(report.latency, 1, after),
            "error": node_errors(report, after),
            "kept": kept_shares(after, widths),
        },
    )
    return {
        "costs": [
            *(_cost("as read", step.before) for step in report.steps[:1]),
            *(_cost(step.name, step.after, step.undone) for step in report.steps),
        ],
        "gates": [
            {"text": each.text, "value": each.value, "limit": each.limit, "after": each.after, "outcome": each.outcome}
            for each in report.requirements
            if each.kind == "ratio" and each.value is not None
        ],
        "sensitivity": [{"node": node, "error": error} for _, node, error in _sensitive(report)[:_MOST_BARS]],
        **graphs.as_dict(),
        "remarks": node_remarks(report, before, after),
    }


def _cost(step: str, cost: ModelCost, undone: bool = False) -> dict[str, Any]:
    return {"step": step, "undone": undone, **asdict(cost)}
