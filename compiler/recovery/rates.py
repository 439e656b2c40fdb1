"""Which ways to train are tried for how long, and which one is chosen: successive halving.

Each has a short training of its own, with a rise and a fall of the rate like the long one. The best two have a
longer one, and the best of those is chosen (Jamieson and Talwalkar 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from vggc.recovery.settings import Trial

KEEPING = (1e-2, 3e-3, 1e-3, 2e-4)
"""The rates that are tried, as shares of the size of a tensor's numbers, when statistics of batch norms stay."""

LEARNING = (2e-2, 1e-2, 3e-3)
"""Those that are tried when batch norms normalize by the batch, which goes well with larger rates."""

FINALISTS = 2

SHARE = 20
"""A trial runs one epoch for this many epochs of the training; one of the finalists, twice as many."""

TOLERANCE = 1.05
"""A larger rate is chosen when the loss after its trial is at most this many times the least.

A large rate costs more at first than a short trial can make up, and a long training ends better with it.
"""

WARM_UP = 0.05


class Choice(NamedTuple):
    """How to train: at which rate, and whether batch norms normalize by the batch."""

    rate: float
    statistics: bool


def choices(rate: float | None, statistics: Sequence[bool]) -> list[Choice]:
    """What is tried. `rate` is the one that the user has given; `statistics` are the ways that are open."""
    return [
        Choice(each, learns)
        for learns in statistics
        for each in ([rate] if rate is not None else LEARNING if learns else KEEPING)
    ]


def next_trial(open_to: Sequence[Choice], trials: Sequence[Trial], epochs: int) -> tuple[int, Choice] | None:
    """The epochs of the next trial for a training of `epochs`, and what it tries; None when all have run."""
    if len(open_to) == 1:
        return None
    if len(trials) < len(open_to):
        return max(1, epochs // SHARE), open_to[len(trials)]
    done = len(trials) - len(open_to)
    if len(open_to) <= FINALISTS or done == FINALISTS:
        return None
    best = sorted(trials[: len(open_to)], key=lambda each: each.loss)[done]
    return max(2, 2 * epochs // SHARE), Choice(best.rate, best.statistics)


def chosen(open_to: Sequence[Choice], trials: Sequence[Trial]) -> Choice:
    """What the training does."""
    if len(open_to) == 1:
        return open_to[0]
    finalists = trials[len(open_to) :] or trials
    least = min(each.loss for each in finalists)
    best = [each for each in finalists if each.loss <= TOLERANCE * least or each.loss == least]
    return max(Choice(each.rate, each.statistics) for each in best)


def trial_epochs(open_to: Sequence[Choice]) -> float:
    """The epochs of all trials, as a share of those of the training."""
    if len(open_to) == 1:
        return 0.0
    return (len(open_to) + (2 * FINALISTS if len(open_to) > FINALISTS else 0)) / SHARE


def factor(share: float) -> float:
    """The rate after a share of a training, as a share of the largest: it rises, and falls along a cosine."""
    return min(1.0, (share + 1e-3) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * share))
