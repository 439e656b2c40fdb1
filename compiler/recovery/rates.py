"""How a training is done: first with caution, then boldly. The weights that are kept are the best of both.

With caution, batch norms keep their statistics, and rates are small. This mends what can be mended near the weights
that it begins with: in few epochs, of which more gain nothing. Its rate is found by short trials.

A bold training normalizes by the batch, at a rate that makes the model worse at first; after many epochs it is much
better. A vgg16 with 12.5 % of its MACs, whose divergence from the original is 0.0223 on images that nobody trained
with, has 0.0203 after 16 epochs with caution and after 32. A bold training of 192 epochs has 0.0244, 0.0192, 0.0147 and
0.0136 after each quarter of them. So no short trial can tell which is better, and both run.

Where no batch norm can learn statistics, the training is one with caution. So is the rest of a training whose bold part
has come to nothing. An EfficientNet with 60 % of its MACs, and 267 pictures that differ less from each other than those
it was made with, has twice its loss after four epochs at 3e-3, and no less than after the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from vggc.recovery.settings import Trial

CAUTIOUS = (1e-2, 3e-3, 1e-3, 2e-4)
"""The rates that are tried, as shares of the size of a tensor's numbers, when statistics of batch norms stay."""

BOLD = 1e-2
"""The rate when batch norms normalize by the batch."""

FINALISTS = 2
"""Without a bold training, so many of the rates have another trial, twice as long (Jamieson and Talwalkar 2016)."""

SHARE = 40
"""A trial runs one epoch for this many epochs of the training."""

CAUTION = 8
"""The cautious training runs one epoch for this many epochs of the bold one."""

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
        for each in ([rate] if rate is not None else [BOLD] if learns else CAUTIOUS)
    ]


def trial_counts(open_to: Sequence[Choice]) -> tuple[int, int]:
    """How many short trials there are, and how many longer ones."""
    cautious = sum(not each.statistics for each in open_to)
    short = cautious if cautious > 1 else 0
    if cautious < len(open_to):
        return short, min(1, cautious)
    return short, FINALISTS if short > FINALISTS else 0


def next_trial(open_to: Sequence[Choice], trials: Sequence[Trial], epochs: int) -> tuple[int, Choice] | None:
    """The epochs of the next trial for a training of `epochs`, and what it tries; None when all have run.

    The cautious training in front of a bold one is the last trial.
    """
    cautious = [each for each in open_to if not each.statistics]
    short, longer = trial_counts(open_to)
    done = len(trials) - short
    if done < 0:
        return max(1, epochs // SHARE), cautious[len(trials)]
    if done == longer:
        return None
    best = sorted(trials[:short], key=lambda each: each.loss)
    choice = Choice(best[done].rate, False) if best else cautious[0]
    return max(2, epochs // CAUTION if len(cautious) < len(open_to) else 2 * epochs // SHARE), choice


def chosen(open_to: Sequence[Choice], trials: Sequence[Trial]) -> Choice:
    """What the training does that comes behind the trials."""
    bold = next((each for each in open_to if each.statistics), None)
    if bold is not None or len(open_to) == 1:
        return bold or open_to[0]
    finalists = trials[len(open_to) :] or trials
    least = min(each.loss for each in finalists)
    best = [each for each in finalists if each.loss <= TOLERANCE * least or each.loss == least]
    return max(Choice(each.rate, each.statistics) for each in best)


def cautious(trials: Sequence[Trial]) -> float | None:
    """The rate of the cautious training in front of a bold one; None without."""
    return next((each.rate for each in reversed(trials) if not each.statistics), None)


def trial_epochs(open_to: Sequence[Choice]) -> float:
    """The epochs of all trials, as a share of those of the training."""
    short, longer = trial_counts(open_to)
    bold = any(each.statistics for each in open_to)
    return short / SHARE + longer * (1 / CAUTION if bold else 2 / SHARE)


def factor(share: float) -> float:
    """The rate after a share of a training, as a share of the largest: it rises, and falls along a cosine."""
    return min(1.0, (share + 1e-3) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * share))
