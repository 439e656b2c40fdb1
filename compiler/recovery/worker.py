"""A process that trains together with others: python -m vggc.recovery.worker RANK SIZE THREADS PLACE."""

from __future__ import annotations

import sys

import torch

from vggc.execution.threads import limited_threads
from vggc.recovery.job import work
from vggc.recovery.team import Team
from vggc.recovery.teams import join, leave, torchrun_team


def serve(team: Team) -> None:
    """Do the jobs that the first process gives, until it gives None."""
    while (job := team.first(None)) is not None:
        work(job, team)


def serve_torchrun() -> None:
    """Do the jobs of the first process that torchrun has started."""
    serve(torchrun_team())
    leave()


def dismiss_torchrun() -> None:
    """Let the other processes that torchrun has started end."""
    torchrun_team().first(None)
    leave()


def main() -> None:
    rank, size, threads = map(int, sys.argv[1:4])
    torch.set_num_threads(threads)
    with limited_threads(threads):
        serve(join(rank, size, rank, sys.argv[4]))
    leave()


if __name__ == "__main__":
    main()
