"""The report as a person reads it in a terminal."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vggc.report.record import Decline, Report, StepRecord, human_bytes, human_count

_NAME = re.compile("`[^`]*`")
"""Reasons that differ only in the names they mention are one reason."""


def summary(report: Report, folder: Path) -> RenderableType:
    """Steps with their effect, the numerical distance, gates and files."""
    parts: list[RenderableType] = [_steps(report)] if report.steps else []
    if report.verification:
        parts.append(_verification(report))
    if report.requirements:
        parts.append(_requirements(report))
    if report.artifacts:
        parts.append(_artifacts(report, folder))
    return Group(*parts)


def _plain(*columns: str, right: int = 1) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index >= right else "left", overflow="fold")
    return table


def _steps(report: Report) -> Table:
    table = _plain("step", "line", "changes", "declined", "nodes", "params", "MACs", "bytes", "seconds", right=2)
    first = report.steps[0].before
    table.add_row(
        "model as read",
        "",
        "",
        "",
        str(first.nodes),
        human_count(first.params),
        human_count(first.macs),
        human_bytes(first.bytes),
        "",
    )
    for step in report.steps:
        after = step.after
        declined = str(sum(each.times for each in step.declined)) if step.declined else ""
        table.add_row(
            Text(step.name, style="strike" if step.undone else ""),
            step.line,
            str(step.total) if step.total else "-",
            declined,
            str(after.nodes),
            human_count(after.params),
            human_count(after.macs),
            human_bytes(after.bytes),
            f"{step.seconds:.2f}",
        )
    return table


def _verification(report: Report) -> Table:
    table = _plain("\ncompared with the model before", "\ninputs", "\nlargest relative error", "\nallowed", right=2)
    for each in report.verification:
        table.add_row(", ".join(each.steps), each.inputs, f"{each.error:.1e}", f"{each.tolerance:.1e}")
    return table


def _requirements(report: Report) -> Table:
    table = _plain("\nrequirement", "\nline", "\nmeasured", "\nwanted", "\noutcome", right=2)
    styles = {"held": "green", "failed": "bold red", "warned": "yellow", "rolled back": "yellow"}
    for each in report.requirements:
        outcome = Text(each.outcome, style=styles[each.outcome])
        table.add_row(each.text, each.line, each.measured, each.wanted, outcome)
    return table


def _artifacts(report: Report, folder: Path) -> Table:
    table = _plain("\nwritten", "\ntarget", "\nbytes", "\nsha256", right=2)
    for each in report.artifacts:
        table.add_row(str(folder / each["path"]), each["target"], human_bytes(each["bytes"]), each["sha256"][:12])
    return table


def declines(step: StepRecord, limit: int = 8) -> list[str]:
    """The reasons why a step left things alone, the most frequent first, one line each."""
    reasons: dict[str, list[Decline]] = {}
    for each in step.declined:
        reasons.setdefault(_NAME.sub("`...`", each.reason), []).append(each)
    ordered = sorted(reasons.values(), key=lambda found: -len(found))
    lines = []
    for found in ordered[:limit]:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        lines.append(f"{step.name}: {found[0].what}{more}: {found[0].reason}")
    if len(ordered) > limit:
        lines.append(f"{step.name}: {len(ordered) - limit} more reasons in report.json")
    return lines


def plan(report: Report) -> RenderableType:
    """What each step would do: its rewrites by name, what it would leave alone and why, and the model's size after."""
    table = _plain("step", "line", "would do", "nodes", "params", "MACs", "bytes", right=3)
    for step in report.steps:
        changes = [f"{name} ({times}x)" if times > 1 else name for name, times in step.changes.items()]
        what = "\n".join(changes) or "nothing"
        after = step.after
        size = (str(after.nodes), human_count(after.params), human_count(after.macs), human_bytes(after.bytes))
        table.add_row(step.name, step.line, what, *size)
    left = [Text(f"would leave: {line}") for step in report.steps for line in declines(step, limit=1000)]
    return Group(table, *([Text(), *left] if left else []))
