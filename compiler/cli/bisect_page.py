"""The guilty step and its changes, as a person reads them in a terminal."""

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


def bisect_page(found: Bisection, measure: str) -> RenderableType:
    """A row for each step, then the guilty one, then its changes, the worst first."""
    table = plain_table("step", "line", measure, "worse by", right=3)
    table.add_row("model as read", "", _value(found.first, found.kind), "")
    for stage in found.stages:
        table.add_row(stage.name, stage.line, _value(stage.value, found.kind), _cost(stage.cost, found))
    if found.guilty is None:
        return Group(table, Text(), Text("no step makes it worse"))
    step = found.guilty.step
    broken = any(math.isinf(each.cost) for each in found.stages)
    lines: list[RenderableType] = [
        table,
        Text(),
        Text(f"{'breaks the model' if broken else 'costs the most'}: `{step.name}` at {step.label}"),
    ]
    if found.note:
        lines.append(Text(f"which of its changes is not known: {found.note}"))
    if found.worst:
        lines += [Text(), _changes(found, measure)]
    return Group(*lines)


def _changes(found: Bisection, measure: str) -> RenderableType:
    table = plain_table("change", "made from", f"{measure} with it alone", "worse by", right=3)
    for each in found.worst[:_SHOWN]:
        change = each.change
        name = f"{change} (rule {change.rule})" if change.rule else str(change)
        table.add_row(name, _listed(change.before), _value(each.value, found.kind), _cost(each.cost, found))
    whole = max(each.cost for each in found.stages)
    alone = found.worst[0].cost
    spread = math.isfinite(whole) and alone < whole / 2
    tail = "no change alone costs half of what they cost together" if spread else ""
    more = found.total - min(_SHOWN, len(found.worst))
    return Group(table, *(Text(each) for each in (f"and {more} more" if more else "", tail) if each))


def _listed(nodes: Sequence[str]) -> str:
    more = len(nodes) - _NAMED
    return ", ".join(nodes) if more <= 1 else f"{', '.join(nodes[:_NAMED])} and {more} more nodes"


def _value(value: float | CompileError, kind: Kind) -> str:
    return f"none: {value.diagnostics[0].message}" if isinstance(value, CompileError) else format_value(value, kind)


def _cost(cost: float, found: Bisection) -> str:
    if math.isinf(cost):
        return "all of it"
    if not cost:
        return ""
    if found.unit == "dB":
        return f"{100 * cost:.3g}% noise"
    return format_value(cost, found.kind)
