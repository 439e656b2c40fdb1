"""The option `--threads` of every command that computes."""

from __future__ import annotations

from typing import Any

import click

from vggc.execution.threads import limited_threads

_MOST = 1024


def _limit(context: click.Context, parameter: click.Parameter, count: int | None) -> int | None:
    # Options are read before a command loads numpy, and the limit ends with the command.
    context.with_resource(limited_threads(count))
    return count


def threads_option(function: Any) -> Any:
    """Give a command the option --threads, which holds for all that it computes."""
    return click.option(
        "--threads",
        type=click.IntRange(1, _MOST),
        metavar="N",
        callback=_limit,
        expose_value=False,
        help="How many threads to use. [default: one for each core]",
    )(function)
