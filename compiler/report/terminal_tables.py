"""The report as tables in the terminal."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from vggc.diagnostics.number_text import human_bytes, human_count
from vggc.measures import format_value
from vggc.report.record import Decline, Fidelity, ModelCost, Report, StepRecord

_NAME = re.compile("`[^`]*`")
"""Names in reasons. Reasons that differ only in names count as the same reason."""

_STEPS = ("step", "line", "changes", "declined", "nodes", "params", "MACs", "bytes", "seconds")
_OPTIONAL = ("seconds", "params", "bytes", "line")
"""Columns that are left out in a narrow terminal, in this order. report.json has all of them."""

_LONGEST_STEP = 44
"""Characters for the name of a step. A step that applies several rules names all of them."""

_UNLIMITED = 10_000

_MOST_OUTPUTS = 12
"""The most outputs whose fidelity the terminal shows. report.json has all of them."""

_MOST_NODES = 12
"""The most nodes in a higher precision that the terminal shows."""

_BAR = 30
"""Characters of the longest bar."""


def summary(report: Report, folder: Path) -> RenderableType:
    """Steps with their effect, the numerical distance, gates and files."""
    parts: list[RenderableType] = [_steps(report)] if report.steps else []
    parts += [_sensitivity(step) for step in report.steps if step.sensitivity]
    parts += [_precisions(step) for step in report.steps if step.precisions and not step.undone]
    if report.verification:
        parts.append(_verification(report))
    if report.fidelity is not None and report.fidelity.outputs:
        parts += _fidelity(report.fidelity)
    if report.requirements:
        parts.append(_requirements(report))
    if report.objectives:
        parts.append(_objectives(report))
    if report.artifacts:
        parts.append(_artifacts(report, folder))
    if report.runs:
        parts.append(_runs(report))
    return Group(*parts)


def plain_table(*columns: str, right: int = 1) -> Table:
    """A table without lines. The columns from index `right` on contain numbers and are aligned right."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index >= right else "left", overflow="fold")
    return table


class _Fitting:
    """The first of several tables that fits the width of the console, or the last one when none fits."""

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
                "seconds": "cached" if step.cached else f"{step.seconds:.2f}",
            }
        )
    shown = [name for name in _STEPS if name != "declined" or any(row.get(name) for row in rows)]
    tables = []
    for left_out in range(len(_OPTIONAL) + 1):
        columns = [name for name in shown if name not in _OPTIONAL[:left_out]]
        table = plain_table(*columns, right=2 if "line" in columns else 1)
        table.columns[0].max_width = _LONGEST_STEP
        for row in rows:
            table.add_row(*(row.get(name, "") for name in columns))
        tables.append(table)
    return _Fitting(*tables)


def _sensitivity(step: StepRecord) -> RenderableType:
    """The error of each node, the largest first, each with a bar of its size relative to the largest."""
    table = plain_table("", step.name, "", right=3)
    worst = max(step.sensitivity.values())
    for name, error in sorted(step.sensitivity.items(), key=lambda each: -each[1]):
        table.add_row(Text(name), f"{error:.1e}", "#" * round(_BAR * error / worst) if worst else "")
    return table


def _precisions(step: StepRecord) -> RenderableType:
    """The nodes that are not in the step's lowest precision, with what chose them."""
    lowest = step.precisions[-1].precision
    kept = [each for each in step.precisions if each.precision != lowest]
    table = plain_table("\nnode", "\nprecision", f"\nerror in {lowest}", f"\nms saved by {lowest}", right=2)
    for each in kept[:_MOST_NODES]:
        table.add_row(Text(each.node), each.precision, f"{each.error:.1e}", f"{each.milliseconds:.3g}")
    if len(kept) > _MOST_NODES:
        table.add_row(f"and {len(kept) - _MOST_NODES} more, in report.html")
    return table


def _size(cost: ModelCost) -> dict[str, str]:
    return {
        "nodes": str(cost.nodes),
        "params": human_count(cost.params),
        "MACs": human_count(cost.macs),
        "bytes": human_bytes(cost.bytes),
    }


