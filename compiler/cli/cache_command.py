"""`vggc cache`: what the cache holds. And the option `--no-cache` of every command that uses it."""

from __future__ import annotations

from typing import Any

import click

from vggc.cache import VARIABLE, open_store
from vggc.cache.store import KINDS
from vggc.cli.console import stdout
from vggc.cli.tables import plain_table
from vggc.diagnostics import Code, fail
from vggc.diagnostics.number_text import counted, human_bytes
from vggc.execution.variables import environment_variables


@click.command("cache")
@click.option("--clear", is_flag=True, help="Remove everything.")
def cache(clear: bool) -> None:
    """Show what is kept between runs, and where. VGGC_CACHE and VGGC_CACHE_SIZE say where and how much."""
    store = open_store()
    if store is None:
        stdout().print(f"nothing is kept between runs: the environment variable {VARIABLE} is off")
        return
    sizes = store.sizes()
    total = sum(size for _, size in sizes.values())
    if clear:
        try:
            store.clear()
        except OSError as error:
            raise fail(
                f"cannot clear the cache folder `{store.folder}`: {error.strerror or error}", code=Code.CANNOT_WRITE
            ) from None
        stdout().print(f"removed {counted(sum(count for count, _ in sizes.values()), 'file')}, {human_bytes(total)}")
        return
    table = plain_table("", "files", "bytes", right=1)
    for kind, (count, size) in sizes.items():
        table.add_row(KINDS[kind], str(count), human_bytes(size))
    stdout().print(table)
    stdout().print(f"\n{store.folder}: {human_bytes(total)} of at most {human_bytes(store.limit)}")


def _switch_off(context: click.Context, parameter: click.Parameter, wanted: bool) -> bool:
    if wanted:
        # Until the command ends, and in the processes that it starts.
        context.with_resource(environment_variables({VARIABLE: "off"}))
    return wanted


def no_cache_option(function: Any) -> Any:
    """Give a command the option --no-cache."""
    return click.option(
        "--no-cache",
        is_flag=True,
        callback=_switch_off,
        expose_value=False,
        help="Use no results of earlier runs, and keep none for later runs.",
    )(function)
