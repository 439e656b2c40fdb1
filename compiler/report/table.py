"""The report as a person reads it in a terminal."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from vggc.diagnostics.number_text import human_bytes, human_count
from vggc.report.record import Decline, ModelCost, Report, StepRecord

_NAME = re.compile("`[^`]*`")
"""Reasons that differ only in the names they mention are one reason."""

_STEPS = ("step", "line", "changes", "declined", "nodes", "params", "MACs", "bytes", "seconds")
_SPARED = ("seconds", "params", "bytes", "line")
"""Columns that a narrow terminal does without, in this order; report.json has them all."""

_LONGEST_STEP = 44
"""Columns for the name of a step: a run of rules names several."""

_UNLIMITED = 10_000

_BAR = 30
"""Columns of the longest bar."""


def summary(report: Report, folder: Path) -> RenderableType:
    """Steps with their effect, the numerical distance, gates and files."""
    parts: list[RenderableType] = [_steps(report)] if report.steps else []
    parts += [_sensitivity(step) for step in report.steps if step.sensitivity]
    if report.verification:
        parts.append(_verification(report))
    if report.requirements:
        parts.append(_requirements(report))
    if report.artifacts:
        parts.append(_artifacts(report, folder))
    return Group(*parts)


def _plain(*columns: str, right: int = 1) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index >= right else "left", overflow="fold")
    return table


class _Fitting:
    """The first of several tables that the console is wide enough for; the last one where it is for none."""

    def __init__(self, *tables: Table) -> None:
        self._tables = tables

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unlimited = options.update(max_width=_UNLIMITED)
        fit = (each for each in self._tables if Measurement.get(console, unlimited, each).maximum <= options.max_width)
        yield next(fit, self._tables[-1])


def _steps(report: Report) -> RenderableType:
    rows: list[dict[str, str | Text]] = [{"step": "model as read", **_size(report.steps[0].before)}]
    for step in report.steps:
        rows.append(
            {
                "step": Text(step.name, style="strike" if step.undone else ""),
                "line": step.line,
                "changes": str(step.total) if step.total else "-",
                "declined": str(step.times_declined) if step.declined else "",
                **_size(step.after),
                "seconds": f"{step.seconds:.2f}",
            }
        )
    shown = [name for name in _STEPS if name != "declined" or any(row.get(name) for row in rows)]
    tables = []
    for left_out in range(len(_SPARED) + 1):
        columns = [name for name in shown if name not in _SPARED[:left_out]]
        table = _plain(*columns, right=2 if "line" in columns else 1)
        table.columns[0].max_width = _LONGEST_STEP
        for row in rows:
            table.add_row(*(row.get(name, "") for name in columns))
        tables.append(table)
    return _Fitting(*tables)


def _sensitivity(step: StepRecord) -> RenderableType:
    """What each node suffers, the worst first, each with a bar of its share of the largest."""
    table = _plain("", step.name, "", right=3)
    worst = max(step.sensitivity.values())
    for name, error in sorted(step.sensitivity.items(), key=lambda each: -each[1]):
        table.add_row(Text(name), f"{error:.1e}", "#" * round(_BAR * error / worst) if worst else "")
    return table


def _size(cost: ModelCost) -> dict[str, str]:
    return {
        "nodes": str(cost.nodes),
        "params": human_count(cost.params),
        "MACs": human_count(cost.macs),
        "bytes": human_bytes(cost.bytes),
    }


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
        # What is said of the step as a whole needs its name once.
        what = "" if found[0].what == step.name else f"{found[0].what}{more}: "
        lines.append(f"{step.name}: {what}{found[0].reason}")
    if len(ordered) > limit:
        lines.append(f"{step.name}: {len(ordered) - limit} more reasons in report.json")
    return lines


def plan(report: Report) -> RenderableType:
    """What each step would do: its rewrites by name, what it would leave alone and why, and the model's size after."""
    table = _plain("step", "line", "would do", "nodes", "params", "MACs", "bytes", right=3)
    for step in report.steps:
        changes = [f"{name} ({times}x)" if times > 1 else name for name, times in step.changes.items()]
        what = "\n".join(changes) or "nothing"
        table.add_row(step.name, step.line, what, *_size(step.after).values())
    left = [Text(f"would leave: {line}") for step in report.steps for line in declines(step, limit=1000)]
    return Group(table, *([Text(), *left] if left else []))