def _verification(report: Report) -> Table:
    table = plain_table(
        "\ncompared with the model before", "\ninputs", "\nlargest relative error", "\nallowed", right=2
    )
    for each in report.verification:
        table.add_row(", ".join(each.steps), each.inputs, f"{each.error:.1e}", f"{each.tolerance:.1e}")
    return table


def _fidelity(fidelity: Fidelity) -> list[RenderableType]:
    table = plain_table("output", "agreement", "cosine", "SQNR")
    for output in fidelity.outputs[:_MOST_OUTPUTS]:
        table.add_row(output.name, *output.texts())
    left = len(fidelity.outputs) - _MOST_OUTPUTS
    more = [Text(f"and {left} more outputs, in report.json")] if left > 0 else []
    return [Text(f"\ncompared with the model as read, on {fidelity.inputs}"), table, *more]


def _requirements(report: Report) -> Table:
    table = plain_table("\nrequirement", "\nline", "\nmeasured", "\nwanted", "\noutcome", right=2)
    styles = {"held": "green", "failed": "bold red", "warned": "yellow", "rolled back": "yellow"}
    for each in report.requirements:
        outcome = Text(each.outcome, style=styles[each.outcome])
        table.add_row(each.text, each.line, each.measured, each.wanted, outcome)
    return table


def _objectives(report: Report) -> Table:
    table = plain_table("\nobjective", "\nline", "\nmeasured", "\nmodel as read", right=2)
    for each in report.objectives:
        table.add_row(f"{each.direction} {each.text}", each.line, each.measured, each.original)
    return table


def _artifacts(report: Report, folder: Path) -> Table:
    table = plain_table("\nwritten", "\ntarget", "\nbytes", "\nsha256", right=2)
    for each in report.artifacts:
        table.add_row(str(folder / each["path"]), each["target"], human_bytes(each["bytes"]), each["sha256"][:12])
    return table


def _runs(report: Report) -> Table:
    heads = ("run on this CPU", "target", "batch", "median", "onnxruntime", "error", "allowed")
    table = plain_table(*(f"\n{each}" for each in heads), right=2)
    for each in report.runs:
        times = [format_value(each[key], "seconds") for key in ("seconds", "onnxruntime_seconds")]
        name = f"{each['runtime']} {each['version']}"
        errors = (f"{each['largest_error']:.1e}", f"{each['allowed']:.1e}")
        table.add_row(name, each["target"], str(each["batch"]), *times, *errors)
    return table


def declines(step: StepRecord, limit: int = 8) -> list[str]:
    """The reasons why a step declined to change something, the most frequent first, one line each."""
    reasons: dict[str, list[Decline]] = {}
    for decline in step.declined:
        reasons.setdefault(_NAME.sub("`...`", decline.reason), []).append(decline)
    ordered = sorted(reasons.values(), key=lambda same: -len(same))
    lines = []
    for same in ordered[:limit]:
        more = f" and {len(same) - 1} more" if len(same) > 1 else ""
        # A reason about the whole step needs the name of the step only once.
        subject = "" if same[0].what == step.name else f"{same[0].what}{more}: "
        lines.append(f"{step.name}: {subject}{same[0].reason}")
    if len(ordered) > limit:
        lines.append(f"{step.name}: {len(ordered) - limit} more reasons in report.json")
    return lines


def plan(report: Report) -> RenderableType:
    """What each step would do: its rewrites, the size of the model after it, and what it would decline and why."""
    table = plain_table("step", "line", "would do", "nodes", "params", "MACs", "bytes", right=3)
    for step in report.steps:
        changes = [f"{name} ({times}x)" if times > 1 else name for name, times in step.changes.items()]
        table.add_row(step.name, step.line, "\n".join(changes) or "nothing", *_size(step.after).values())
    lines = [Text(f"would decline: {line}") for step in report.steps for line in declines(step, limit=1000)]
    return Group(table, *([Text(), *lines] if lines else []))
