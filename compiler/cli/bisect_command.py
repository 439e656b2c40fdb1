"""`vggc bisect`: find the step and the change that cost the most, and write the smallest reproduction."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vggc.cli.cache_command import no_cache_option
from vggc.cli.console import stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.cli.progress import progress
from vggc.cli.threads_option import threads_option
from vggc.cli.verbosity import verbosity_options
from vggc.diagnostics import CompileError

if TYPE_CHECKING:
    from vggc.bisect import Bisection
    from vggc.bisect.search import MeasuredChange

_PATH = click.Path(path_type=Path)


@click.command(cls=LoadingCommand)
@click.argument("recipe", type=_PATH)
@click.argument("model", type=_PATH)
@click.option(
    "--measure",
    required=True,
    metavar="MEASURE",
    help="The measure to compare the models by, as in a `require`: 'agreement(test)'.",
)
@click.option(
    "-o",
    "--output",
    type=_PATH,
    metavar="DIR",
    help="The folder for the reproduction. [default: build/<model>-<recipe>-bisect]",
)
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Override a `param` of the recipe.")
@no_cache_option
@threads_option
@verbosity_options
def bisect(recipe: Path, model: Path, measure: str, output: Path | None, overrides: tuple[str, ...]) -> None:
    """Find the step of RECIPE that makes MODEL worst by a measure, or breaks it, and the changes that cause this.

    Gates and targets are skipped. The command writes the smallest reproduction: a recipe with only that step, the part
    of the model that it damages, and the inputs of that part.
    """
    from rich.text import Text

    from vggc.binding import bind_with_measure
    from vggc.bisect import bisect as find_guilty_step
    from vggc.bisect import reproduce
    from vggc.cli.bisect_page import bisect_page
    from vggc.cli.commands import given_overrides
    from vggc.grammar.kept_trees import read_tree
    from vggc.grammar.shipped_recipes import recipe_stem
    from vggc.pipeline.model import BoundData
    from vggc.pipeline.output_folder import REPORT, check_output_folder, output_folder

    pipeline, bound_measure = bind_with_measure(
        read_tree(recipe), measure, "--measure", overrides=given_overrides(overrides)
    )
    folder = output or Path("build") / f"{model.stem}-{recipe_stem(recipe)}-bisect"
    check_output_folder(folder)
    with progress() as show:
        bisection = find_guilty_step(pipeline, bound_measure, model, progress=show)
        if bisection.guilty is None:
            stdout().print(bisect_page(bisection, measure))
            return
        show.begin("extracting the reproduction")
        data = next((each for each in bound_measure.options.values() if isinstance(each, BoundData)), None)
        reproduction = reproduce(bisection, pipeline, data, folder)
        with output_folder(folder) as staging:
            files = [each.name for each in reproduction.write(staging)]
            report = _as_dict(bisection, recipe, model, measure, files)
            (staging / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    nodes = len(reproduction.graph.nodes)
    size = (
        f"the whole model before the step, {nodes} nodes"
        if reproduction.whole
        else f"{nodes} of {len(bisection.guilty.before.nodes)} nodes"
    )
    command = f"vggc {folder / 'bisect.opt'} {folder / 'model.onnx'}"
    lines = (f"reproduction ({size}): {command}", "", reproduction.text.rstrip())
    stdout().print(bisect_page(bisection, measure), Text(), *(Text(each) for each in lines), sep="\n")


def _as_dict(bisection: Bisection, recipe: Path, model: Path, measure: str, files: list[str]) -> dict[str, Any]:
    def change_entry(measured: MeasuredChange) -> dict[str, Any]:
        return {
            "value": measured.change.value,
            "before": measured.change.before,
            "after": measured.change.after,
            "rule": measured.change.rule,
            "measured": _number(measured.value),
            "cost": _number(measured.cost),
        }

    assert bisection.guilty is not None
    return {
        "recipe": str(recipe),
        "model": str(model),
        "measure": measure,
        "original": bisection.first,
        "steps": [
            {"name": each.name, "line": each.line, "measured": _number(each.value), "cost": _number(each.cost)}
            for each in bisection.stages
        ],
        "guilty": {"name": bisection.guilty.step.name, "line": bisection.guilty.step.label, "changes": bisection.total},
        "changes": [change_entry(each) for each in bisection.worst],
        "note": bisection.note,
        "artifacts": [{"path": each} for each in files],
    }


def _number(value: float | CompileError) -> float | str:
    if isinstance(value, CompileError):
        return value.diagnostics[0].message
    return value if math.isfinite(value) else str(value)
