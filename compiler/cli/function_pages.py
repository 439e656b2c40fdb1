"""`vggc measures` and `vggc loaders`: what recipes can measure with and read from, and the options of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
from rich.console import Group, RenderableType
from rich.text import Text

from vggc.cli.console import stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.cli.tables import plain_table
from vggc.diagnostics import Code, fail, spelling_help

if TYPE_CHECKING:
    from vggc.options.schema import OptionFunction


@click.command(cls=LoadingCommand)
@click.argument("name", required=False)
def measures(name: str | None) -> None:
    """List the measures of `require` and `when`, or show one measure with its options."""
    from vggc.binding.registry import shipped

    stdout().print(_page("measure", shipped().measures, name, Code.UNKNOWN_NAME))


@click.command(cls=LoadingCommand)
@click.argument("name", required=False)
def loaders(name: str | None) -> None:
    """List the loaders of `data` statements, or show one loader with its options."""
    from vggc.binding.registry import shipped

    stdout().print(_page("loader", shipped().loaders, name, Code.UNKNOWN_LOADER))


def _page(kind: str, functions: Mapping[str, OptionFunction], name: str | None, code: Code) -> RenderableType:
    """All functions of a kind with the first paragraph about each, or one of them with its options."""
    from vggc.cli.pass_pages import options_table

    if name is None:
        table = plain_table(kind, "what it is")
        for each in functions.values():
            table.add_row(each.name, paragraphs(each)[0])
        return table
    if name not in functions:
        raise fail(f"unknown {kind} `{name}`", help=spelling_help(name, functions, f"{kind}s"), code=code)
    shown = functions[name]
    texts = (Text(each) for each in paragraphs(shown))
    return Group(Text(f"{kind} {name}", style="bold"), *texts, options_table(shown.schema.options))


def paragraphs(function: OptionFunction) -> list[str]:
    """The paragraphs of a docstring before its options, each as one line."""
    text = function.doc.partition("\nOptions:")[0].strip()
    return [" ".join(each.split()) for each in text.split("\n\n")]
