"""How long runs of models take, measured such that other load on the machine affects all models alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from vggc.graph.arrays import Feeds


class Runs(Protocol):
    """A model that can be run."""

    def run(self, feeds: Feeds) -> Any: ...


WARM_UP_RUNS = 3
WARM_UP_SECONDS = 0.2

FEWEST_BURSTS, MOST_BURSTS = 9, 45
BURST_RUNS = 3
BURST_SECONDS = 0.05


def warm_up(session: Runs, feeds: Feeds, seconds: float = WARM_UP_SECONDS) -> None:
    """Run until caches, buffers and the processor's clock are stable: WARM_UP_RUNS, and about `seconds`."""
    taken: list[float] = []
    while len(taken) < WARM_UP_RUNS or sum(taken) < seconds:
        taken.append(run_seconds(session, feeds))


def run_seconds(session: Runs, feeds: Feeds) -> float:
    """The seconds of one run."""
    started = time.perf_counter()
    session.run(feeds)
    return time.perf_counter() - started


def times(session: Runs, feeds: Feeds, seconds: float) -> list[float]:
    """Run a model for about `seconds`, at least once. Returns the seconds of each run."""
    taken: list[float] = []
    while not taken or sum(taken) < seconds:
        taken.append(run_seconds(session, feeds))
    return taken


def burst_medians(
    sessions: Sequence[Runs], feeds: Feeds, enough: Callable[[list[list[float]]], bool]
) -> list[list[float]]:
    """The median seconds of a run in each of several short bursts: one list for each model, all of one length.

    The models take turns, forwards and backwards. FEWEST_BURSTS to MOST_BURSTS are measured, until `enough` says of the
    medians that there are enough of them. The first run of a burst does not count, because it finds the caches full of
    another model.
    """
    found: list[list[float]] = [[] for _ in sessions]
    for turn in range(MOST_BURSTS):
        if turn >= FEWEST_BURSTS and enough(found):
            break
        for index in range(len(sessions))[:: 1 if turn % 2 == 0 else -1]:
            run_seconds(sessions[index], feeds)
            taken: list[float] = []
            while len(taken) < BURST_RUNS or sum(taken) < BURST_SECONDS:
                taken.append(run_seconds(sessions[index], feeds))
            found[index].append(statistics.median(taken))
    return found


def alternating_times(
    sessions: Sequence[Runs], feeds: Feeds, *, seconds: float, fewest: int, most: int
) -> list[list[float]]:
    """The seconds of each run of several models with the same inputs; see `alternating`."""
    runs = [partial(run_seconds, session, feeds) for session in sessions]
    return alternating(runs, seconds=seconds, fewest=fewest, most=most)


def alternating(runs: Sequence[Callable[[], float]], *, seconds: float, fewest: int, most: int) -> list[list[float]]:
    """The seconds of each run of several things, one list for each of them, all of one length.

    They take turns, forwards and backwards, for about `seconds` in all; each runs `fewest` to `most` times.
    """
    taken: list[list[float]] = [[] for _ in runs]
    for turn in range(most):
        if turn >= fewest and sum(map(sum, taken)) >= seconds:
            break
        for index in range(len(runs))[:: 1 if turn % 2 == 0 else -1]:
            taken[index].append(runs[index]())
    return taken
