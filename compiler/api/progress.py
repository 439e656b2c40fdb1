"""What a compile is doing, for a function of the caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from vggc.diagnostics.progress import NO_PROGRESS, Progress


class ProgressUpdate(NamedTuple):
    """What is being done now.

    work         the piece of work: "reading the model", or the name of a step
    step, steps  the step is number `step` of `steps`; both are 0 for other work
    part         what the piece of work is doing, empty at its beginning
    done, parts  `done` of `parts` are finished; both are 0 when they cannot be counted
    """

    work: str
    step: int = 0
    steps: int = 0
    part: str = ""
    done: int = 0
    parts: int = 0


ProgressCallback = Callable[[ProgressUpdate], None]


class _Reported(Progress):
    def __init__(self, callback: ProgressCallback) -> None:
        self._callback = callback
        self._work = ProgressUpdate("")

    def begin(self, work: str, number: int = 0, total: int = 0) -> None:
        self._work = ProgressUpdate(work, number, total)
        self._callback(self._work)

    def inside(self, what: str, done: int = 0, total: int = 0) -> None:
        self._callback(self._work._replace(part=what, done=done, parts=total))


def reported(callback: ProgressCallback | None) -> Progress:
    """A Progress that calls a function with each update; without a function it shows nothing."""
    return NO_PROGRESS if callback is None else _Reported(callback)
