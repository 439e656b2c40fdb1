"""Graphs as text, printed after the steps that --print-after names."""

from __future__ import annotations

from collections.abc import Callable

import click

from vggc.diagnostics import Code, fail, spelling_help
from vggc.graph import Graph
from vggc.graph.text import graph_text
from vggc.pipeline.model import Pipeline
from vggc.report.record import StepRecord


def graph_printer(pipeline: Pipeline, wanted: str | None) -> Callable[[StepRecord, Callable[[], Graph]], None]:
    """A function that prints the graph after steps with the name `wanted`, or for "changed" after each that changed it.

    Raises CompileError when the recipe has no such step.
    """
    names = {step.name for step in pipeline.steps()}
    if wanted is not None and wanted != "changed" and wanted not in names:
        raise fail(
            f"--print-after: the recipe has no step `{wanted}`",
            help=spelling_help(wanted, names, "its steps"),
            code=Code.UNKNOWN_PASS,
        )

    def show(record: StepRecord, after: Callable[[], Graph]) -> None:
        if wanted == record.name or (wanted == "changed" and record.total):
            graph = after()
            click.echo(f"# after {record.name} ({record.line}): {len(graph.nodes)} nodes\n{graph_text(graph)}\n")

    return show
