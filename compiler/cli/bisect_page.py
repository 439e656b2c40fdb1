"""The guilty step and its changes as a page in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from vggc.bisect import Bisection
from vggc.cli.tables import plain_table
from vggc.diagnostics import CompileError
from vggc.measures import format_value
from vggc.pipeline.conditions import Kind

_SHOWN = 5
_NAMED = 3


def bisect_page(bisection: Bisection, measure: str) -> RenderableType:
    """A row for each step, then the guilty step, then its changes, the worst first."""
    table = plain_table("step", "line", measure, "worse by", right=3)
    table.add_row("model as read", "", _value(bisection.first, bisection.kind), "")
    for stage in bisection.stages:
        table.add_row(stage.name, stage.line, _value(stage.value, bisection.kind), _cost(stage.cost, bisection))
    if bisection.guilty is None:
        return Group(table, Text(), Text("no step makes the model worse"))
    step = bisection.guilty.step
    broken = any(math.isinf(each.cost) for each in bisection.stages)
    lines: list[RenderableType] = [
        table,
        Text(),
        Text(f"{'breaks the model' if broken else 'costs the most'}: `{step.name}` at {step.label}"),
    ]
    if bisection.note:
        lines.append(Text(f"the changes that cause this are not known: {bisection.note}"))
    if bisection.worst:
        lines += [Text(), _changes(bisection, measure)]
    return Group(*lines)


def _changes(bisection: Bisection, measure: str) -> RenderableType:
    table = plain_table("change", "made from", f"{measure} with this change alone", "worse by", right=3)
    for measured in bisection.worst[:_SHOWN]:
        change = measured.change
        name = f"{change} (rule {change.rule})" if change.rule else str(change)
        table.add_row(
            name, _listed(change.before), _value(measured.value, bisection.kind), _cost(measured.cost, bisection)
        )
    step_cost = max(each.cost for each in bisection.stages)
    spread = math.isfinite(step_cost) and bisection.worst[0].cost < step_cost / 2
    tail = "each change alone costs less than half of what they cost together" if spread else ""
    more = bisection.total - min(_SHOWN, len(bisection.worst))
    return Group(table, *(Text(each) for each in (f"and {more} more" if more else "", tail) if each))


def _listed(nodes: Sequence[str]) -> str:
    more = len(nodes) - _NAMED
    return ", ".join(nodes) if more <= 1 else f"{', '.join(nodes[:_NAMED])} and {more} more nodes"


def _value(value: float | CompileError, kind: Kind) -> str:
    return f"failed: {value.diagnostics[0].message}" if isinstance(value, CompileError) else format_value(value, kind)


def _cost(cost: float, bisection: Bisection) -> str:
    if math.isinf(cost):
        return "all of it"
    if not cost:
        return ""
    if bisection.unit == "dB":
        return f"{100 * cost:.3g}% noise"
    return format_value(cost, bisection.kind)
