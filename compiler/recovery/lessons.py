"""Batches to train with: variations of the samples, and what the original computes for them.

A round is a variation of every sample. There is one for every ten epochs, and ROUNDS at least, if these fit into memory
with the original's results; after them, a training sees them again in another order, and the original computes nothing.
Otherwise every epoch has a round of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vggc.data import Batch
from vggc.graph.arrays import Int64
from vggc.recovery.operators.call import Tensor
from vggc.recovery.sample_store import SampleStore
from vggc.recovery.settings import Settings
from vggc.recovery.team import Team
from vggc.recovery.twin import Twin

ROUNDS = 32
_EPOCHS = 10
"""A round is seen about so many times in a long training."""

MEMORY = 1 << 30
"""Bytes for the rounds that are kept."""

_FEWEST = 16
"""Batch norms cannot normalize by fewer samples."""


@dataclass(frozen=True)
class Lesson:
    """Some samples of one step, (samples, ...) each, and the values that the original computes for them.

    `share` is the weight of their mean loss in the step: all of the process's lessons of a step, times the processes.
    """

    feed: dict[str, Tensor]
    expected: dict[str, Tensor]
    labels: Tensor | None
    share: float

    @property
    def bytes(self) -> int:
        return sum(each.nbytes for each in (*self.feed.values(), *self.expected.values()))


class Lessons:
    """The steps of epochs: for each, the lessons of this process.

    `teach` gives the original's values for a batch.
    """

    def __init__(
        self,
        samples: SampleStore,
        teach: Callable[[Batch], dict[str, Tensor]],
        *,
        twin: Twin,
        settings: Settings,
        team: Team,
        device: Any,
    ) -> None:
        self._samples, self._teach, self._twin = samples, teach, twin
        self._settings, self._team, self._device = settings, team, device
        self._size = samples.fixed or settings.batch
        self._kept: dict[int, list[list[Lesson]]] = {}
        self.rounds: int | None = None
        """how many rounds there are; 0 when there is one for each epoch, None before the first"""

    def epoch(self, number: int, part: int) -> Iterator[list[Lesson]]:
        """The steps of an epoch of a `part` of the training, in an order that the seed decides."""
        if self.rounds is None:
            wanted = max(ROUNDS, (self._settings.epochs or 0) // _EPOCHS)
            fitting = self._fitting()
            self.rounds = min(wanted, fitting) if fitting >= ROUNDS else 0
        if not self.rounds:
            yield from self._round(number)
            return
        steps = self._kept.setdefault(number % self.rounds, [])
        if not steps:
            steps += self._round(number % self.rounds)
        for index in np.random.default_rng([self._settings.seed, part, number]).permutation(len(steps)):
            yield steps[index]

    def _fitting(self) -> int:
        """How many rounds fit into memory, by the first step of the first. All processes give the same answer."""
        step = next(self._round(0))
        (size,) = self._team.summed([float(sum(each.bytes for each in step))])
        return int(MEMORY * self._team.size // max(1.0, size * self.steps))

    @property
    def _together(self) -> int:
        """The samples of a step."""
        return max(1, self._settings.batch // self._size) * self._size

    @property
    def steps(self) -> int:
        """The steps of an epoch. A remainder of few samples is left out: other ones in each round."""
        whole, left = divmod(self._samples.count, self._together)
        return whole + (left >= _FEWEST or (left > 0 and (not whole or self._samples.fixed is not None)))

    def _round(self, number: int) -> Iterator[list[Lesson]]:
        order_seed, variation_seed = np.random.SeedSequence([self._settings.seed, number]).generate_state(2).tolist()
        rows = np.random.default_rng(order_seed).permutation(self._samples.count)
        vary = self._variation(variation_seed)
        for first in range(0, self.steps * self._together, self._together):
            chosen = rows[first : first + self._together]
            pieces = [np.sort(chosen[at : at + self._size]) for at in range(0, len(chosen), self._size)]
            yield self._own([(vary(self._samples[piece]), piece) for piece in pieces], len(chosen))

    def _own(self, pieces: list[tuple[Batch, Int64]], count: int) -> list[Lesson]:
        """The share of this process of a step of `count` samples.

        All processes have as many lessons, because they add gradients after each. One that has no samples left computes
        what does not count.
        """
        rank, size = self._team.rank, self._team.size
        if self._samples.fixed is not None:
            own = pieces[rank::size]
            lessons = [self._lesson(batch, rows, len(rows) * size / count) for batch, rows in own]
            return lessons + [self._lesson(*pieces[0], 0.0)] * (-(-len(pieces) // size) - len(own))
        ((batch, rows),) = pieces
        own_rows = rows[rank::size]
        if len(own_rows):
            return [self._lesson(_part(batch, slice(rank, None, size)), own_rows, len(own_rows) * size / count)]
        return [self._lesson(_part(batch, slice(1)), rows[:1], 0.0)]

    def _lesson(self, batch: Batch, rows: Int64, share: float) -> Lesson:
        feed = {name: self._twin.tensor(np.asarray(array)) for name, array in batch.items()}
        labels = None
        if self._settings.labels and self._samples.labels is not None:
            labels = torch.from_numpy(self._samples.labels[rows]).to(self._device)
        return Lesson(feed, self._teach(batch), labels, share)

    def _variation(self, seed: int) -> Callable[[Batch], Batch]:
        if not self._settings.vary:
            return lambda batch: batch
        return self._samples.moved(seed) if self._settings.labels else self._samples.variation(seed)


def _part(batch: Batch, rows: slice) -> Batch:
    return {name: array[rows] for name, array in batch.items()}
