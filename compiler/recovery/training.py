"""Train weights so that values of a graph come near those of the model as read.

AdamW (Loshchilov and Hutter 2019) whose rate rises for a twentieth of the steps and falls along a cosine; the rate of
each tensor is a share of the root mean square of its numbers, so that one rate suits weights of all sizes (as in LAMB,
You et al. 2020, but fixed before the training). Some samples are held back. Short trials train on the other samples,
and the loss on those held back chooses the rate. The result is the weights with the least loss on them, so that it is
never worse than the start.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from vggc.data import Batch
from vggc.diagnostics.progress import Inside
from vggc.graph.arrays import Array, Int64
from vggc.recovery.operators.call import Tensor
from vggc.recovery.operators.quantizers import on_grid
from vggc.recovery.sample_store import SampleStore
from vggc.recovery.terms import Term
from vggc.recovery.twin import Place, Twin
from vggc.recovery.weights import Weight

RATES = (1e-2, 3e-3, 1e-3, 3e-4)
"""The rates that are tried, as shares of the size of a tensor's numbers."""

_TRIAL_SHARE = 20
"""A trial of a rate runs one epoch for this many epochs of the training, and at least one."""

_TOLERANCE = 1.2
"""The choice is the largest rate whose trial ends with a measure of at most this many times the least of all trials.

A large rate costs more at first than a short trial can make up, and a long training ends better with it.
"""

_WARM_UP = 0.05
_DECAY = 1e-4
_SMALLEST = 1e-2
"""The least size of a tensor for its rate, such as for biases that are all zero."""


@dataclass(frozen=True)
class Settings:
    """How long and how to train.

    epochs    how often the samples are read; None when `minutes` decide
    minutes   the time for trials and training together
    rate      the learning rate; None chooses it by trials
    batch     samples that one step is computed with
    features  the weight of values inside of the model beside the outputs
    vary      whether images are varied; with labels, which mixed images do not have, they are only moved
    labels    whether the classes of the samples are compared with their labels, too
    """

    epochs: int | None
    minutes: float | None
    rate: float | None
    batch: int
    features: float
    vary: bool
    labels: bool
    seed: int


@dataclass
class State:
    """A training at the end of an epoch; all that goes on from here depends on it and on nothing else.

    trials   the held-back measure by the rates that were tried
    epochs   how many there will be; None before it is known
    epoch    how many have run
    history  the held-back measure before the first epoch and after each
    best     the weights with the least measure
    """

    trials: dict[float, float] = field(default_factory=dict)
    rate: float | None = None
    epochs: int | None = None
    epoch: int = 0
    seconds: float = 0.0
    history: list[float] = field(default_factory=list)
    agreements: list[float | None] = field(default_factory=list)
    best: list[Array] = field(default_factory=list)
    weights: list[Array] = field(default_factory=list)
    moments: list[Array] = field(default_factory=list)
    steps: int = 0

    @property
    def best_epoch(self) -> int:
        """The epoch after which the held-back measure was least."""
        return int(np.argmin(self.history))


