"""`vggc bisect`: the step and the change that cost the most, and the smallest reproduction of it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vggc.cli.console import progress, stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.diagnostics import CompileError

if TYPE_CHECKING:
    from vggc.bisect import Bisection
    from vggc.bisect.search import Weighed
    from vggc.conditions import Kind

_PATH = click.Path(path_type=Path)
_SHOWN = 5
_NAMED = 3


@click.command(cls=LoadingCommand)
@click.argument("recipe", type=_PATH)
@click.argument("model", type=_PATH)
@click.option(
    "--measure",
    required=True,
    metavar="MEASURE",
    help="What to hold the model to, as a `require` says it: 'agreement(test)'.",
)
@click.option(
    "-o", "--output", type=_PATH, metavar="DIR", help="For the reproduction. [default: build/<model>-<recipe>-bisect]"
)
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Override a `param` of the recipe.")
def bisect(recipe: Path, model: Path, measure: str, output: Path | None, overrides: tuple[str, ...]) -> None:
    """Find the step of RECIPE, and which of its changes, that costs MODEL the most of a measure, or breaks it.

    Gates and targets are passed by. The smallest reproduction is written: a recipe of that step alone, with the piece
    of the model on which it does its harm and the numbers that reach it.
    """
    from vggc.binding import bind_with_measure
    from vggc.bisect import bisect as find
    from vggc.bisect import reproduce
    from vggc.bound import BoundData
    from vggc.cli.commands import given_overrides
    from vggc.grammar.parser import parse
    from vggc.grammar.reading import read_recipe
    from vggc.output import check_output_folder, output_folder

    given = given_overrides(overrides)
    pipeline, measured = bind_with_measure(parse(read_recipe(recipe)), measure, "--measure", overrides=given)
    folder = output or Path("build") / f"{model.stem}-{recipe.stem}-bisect"
    check_output_folder(folder)
    with progress() as tell:
        found = find(pipeline, measured, model, progress=tell)
        if found.guilty is None:
            stdout().print(bisect_page(found, measure))
            return
        tell("cutting the reproduction out")
        asked = next((each for each in measured.options.values() if isinstance(each, BoundData)), None)
        made = reproduce(found, pipeline, asked, folder)
        with output_folder(folder) as staging:
            files = [each.name for each in made.write(staging)]
            told = _as_dict(found, recipe, model, measure, files)
            (staging / "report.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    nodes = len(made.graph.nodes)
    size = (
        f"the whole model before it, {nodes} nodes"
        if made.whole
        else f"{nodes} of its {len(found.guilty.before.nodes)} nodes"
    )
    lines = (f"reproduction, with {size}: vggc {folder / 'bisect.opt'} {folder / 'model.onnx'}", "", made.text.rstrip())
    stdout().print(bisect_page(found, measure), Text(), *(Text(each) for each in lines), sep="\n")


def bisect_page(found: Bisection, measure: str) -> RenderableType:
    """A row for each step, then the guilty one, then its changes, the worst first."""
    table = _table("step", "line", measure, "worse by")
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
    table = _table("change", "made from", f"{measure} with it alone", "worse by")
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
    from vggc.measures import format_value

    return f"none: {value.diagnostics[0].message}" if isinstance(value, CompileError) else format_value(value, kind)


def _cost(cost: float, found: Bisection) -> str:
    from vggc.measures import format_value

    if math.isinf(cost):
        return "all of it"
    if not cost:
        return ""
    if found.unit == "dB":
        return f"{100 * cost:.3g}% noise"
    return format_value(cost, found.kind)


def _as_dict(found: Bisection, recipe: Path, model: Path, measure: str, files: list[str]) -> dict[str, Any]:
    def weighed(each: Weighed) -> dict[str, Any]:
        return {
            "value": each.change.value,
            "before": each.change.before,
            "after": each.change.after,
            "rule": each.change.rule,
            "measured": _number(each.value),
            "cost": _number(each.cost),
        }

    assert found.guilty is not None
    return {
        "recipe": str(recipe),
        "model": str(model),
        "measure": measure,
        "original": found.first,
        "steps": [
            {"name": each.name, "line": each.line, "measured": _number(each.value), "cost": _number(each.cost)}
            for each in found.stages
        ],
        "guilty": {"name": found.guilty.step.name, "line": found.guilty.step.label, "changes": found.total},
        "changes": [weighed(each) for each in found.worst],
        "note": found.note,
        "artifacts": [{"path": each} for each in files],
    }


def _number(value: float | CompileError) -> float | str:
    if isinstance(value, CompileError):
        return value.diagnostics[0].message
    return value if math.isfinite(value) else str(value)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column == "worse by" else "left", overflow="fold")
    return table
