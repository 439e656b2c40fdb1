"""`vggc sweep`: compile many models by one recipe."""

from __future__ import annotations

from pathlib import Path

import click

from vggc.cli.cache_command import no_cache_option
from vggc.cli.console import say, stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.cli.progress import progress
from vggc.cli.search_command import place_options
from vggc.cli.threads_option import threads_option
from vggc.cli.verbosity import verbosity, verbosity_options

_PATH = click.Path(path_type=Path)


@click.command(cls=LoadingCommand)
@click.argument("recipe", type=_PATH)
@click.argument("models", type=_PATH, nargs=-1, required=True)
@click.option("-o", "--output", type=_PATH, metavar="DIR", help="The folder. [default: build/<recipe>-sweep]")
@place_options
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Override a `param` of the recipe.")
@click.option("--no-python", is_flag=True, help="Refuse a recipe that brings in Python files.")
@no_cache_option
@threads_option
@verbosity_options
def sweep(
    *,
    recipe: Path,
    models: tuple[Path, ...],
    output: Path | None,
    on: str,
    resources: dict[str, float],
    overrides: tuple[str, ...],
    no_python: bool,
) -> None:
    """Compile each of MODELS by RECIPE, each into its own folder, and print one table."""
    from vggc.cli.commands import given_overrides
    from vggc.grammar.shipped_recipes import recipe_stem
    from vggc.trials.sweep import RECORD, SweepRow, failure_of, sweep_models
    from vggc.trials.tables import sweep_line, sweep_table
    from vggc.trials.trial import Work

    folder = output or Path("build") / f"{recipe_stem(recipe)}-sweep"
    work = Work(recipe, "", models[0], fixed=given_overrides(overrides), python=not no_python)

    def ended(row: SweepRow) -> None:
        if not verbosity().quiet:
            say(sweep_line(row), style="dim")

    with progress() as show:
        rows = sweep_models(work, models, folder, on=on, resources=resources, progress=show, ended=ended)
    stdout().print(sweep_table(rows))
    stdout().print(f"\nrecord: {folder / RECORD}")
    if (error := failure_of(rows)) is not None:
        raise error
