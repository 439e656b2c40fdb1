"""`vggc fmt`: recipes in the one canonical layout."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from vggc.cli.console import replace_text
from vggc.diagnostics import Code, Source, fail


@click.command()
@click.argument("recipes", metavar="RECIPE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing, and end with exit status 1 when a file would change."
)
@click.option("--diff", "as_diff", is_flag=True, help="Like --check, and print what would change as a unified diff.")
def fmt(recipes: tuple[Path, ...], only_check: bool, as_diff: bool) -> None:
    """Format recipes in the one canonical layout. Comments are kept. `-` formats standard input to standard output."""
    from vggc.grammar.format import format
    from vggc.grammar.recipe_file import STANDARD_INPUT, read_recipe

    looks_only = only_check or as_diff
    changed = False
    for path in recipes:
        source = read_recipe(path)
        text = format(source)
        changed = changed or text != source.text
        if as_diff:
            click.echo(_diff(source, text), nl=False)
        elif path == STANDARD_INPUT and not only_check:
            click.echo(text, nl=False)
        elif text != source.text:
            if not only_check:
                _rewrite(path, text)
            click.echo(f"{'would format' if only_check else 'formatted'} {source.path}")
    if looks_only and changed:
        raise click.exceptions.Exit(1)


def _rewrite(path: Path, text: str) -> None:
    from vggc.grammar.shipped_recipes import is_shipped

    if is_shipped(path):
        raise fail(
            f"`{path}` comes with vggc and is not rewritten",
            help="`vggc recipes NAME` prints it",
            code=Code.CANNOT_WRITE,
        )
    replace_text(path, text)


def _diff(source: Source, text: str) -> str:
    before, after = (each.splitlines(keepends=True) for each in (source.text, text))
    return "".join(difflib.unified_diff(before, after, source.path, f"{source.path} formatted"))
