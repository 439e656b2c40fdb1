"""How many processes train: set by the command line, or by torchrun's environment. It imports without PyTorch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

_count = 1


class Place(NamedTuple):
    """Which of `size` processes this one is; `local` is its number on this machine."""

    rank: int
    size: int
    local: int


def process_count() -> int:
    """The processes that train together on this machine, this one among them."""
    return _count


@contextmanager
def training_processes(count: int) -> Iterator[None]:
    """Let `count` processes train in this block, 1 or more."""
    global _count  # noqa: PLW0603 - a number of the whole program, like its threads
    before, _count = _count, count
    try:
        yield
    finally:
        _count = before


def torchrun_place() -> Place | None:
    """Which process of torchrun's this one is; None when another program has started it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    return Place(*(int(os.environ[each]) for each in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
