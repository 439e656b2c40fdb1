"""Train weights so that values of a graph come near those of the model as read.

AdamW (Loshchilov and Hutter 2019) whose rate rises for a twentieth of the steps and falls along a cosine; the rate of
each tensor is a share of the root mean square of its numbers, so that one rate suits weights of all sizes (as in LAMB,
You et al. 2020, but fixed before the training). Some samples are held back: the loss on them chooses the weights that
are kept, of short trials (see rates) and of the training, which goes on from the best trial. The result is never worse
on them than the start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from vggc.data import Batch
from vggc.diagnostics.progress import Inside
from vggc.graph.arrays import Array
from vggc.recovery import rates
from vggc.recovery.batch_statistics import BatchStatistics
from vggc.recovery.judge import Judge
from vggc.recovery.lessons import Lesson, Lessons
from vggc.recovery.operators.call import Tensor
from vggc.recovery.parameters import Parameters
from vggc.recovery.sample_store import SampleStore
from vggc.recovery.settings import Settings, State, Trial
from vggc.recovery.teacher import Teacher
from vggc.recovery.team import Team
from vggc.recovery.terms import Term
from vggc.recovery.twin import Twin
from vggc.recovery.weights import Weight

_MEASURES = 50
"""A training measures its weights after every epoch, or about this many times."""

_PATIENCE = 0.5
"""A training ends when this share of its epochs has passed since the best of its own measures."""

_HOPELESS, _BY = 2.0, 0.25
"""A bold training is given up when, after this share of its epochs, the loss is still so many times that of the start.
"""

_TRIALS, _TRAINING, _TIMING = 0, 1, 2
"""The parts of a training, which read the samples in different orders."""


class Trainer:
    """One training of `twin`, whose `weights` stand at their places, towards `teacher`, by all processes of a team."""

    def __init__(
        self,
        twin: Twin,
        teacher: Teacher,
        weights: Sequence[Weight],
        terms: Sequence[Term],
        *,
        learn: SampleStore,
        judge: SampleStore,
        settings: Settings,
        device: Any,
        team: Team,
    ) -> None:
        self._terms, self._settings, self._team = terms, settings, team

        def teach(batch: Batch) -> dict[str, Tensor]:
            return teacher(batch, terms, twin)

        self._numbers = Parameters(twin, weights, device)
        self._lessons = Lessons(learn, teach, twin=twin, settings=settings, team=team, device=device)
        self._judge = Judge(judge, teach, terms, twin=twin, settings=settings, team=team, device=device)
        self._norm = BatchStatistics(team)
        self._model = team.parallel(_Model(twin, self._numbers, [each.name for each in terms]))
        learns = any(each.role == "statistic" for each in weights)
        self._open_to = rates.choices(settings.rate, settings.statistics if learns else (False,))
        self._twin = twin
        self._classes = next((each for each in terms if each.kind != "mean_squares" and not each.features), None)

    def train(self, state: State, progress: Inside, keep: Callable[[State], None]) -> State:
        """Train from a state to the end. `keep` gets the state after every trial and every epoch."""
        if not state.losses:
            self._numbers.restart()
            self._measure(state)
        if state.epochs is None:
            state.epochs = self._settings.epochs or self._epochs_in_time()
        self._choose_rate(state, progress, keep)
        assert state.rate is not None and state.epochs is not None
        self._numbers.load(state.weights or state.best)
        optimizer = self._numbers.optimizer(state.rate)
        if state.epoch:
            self._numbers.resume(optimizer, state)
        while not state.done:
            every = max(1, state.epochs // _MEASURES)
            shown = f", held back {state.least:.3g} of {state.losses[0]:.3g}"
            progress(f"train{shown}", state.epoch, state.epochs)
            self._epoch(optimizer, state.epoch, state.epochs, _TRAINING, statistics=state.statistics)
            state.epoch += 1
            if state.epoch % every == 0 or state.epoch == state.epochs:
                self._measure(state)
                cautious = rates.cautious(state.trials)
                if cautious is not None and self._is_hopeless(state):
                    state.begin_again(cautious)
                    self._numbers.load(state.best)
                    optimizer = self._numbers.optimizer(cautious)
                else:
                    state.ended = self._ends(state)
            self._numbers.note(optimizer, state)
            keep(state)
        return state

    def best(self, state: State) -> dict[str, Array]:
        """The best weights by the names of their constants, as the model computes with them."""
        return self._numbers.named(state.best)

    def _measure(self, state: State) -> None:
        """Measure the weights, and keep them when they are the best."""
        loss, agreement = self._judge.measure(lambda feed, names: self._twin(feed, names, self._numbers.placed()))
        state.losses.append(loss)
        state.agreements.append(agreement)
        if loss < state.least or not state.best:
            state.least, state.best_agreement, state.best_epoch = loss, agreement, state.epoch
            state.best = self._numbers.arrays()

    def _ends(self, state: State) -> bool:
        """Whether the training has reached what it should, or has gained nothing for long."""
        assert state.epochs is not None
        until = self._settings.until
        if until is not None and state.best_agreement is not None and state.best_agreement >= until:
            return True
        # Those before the training are of its start; what a trial has reached is no limit for a bold training.
        own = state.losses[1:]
        passed = state.epoch * (1 - (own.index(min(own)) + 1) / len(own))
        return passed > max(1.0, _PATIENCE * state.epochs)

    def _is_hopeless(self, state: State) -> bool:
        """Whether a bold training should be given up: by three measures of it, for one says little."""
        assert state.epochs is not None
        last = state.losses[1:][-3:]
        late = len(last) == 3 and _BY * state.epochs <= state.epoch < state.epochs
        return state.statistics and late and min(last) > _HOPELESS * state.losses[0]

    def _choose_rate(self, state: State, progress: Inside, keep: Callable[[State], None]) -> None:
        if state.rate is not None:
            return
        assert state.epochs is not None
        while (trial := rates.next_trial(self._open_to, state.trials, state.epochs)) is not None:
            epochs, choice = trial
            progress("try ways to train", len(state.trials), sum(rates.trial_counts(self._open_to)))
            self._numbers.restart()
            optimizer = self._numbers.optimizer(choice.rate)
            for epoch in range(epochs):
                self._epoch(optimizer, epoch, epochs, _TRIALS, statistics=choice.statistics)
            self._measure(state)
            state.agreements.pop()
            state.trials.append(Trial(epochs, *choice, state.losses.pop()))
            keep(state)
        state.rate, state.statistics = rates.chosen(self._open_to, state.trials)

    def _epochs_in_time(self) -> int:
        """How many epochs fit into the minutes, from the time that two take: in the second nothing may be new."""
        assert self._settings.minutes is not None
        seconds = []
        for _ in range(2):
            self._numbers.restart()
            started = time.perf_counter()
            self._epoch(self._numbers.optimizer(0.0), 0, 1, _TIMING, statistics=self._open_to[0].statistics)
            seconds.append(time.perf_counter() - started)
        new, again = max(seconds), min(seconds)
        rounds = self._lessons.rounds or 0
        budget = 60 * self._settings.minutes - sum(seconds) - rounds * (new - again)
        whole = again if rounds else new
        epochs: int = self._team.first(max(1, int(budget / whole / (1 + rates.trial_epochs(self._open_to)))))
        return epochs

    def _epoch(self, optimizer: Any, epoch: int, epochs: int, part: int, *, statistics: bool) -> None:
        """Read all samples to learn from once."""
        steps = self._lessons.steps
        for index, lessons in enumerate(self._lessons.epoch(epoch, part)):
            rate = rates.factor((epoch + index / steps) / epochs)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate
            optimizer.zero_grad(set_to_none=True)
            for lesson in lessons:
                (self._loss(lesson, statistics) * lesson.share).backward()
            torch.nn.utils.clip_grad_norm_(self._numbers.trained, 1.0)
            optimizer.step()

    def _loss(self, lesson: Lesson, statistics: bool) -> Tensor:
        """What a step makes smaller, for one batch."""
        got = self._model(lesson.feed, self._norm if statistics else None)
        features = max(1, sum(each.features for each in self._terms))
        parts = []
        for term in self._terms:
            # The divergence is of the same kind as the cross-entropy that it stands beside.
            distance = term.pull if lesson.labels is None else term.loss
            weight = self._settings.features / features if term.features else 1.0
            found = distance(got[term.name], lesson.expected[term.name], self._judge.spread[term.name])
            parts.append(weight * found)
        if lesson.labels is not None and self._classes is not None:
            parts.append(self._classes.cross_entropy(got[self._classes.name], lesson.labels))
        return sum(parts[1:], parts[0])


class _Model(torch.nn.Module):  # type: ignore[misc]
    """A twin with its parameters, as DistributedDataParallel wants it."""

    def __init__(self, twin: Twin, numbers: Parameters, names: Iterable[str]) -> None:
        super().__init__()
        self.trained = torch.nn.ParameterList(numbers.trained)
        self._twin, self._numbers, self._names = twin, numbers, list(names)

    def forward(self, feed: Mapping[str, Tensor], norm: BatchStatistics | None) -> dict[str, Tensor]:
        return self._twin(feed, self._names, self._numbers.placed(), norm)