class Trainer:
    """One training of `twin`, whose `weights` stand at their places, towards `teacher`."""

    def __init__(
        self,
        twin: Twin,
        teacher: Twin,
        weights: Sequence[Weight],
        terms: Sequence[Term],
        *,
        learn: SampleStore,
        judge: SampleStore,
        settings: Settings,
        device: Any,
    ) -> None:
        self._twin, self._teacher, self._weights, self._terms = twin, teacher, weights, terms
        self._learn, self._judge, self._settings = learn, judge, settings
        self._size = learn.fixed or settings.batch
        self._device = device
        self._start = [twin.tensor(each.array.astype(np.float64)) for each in weights]
        self._classes = next((each for each in terms if each.kind != "mean_squares" and not each.features), None)
        self._zeros = [None if each.zeros is None else torch.from_numpy(each.zeros).to(device) for each in weights]
        self._parameters = [each.clone().requires_grad_() for each in self._start]
        self._expected = list(self._held_back())
        self._spread = self._spreads()

    # --- the measure on samples that are held back ---------------------------------------------------------

    def measure(self) -> tuple[float, float | None]:
        """The loss of the outputs on the samples held back, and the share on which both choose the same class.

        The share is None when no output has classes.
        """
        total, count, same, places = 0.0, 0, 0, 0
        terms = [each for each in self._terms if not each.features]
        with torch.no_grad():
            values = self._placed()
            for feed, expected, labels in self._expected:
                got = self._twin(feed, [each.name for each in terms], values)
                size = len(next(iter(feed.values())))
                for each in terms:
                    ours, theirs = got[each.name], expected[each.name]
                    total += size * float(each.loss(ours, theirs, self._spread[each.name]))
                    if each.kind != "mean_squares":
                        agree = each.agreement(ours, theirs)
                        same, places = same + int(agree.sum()), places + agree.numel()
                if labels is not None and self._classes is not None:
                    total += size * float(self._classes.cross_entropy(got[self._classes.name], labels))
                count += size
        loss = total / count
        return (loss if math.isfinite(loss) else math.inf), (same / places if places else None)

    def _held_back(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor], Tensor | None]]:
        """The samples held back, and the original's values. Images are mirrored and shifted.

        Earlier steps of the recipe may have learnt from the same samples, so that on these themselves the start looks
        better than it is: a resnet20 pruned to 35 % of its MACs had 0.026 on them, 0.037 on other images of the same
        kind, and 0.039 on the moved ones.
        """
        move = self._judge.moved(self._settings.seed)
        for rows in self._pieces(np.arange(self._judge.count)):
            feed = self._feed(move(self._judge[rows]))
            yield feed, self._wanted(feed), self._labels(self._judge, rows)

    def _spreads(self) -> dict[str, float]:
        """The variance of each value of the original on the samples held back."""
        found = {}
        for each in self._terms:
            numbers = torch.cat([expected[each.name].reshape(-1).double() for _, expected, _ in self._expected])
            found[each.name] = max(float(numbers.var(unbiased=False)), 1e-12)
        return found

    # --- training ----------------------------------------------------------------------------------------

    def train(self, state: State, progress: Inside, keep: Callable[[State], None]) -> State:
        """Train from a state to the end. `keep` gets the state after every trial and every epoch."""
        rates = [self._settings.rate] if self._settings.rate is not None else list(RATES)
        trial = max(1, (self._settings.epochs or _TRIAL_SHARE) // _TRIAL_SHARE)
        for number, rate in enumerate(rates):
            if len(rates) == 1 or rate in state.trials:
                continue
            progress("try learning rates", number, len(rates))
            started = time.perf_counter()
            self._restart()
            optimizer = self._optimizer(rate)
            for epoch in range(trial):
                self._epoch(optimizer, epoch, trial, ("trial", epoch))
            state.trials[rate] = self.measure()[0]
            state.seconds += time.perf_counter() - started
            keep(state)
        if state.rate is None:
            state.rate = self._chosen(state.trials) if state.trials else rates[0]
            state.epochs = self._settings.epochs or self._epochs_in_time(state, trial * len(state.trials))
            self._restart()
            loss, agreement = self.measure()
            state.history, state.agreements = [loss], [agreement]
            state.best = self._arrays(self._start)
        assert state.epochs is not None
        optimizer = self._optimizer(state.rate)
        if state.epoch:
            self._resume(optimizer, state)
        while state.epoch < state.epochs:
            shown = f", held back {min(state.history):.3g} of {state.history[0]:.3g}"
            progress(f"train{shown}", state.epoch, state.epochs)
            started = time.perf_counter()
            self._epoch(optimizer, state.epoch, state.epochs, ("train", state.epoch))
            loss, agreement = self.measure()
            state.epoch += 1
            state.history.append(loss)
            state.agreements.append(agreement)
            if loss <= min(state.history):
                state.best = self._arrays(self._parameters)
            self._note(optimizer, state)
            state.seconds += time.perf_counter() - started
            keep(state)
        return state

    def best(self, state: State) -> dict[str, Array]:
        """The best weights by the names of their constants, as the model computes with them."""
        return {weight.name: array for weight, array in zip(self._weights, state.best, strict=True)}

    @staticmethod
    def _chosen(trials: Mapping[float, float]) -> float:
        least = min(trials.values())
        return max(rate for rate, measure in trials.items() if measure <= _TOLERANCE * least)

    def _epochs_in_time(self, state: State, trials: int) -> int:
        """How many epochs fit into the minutes, from the time that those of the trials took."""
        assert self._settings.minutes is not None
        left = 60 * self._settings.minutes - state.seconds
        return max(1, int(left / (state.seconds / trials))) if trials else 1

    def _epoch(self, optimizer: Any, epoch: int, epochs: int, part: tuple[str, int]) -> None:
        """Read all samples to learn from once, in an order and with variations that the seed and `part` decide."""
        settings = self._settings
        seeds = np.random.SeedSequence([settings.seed, part[0] == "train", part[1]])
        order_seed, variation_seed = (int(each) for each in seeds.generate_state(2))
        rows = np.random.default_rng(order_seed).permutation(self._learn.count)
        vary = self._variation(variation_seed)
        pieces = self._pieces(rows)
        together = max(1, settings.batch // self._size)
        steps = [pieces[first : first + together] for first in range(0, len(pieces), together)]
        for index, step in enumerate(steps):
            share = (epoch + index / len(steps)) / epochs
            factor = min(1.0, (share + 1e-3) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * share))
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            optimizer.zero_grad(set_to_none=True)
            for piece in step:
                chosen = np.sort(piece)
                feed = self._feed(vary(self._learn[chosen]))
                (self._loss(feed, self._labels(self._learn, chosen)) / len(step)).backward()
            torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
            optimizer.step()

    def _pieces(self, rows: Int64) -> list[Int64]:
        """Rows in batches that the models take."""
        return [rows[first : first + self._size] for first in range(0, len(rows), self._size)]

    def _variation(self, seed: int) -> Callable[[Batch], Batch]:
        if not self._settings.vary:
            return lambda batch: batch
        return self._learn.moved(seed) if self._settings.labels else self._learn.variation(seed)

    def _labels(self, store: SampleStore, rows: Int64) -> Tensor | None:
        if not self._settings.labels or store.labels is None:
            return None
        return torch.from_numpy(store.labels[rows]).to(self._device)

    def _loss(self, feed: Mapping[str, Tensor], labels: Tensor | None) -> Tensor:
        """What a step makes smaller, for one batch."""
        expected = self._wanted(feed)
        got = self._twin(feed, [each.name for each in self._terms], self._placed())
        features = max(1, sum(each.features for each in self._terms))
        parts = [
            each.loss(got[each.name], expected[each.name], self._spread[each.name])
            * (self._settings.features / features if each.features else 1.0)
            for each in self._terms
        ]
        if labels is not None and self._classes is not None:
            parts.append(self._classes.cross_entropy(got[self._classes.name], labels))
        return sum(parts[1:], parts[0])

    def _wanted(self, feed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The original's values that the terms compare."""
        with torch.no_grad():
            found = self._teacher(feed, [each.name for each in self._terms])
        return {each.name: each.wanted(found[each.name]) for each in self._terms}

    def _feed(self, batch: Mapping[str, Array]) -> dict[str, Tensor]:
        return {name: self._twin.tensor(np.asarray(array)) for name, array in batch.items()}

    def _placed(self) -> dict[Place, Tensor]:
        """The parameters at their places: on the grid of what the model stores, and zero where it keeps zeros."""
        found: dict[Place, Tensor] = {}
        for weight, parameter, zeros in zip(self._weights, self._parameters, self._zeros, strict=True):
            value = parameter if weight.codes is None else on_grid(parameter.clamp(*weight.limits), weight.codes)
            value = value if zeros is None else value.masked_fill(zeros, 0.0)
            found |= dict.fromkeys(weight.ids, value)
        return found

    # --- parameters and the optimizer ----------------------------------------------------------------------

    def _restart(self) -> None:
        with torch.no_grad():
            for parameter, start in zip(self._parameters, self._start, strict=True):
                parameter.copy_(start)

    def _optimizer(self, rate: float) -> Any:
        groups = []
        for parameter, start in zip(self._parameters, self._start, strict=True):
            size = float(start.square().mean().sqrt())
            groups.append({"params": [parameter], "peak": rate * max(size, _SMALLEST)})
        return torch.optim.AdamW(groups, lr=rate, weight_decay=_DECAY)

    @staticmethod
    def _arrays(tensors: Sequence[Tensor]) -> list[Array]:
        return [np.array(each.detach().cpu().numpy()) for each in tensors]

    def _note(self, optimizer: Any, state: State) -> None:
        """Write parameters and the optimizer's moments into the state."""
        state.weights = self._arrays(self._parameters)
        kept = [optimizer.state[each] for each in self._parameters if each in optimizer.state]
        state.moments = self._arrays([one for each in kept for one in (each["exp_avg"], each["exp_avg_sq"])])
        state.steps = int(kept[0]["step"]) if kept else 0

    def _resume(self, optimizer: Any, state: State) -> None:
        """Take parameters and moments from a state."""
        with torch.no_grad():
            for index, parameter in enumerate(self._parameters):
                parameter.copy_(torch.from_numpy(state.weights[index]))
                first, second = (torch.from_numpy(each) for each in state.moments[2 * index : 2 * index + 2])
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(state.steps)),
                    "exp_avg": first.to(parameter.device, copy=True),
                    "exp_avg_sq": second.to(parameter.device, copy=True),
                }
