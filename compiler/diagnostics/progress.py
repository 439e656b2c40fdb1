"""What a long command is doing, said by the work itself and shown by the command line."""

from __future__ import annotations

from typing import Protocol


class Inside(Protocol):
    """Says what the current piece of work is doing: `done` of `total` parts are finished, when they can be counted."""

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None: ...


class Progress:
    """Gets what a command is doing. This one shows nothing."""

    def begin(self, work: str, number: int = 0, total: int = 0) -> None:
        """A piece of work begins, and the one before it has ended. A step of a recipe is `number` of `total`."""

    def inside(self, what: str, done: int = 0, total: int = 0) -> None:
        """See Inside."""


NO_PROGRESS = Progress()
"""Shows nothing."""
