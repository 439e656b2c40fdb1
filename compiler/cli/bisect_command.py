"""`vggc bisect`: the step and the change that cost the most, and the smallest reproduction of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vggc.cli.console import progress, stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.diagnostics import CompileError

if TYPE_CHECKING:
    from vggc.bisect import Bisection
    from vggc.bisect.search import Weighed

_PATH = click.Path(path_type=Path)


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
    from rich.text import Text

    from vggc.binding import bind_with_measure
    from vggc.bisect import bisect as find
    from vggc.bisect import reproduce
    from vggc.cli.bisect_page import bisect_page
    from vggc.cli.commands import given_overrides
    from vggc.grammar.parser import parse
    from vggc.grammar.recipe_file import read_recipe
    from vggc.pipeline.model import BoundData
    from vggc.pipeline.output_folder import REPORT, check_output_folder, output_folder

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
            (staging / REPORT).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    nodes = len(made.graph.nodes)
    size = (
        f"the whole model before it, {nodes} nodes"
        if made.whole
        else f"{nodes} of its {len(found.guilty.before.nodes)} nodes"
    )
    lines = (f"reproduction, with {size}: vggc {folder / 'bisect.opt'} {folder / 'model.onnx'}", "", made.text.rstrip())
    stdout().print(bisect_page(found, measure), Text(), *(Text(each) for each in lines), sep="\n")


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
