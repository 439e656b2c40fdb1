"""The option `--workers` of commands that train, and what the processes that torchrun starts do."""

from __future__ import annotations

from typing import Any

import click

from vggc.recovery.processes import torchrun_place, training_processes

_MOST = 256


def _limit(context: click.Context, parameter: click.Parameter, count: int) -> None:
    context.with_resource(training_processes(count))


def workers_option(function: Any) -> Any:
    """Give a command the option --workers."""
    return click.option(
        "--workers",
        type=click.IntRange(1, _MOST),
        default=1,
        metavar="N",
        callback=_limit,
        expose_value=False,
        help="How many processes `recover` trains with. [default: 1]",
    )(function)


def serves_as_worker() -> bool:
    """Whether torchrun has started this process beside the first one. It then trains for that until it is dismissed."""
    place = torchrun_place()
    if place is None or place.rank == 0:
        return False
    # Here, because it imports PyTorch.
    from vggc.recovery.worker import serve_torchrun

    serve_torchrun()
    return True


def dismiss_workers() -> None:
    """Let the processes end that torchrun has started beside this one."""
    place = torchrun_place()
    if place is not None and place.size > 1:
        from vggc.recovery.worker import dismiss_torchrun

        dismiss_torchrun()
