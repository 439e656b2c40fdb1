"""`vggc search`: find the values of a recipe's parameters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vggc.cli.cache_command import no_cache_option
from vggc.cli.console import print_diagnostics, say, stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.cli.progress import progress
from vggc.cli.threads_option import threads_option
from vggc.cli.verbosity import verbosity, verbosity_options

if TYPE_CHECKING:
    from vggc.trials.outcome import Outcome

_PATH = click.Path(path_type=Path)


def _resources(context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for pair in pairs:
        name, equals, amount = pair.partition("=")
        try:
            found[name.strip()] = float(amount)
        except ValueError:
            equals = ""
        if not equals or not name.strip() or found[name.strip()] <= 0:
            raise click.UsageError(f"--resource takes NAME=AMOUNT, not `{pair}`")
    return found


def place_options(function: click.decorators.FC) -> click.decorators.FC:
    """Give a command the options that say where it computes."""
    on = click.option(
        "--on",
        default="here",
        show_default=True,
        metavar="PLACE",
        help="Where to compute: here, processes=N, ray for a new local cluster, or ray=ADDRESS.",
    )
    resource = click.option(
        "--resource",
        "resources",
        multiple=True,
        callback=_resources,
        metavar="NAME=AMOUNT",
        help="What each trial needs of a worker of the cluster, by Ray's name: GPU=1 (repeatable).",
    )
    return on(resource(function))


@click.command(cls=LoadingCommand)
@click.argument("recipe", type=_PATH)
@click.argument("model", type=_PATH)
@click.option("-o", "--output", type=_PATH, metavar="DIR", help="The folder. [default: build/<model>-<recipe>-search]")
@click.option("--trials", type=click.IntRange(1), default=40, show_default=True, help="How many trials to run.")
@click.option("--minutes", type=click.FloatRange(0), help="Begin no trial after this time.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same trials.")
@click.option(
    "--sampler",
    type=click.Choice(["tpe", "nsga2", "random", "grid"]),
    default="tpe",
    show_default=True,
    help="How to choose the values of trials.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=4, show_default=True, help="How many trials to suggest at once."
)
@click.option(
    "--keep",
    type=click.Choice(["best", "front", "all"]),
    default="front",
    show_default=True,
    help="Of which trials to write the whole output.",
)
@click.option("--resume", is_flag=True, help="Continue the search in the folder.")
@place_options
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="NAME=VALUE",
    help="Give a `param` a value; it is not searched then.",
)
@click.option("--no-python", is_flag=True, help="Refuse a recipe that brings in Python files.")
@no_cache_option
@threads_option
@verbosity_options
def search(
    *,
    recipe: Path,
    model: Path,
    output: Path | None,
    trials: int,
    minutes: float | None,
    seed: int,
    sampler: str,
    batch: int,
    keep: str,
    resume: bool,
    on: str,
    resources: dict[str, float],
    overrides: tuple[str, ...],
    no_python: bool,
) -> None:
    """Search the parameters of RECIPE for models that meet its goals: its requirements, and what it minimizes.

    Parameters with limits or a list are searched: `param keep = 50% in 20%..90%`.
    """
    from vggc.cli.commands import given_overrides, prepared_overrides
    from vggc.grammar.shipped_recipes import recipe_stem
    from vggc.trials.record import PAGE
    from vggc.trials.search import search_recipe
    from vggc.trials.settings import Settings
    from vggc.trials.tables import outcome_line, search_summary
    from vggc.trials.trial import Work

    fixed = given_overrides(overrides)
    fixed = prepared_overrides(recipe, fixed, model) if fixed else fixed
    work = Work(recipe, "", model, fixed=fixed, python=not no_python)
    folder = output or Path("build") / f"{model.stem}-{recipe_stem(recipe)}-search"
    settings = Settings(trials, minutes, seed, sampler, batch, keep, on, resources)  # type: ignore[arg-type]

    def ended(outcome: Outcome, count: int) -> None:
        if not verbosity().quiet:
            say(outcome_line(outcome, count), style="dim")

    with progress() as show:
        record = search_recipe(
            work, folder, settings, resume=resume, progress=show, ended=ended, warned=print_diagnostics
        )
    if not verbosity().quiet:
        stdout().print(search_summary(record, folder))
        stdout().print()
    for line in record.notes:
        say(f"note: {line}", style="dim")
    stdout().print(f"page: {folder / PAGE}")
