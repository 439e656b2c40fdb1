"""`vggc lsp`: the language server for editors, over standard input and output."""

from __future__ import annotations

import click

from vggc.diagnostics import Code, fail
from vggc.diagnostics.packages import LSP


@click.command()
@click.option(
    "--python",
    is_flag=True,
    help="Run the Python files that recipes use, to know their passes. They run with your rights.",
)
def lsp(python: bool) -> None:
    """Start the language server for recipes, which editors start: messages, hover, completion, formatting, fixes."""
    try:
        from vggc.lsp.server import make_server
    except ModuleNotFoundError as error:
        if error.name not in LSP.modules:
            raise
        raise fail(
            f"the language server needs the Python package `{error.name}`, which is not installed",
            help=LSP.command,
            code=Code.MISSING_PACKAGE,
        ) from None
    make_server(python=python).start_io()
