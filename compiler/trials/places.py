"""Where trials run: in this process, in several processes of this machine, or on a Ray cluster (vggc.trials.on_ray).

A place runs jobs and yields their outcomes as they end, in any order. It schedules nothing itself: processes are those
of concurrent.futures, and tasks those of Ray.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from vggc.diagnostics import Code, fail
from vggc.diagnostics.progress import NO_PROGRESS, Progress
from vggc.execution.threads import limited_threads, thread_limit
from vggc.trials.outcome import Outcome
from vggc.trials.trial import Job, Work, run_job

TRIES = 4
"""How often a trial is begun before a worker that is lost again and again ends the search."""

_PLACE = re.compile(r"here|processes=(?P<processes>[1-9]\d{0,3})|ray(?:=(?P<address>.+))?")


class Place(Protocol):
    """Runs trials."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Run jobs, and yield the outcome of each when it has ended."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


def open_place(on: str, works: Sequence[Work], resources: Mapping[str, float], progress: Progress) -> Place:
    """The place that `on` names: "here", "processes=N", "ray" or "ray=ADDRESS". Jobs are for these works.

    Raises CompileError when there is no such place.
    """
    place = check_place(on, resources)
    if place["processes"]:
        return Processes(works, int(place["processes"]))
    if on.startswith("ray"):
        from vggc.trials.on_ray import RayCluster

        return RayCluster(works, place["address"], resources)
    return Here(works, progress)


def check_place(on: str, resources: Mapping[str, float]) -> re.Match[str]:
    """The parts of the name of a place. Raises CompileError when there is no such place."""
    place = _PLACE.fullmatch(on)
    if place is None:
        help = "write `here`, `processes=4`, `ray`, or `ray=ADDRESS` for a cluster that is there"
        raise fail(f"trials cannot run on `{on}`", help=help, code=Code.PLACE)
    if resources and not on.startswith("ray"):
        raise fail(
            f"trials on `{on}` take no resources",
            help="resources are those of a Ray cluster: `--on ray`",
            code=Code.PLACE,
        )
    return place


class Here:
    """Runs trials in this process, one after the other."""

    def __init__(self, works: Sequence[Work], progress: Progress = NO_PROGRESS) -> None:
        self._works = works
        self._progress = progress

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        for job in jobs:
            yield run_job(self._works[job.work], job, self._progress)

    def close(self) -> None:
        """There are no workers."""


class Processes:
    """Runs trials in processes of this machine, each on cores that no other one uses.

    A process that is lost is replaced, and its trial runs again.
    """

    def __init__(self, works: Sequence[Work], count: int) -> None:
        self._works = works
        cores = (
            sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
        )
        each = max(1, len(cores) // count)
        self.threads = thread_limit() or each
        self._cores = [cores[at * each % len(cores) :][:each] for at in range(count)]
        self._pool: ProcessPoolExecutor | None = None
        self._started: list[Any] = []

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        left = {job.number: job for job in jobs}
        for _ in range(TRIES):
            try:
                with limited_threads(self.threads):
                    pool = self._open()
                    futures: list[Future[Outcome]] = [pool.submit(_run, job) for job in left.values()]
                    for future in as_completed(futures):
                        outcome = future.result()
                        del left[outcome.number]
                        yield outcome
                return
            except BrokenProcessPool:
                self.close()
        raise lost(sorted(left))

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in self._started:
                process.terminate()
        self._pool, self._started = None, []

    def _open(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            places = context.Queue()
            for cores in self._cores:
                places.put(cores)
            before = set(multiprocessing.active_children())
            self._pool = ProcessPoolExecutor(
                len(self._cores), context, initializer=_start, initargs=(self._works, self.threads, places)
            )
            for ready in [self._pool.submit(_ready) for _ in self._cores]:
                ready.result()
            self._started = [each for each in multiprocessing.active_children() if each not in before]
        return self._pool


def lost(numbers: Sequence[int]) -> Exception:
    """The error for trials whose workers were lost each time that they began."""
    listed = ", ".join(map(str, numbers))
    help = "a worker that ends without a message has usually run out of memory: use fewer workers, or `--threads 1`"
    return fail(f"the workers of trials {listed} were lost {TRIES} times", help=help, code=Code.PLACE)


# --- in a worker -------------------------------------------------------------------------------------------

_works: Sequence[Work] = ()
_kept = contextlib.ExitStack()


def _start(works: Sequence[Work], threads: int, places: Any) -> None:
    """Begin a worker: on its own cores, with its number of threads, and never longer than the search."""
    global _works  # noqa: PLW0603 - a worker is a process of one search
    _works = works
    cores = places.get()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    _kept.enter_context(limited_threads(threads))
    threading.Thread(target=_end_with_the_search, daemon=True).start()


def _end_with_the_search() -> None:
    search = multiprocessing.parent_process()
    if search is not None:
        search.join()
        os._exit(1)


def _ready() -> None:
    """Wait for a moment, so that each worker begins with one such task."""
    threading.Event().wait(0.05)


def _run(job: Job) -> Outcome:
    return run_job(_works[job.work], job)
