"""`vggc data`: what the data of a recipe is, and whether it suits a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Group, RenderableType
from rich.text import Text

from vggc.cli.commands import NO_PYTHON, SET, bound
from vggc.cli.console import print_diagnostics, replace_text, stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.cli.progress import progress
from vggc.cli.tables import plain_table
from vggc.cli.verbosity import verbosity_options
from vggc.diagnostics import Code, Diagnostics, at, fail
from vggc.diagnostics.number_text import counted

if TYPE_CHECKING:
    from vggc.authoring.data_facts import DataFacts, NormFacts
    from vggc.data import SampleType

_PATH = click.Path(path_type=Path)
_ROWS = 30
"""The most classes that are listed one by one."""

_BAR = 40
"""The longest bar of the histogram in characters."""

_MUCH, _FAR = 2.0, 1.0
"""A batch norm reads other numbers than in training when they vary so many times as much, or are so far off."""


@click.command(cls=LoadingCommand)
@click.argument("recipe", type=_PATH)
@click.argument("model", type=_PATH, required=False)
@SET
@NO_PYTHON
@click.option(
    "-o", "--output", type=_PATH, metavar="FILE", help="The contact sheet. [default: build/<recipe>-data.html]"
)
@verbosity_options
def data(recipe: Path, model: Path | None, overrides: tuple[str, ...], no_python: bool, output: Path | None) -> None:
    """Show the data of RECIPE: samples, shapes, statistics, classes, and a contact sheet with pictures.

    All samples are read, so that everything wrong with them is reported at once. With MODEL, also what its first batch
    norm reads beside what it read in training, and the accuracy on labelled data.
    """
    from vggc.authoring.contact_sheet import contact_sheet
    from vggc.authoring.data_facts import data_facts
    from vggc.grammar.shipped_recipes import recipe_stem
    from vggc.graph import Graph
    from vggc.pipeline.image_scale import scale_warning

    pipeline = bound(recipe, overrides, model, python=not no_python)
    if not pipeline.data:
        raise fail(f"`{recipe}` has no data", help='write `data calib = images("FOLDER")`', code=Code.EMPTY_RECIPE)
    graph = None if model is None else Graph.load(model)
    if graph is not None:
        graph.infer_shapes(check=True)
    found: list[DataFacts] = []
    wrong = Diagnostics()
    with progress() as show:
        for each in pipeline.data.values():
            show.begin(f"data {each.name}")
            with wrong.collect(), at(each.span):
                loaded = each.load()
                found.append(facts := data_facts(loaded, graph, show.inside))
                wrong.extend(replace(problem, span=each.span) for problem in facts.warnings)
                if graph is not None and (warning := scale_warning(graph, loaded)):
                    wrong.extend([replace(warning, span=each.span)])
    for facts in found:
        stdout().print(data_page(facts))
    pictured = [(each.name, each.description, each.pictures) for each in found if each.pictures]
    if pictured:
        path = output or Path("build") / f"{recipe_stem(recipe)}-data.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, contact_sheet(f"The data of {recipe}", pictured))
        stdout().print(f"contact sheet: {path}")
    wrong.raise_errors()
    print_diagnostics(wrong.messages)


def data_page(facts: DataFacts) -> RenderableType:
    """The facts of one data set as tables."""
    parts: list[RenderableType] = [Text(f"{facts.name}: {facts.description}", style="bold")]
    table = plain_table("array", "type", "channel", "mean", "deviation", "least", "largest", right=3)
    for array in facts.arrays:
        names = [str(number) for number in range(len(array.channels))] if len(array.channels) > 1 else ["all"]
        first = (array.name, _typed(array.type, facts.count))
        for channel, each in zip(names, array.channels, strict=bool(array.channels)):
            numbers = (each.mean, each.deviation, each.least, each.largest)
            table.add_row(*first, channel, *(f"{value:.4g}" for value in numbers))
            first = ("", "")
        if not array.channels:
            table.add_row(*first)
    for name, kind in facts.extras.items():
        table.add_row(name, _typed(kind, facts.count), "for measures")
    parts.append(table)
    if facts.skipped:
        parts.append(Text(f"left out: {counted(len(facts.skipped), 'image')}"))
        parts += [Text(f"  {each}") for each in facts.skipped]
    if facts.norm is not None:
        parts.append(_norm_line(facts.norm))
    if facts.accuracy is not None:
        parts.append(Text(f"accuracy of the model as read: {facts.accuracy:.2%}"))
    if facts.classes:
        parts += _histogram(facts.classes)
    return Group(*parts, Text())


def _typed(kind: SampleType, count: int) -> str:
    return str(kind).replace("samples", str(count), 1)


def _norm_line(norm: NormFacts) -> Text:
    suits = 1 / _MUCH <= norm.gain <= _MUCH and norm.shift <= _FAR
    text = (
        f"{norm.node} reads {norm.gain:.2f} times the deviation of training, "
        f"and a mean {norm.shift:.2f} deviations off: "
    )
    if suits:
        return Text(text + "this suits the model")
    return Text(text + "compare scale, mean and std with those of training", style="yellow")


def _histogram(classes: Mapping[str, int]) -> list[RenderableType]:
    """How many samples each class has, or of many classes those with the most and the fewest."""
    most = max(classes.values())
    rows = list(classes.items())
    if len(rows) > _ROWS:
        by_count = sorted(rows, key=lambda row: -row[1])
        rows = [*by_count[:5], ("...", -1), *by_count[-5:]]
    table = plain_table("class", "samples", "", right=1, left=2)
    for name, count in rows:
        table.add_row(name, "" if count < 0 else str(count), "#" * round(_BAR * max(0, count) / most))
    return [Text(f"{len(classes)} {'class' if len(classes) == 1 else 'classes'}:"), table]
