"""`vggc recipes`: the ready recipes with what each buys and costs, or the text of one."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from vggc.cli.completion_command import completed, recipe_names
from vggc.cli.console import stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.cli.machine_output import for_programs, json_option, set_result
from vggc.cli.machine_results import recipe_result
from vggc.cli.tables import plain_table


@click.command(cls=LoadingCommand)
@click.argument("name", required=False, shell_complete=completed(recipe_names))
@json_option
def recipes(name: str | None) -> None:
    """List the recipes that come with vggc: what each buys and costs, and its parameters. NAME prints one of them.

    The name of a recipe stands for a file in all commands: `vggc vggc:prune.opt model.onnx`.
    """
    from vggc.grammar.recipe_file import read_recipe
    from vggc.grammar.shipped_recipes import SHIPPED, ready_recipes

    if for_programs():
        names = list(ready_recipes()) if name is None else [SHIPPED + name.removeprefix(SHIPPED)]
        set_result(recipe_result(names, text=name is not None))
        return
    if name is None:
        stdout().print(recipe_list())
        return
    source = read_recipe(Path(SHIPPED + name.removeprefix(SHIPPED)))
    click.echo(source.text, nl=False)


def recipe_list() -> RenderableType:
    """For each ready recipe its name, its purpose, its gain and cost, and its parameters with their values."""
    from vggc.grammar.shipped_recipes import ready_recipes

    return Group(*(part for name in ready_recipes() for part in _parts(name)))


def _parts(name: str) -> list[RenderableType]:
    from vggc.grammar.kept_trees import read_tree
    from vggc.grammar.recipe_summary import summary_of

    summary = summary_of(read_tree(Path(name)))
    table = plain_table("", "")
    table.add_row("gain", summary.gain)
    table.add_row("cost", summary.cost)
    for each in summary.parameters:
        table.add_row("--set", f"{each.name}={each.value}: {each.comment}")
    return [Text(name, style="bold"), Text(summary.purpose), Padding(table, (0, 0, 0, 4)), Text()]
