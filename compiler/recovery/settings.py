"""What a training is asked for, and how far it has come."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from vggc.graph.arrays import Array

Floats = Literal["float32", "float64"]

ROUNDING = 1e-6
"""Losses that differ by less say nothing: onnxruntime and PyTorch round differently."""


@dataclass(frozen=True)
class Settings:
    """How long and how to train.

    epochs      how often the samples are read; None when `minutes` decide
    minutes     the time for trials and training together
    until       the agreement on the samples held back at which the training ends; None without
    rate        the learning rate; None leaves it to rates.choices
    batch       samples that one step is computed with
    features    the weight of values inside of the model beside the outputs
    vary        whether images are varied; with labels, which mixed images do not have, they are only moved
    labels      whether the classes of the samples are compared with their labels, too
    statistics  whether batch norms normalize by the batch while they train; both are done when there are two
    floats      the type that is computed with
    """

    epochs: int | None
    minutes: float | None
    until: float | None
    rate: float | None
    batch: int
    features: float
    vary: bool
    labels: bool
    statistics: tuple[bool, ...]
    floats: Floats
    seed: int


@dataclass(frozen=True)
class Trial:
    """A short training, how it was done (see rates.Choice), and the loss on the samples held back after it."""

    epochs: int
    rate: float
    statistics: bool
    loss: float


@dataclass
class State:
    """A training at the end of an epoch; all that goes on from here depends on it and on nothing else.

    trials      the short trainings so far
    rate        the one that was chosen, and `statistics` whether batch norms normalize by the batch
    epochs      how many there will be; None before it is known
    epoch       how many have run
    losses      on the samples held back: before anything was trained, and after each epoch that was measured
    agreements  the shares of classes that agree, likewise; None where no output has classes
    least       the least loss, trials included; `best` are the weights that have it, from the epoch `best_epoch`
    ended       whether the training has ended before its last epoch
    given_up    the epochs of a bold training that was given up for one with caution; 0 without
    """

    trials: list[Trial] = field(default_factory=list)
    rate: float | None = None
    statistics: bool = False
    epochs: int | None = None
    epoch: int = 0
    losses: list[float] = field(default_factory=list)
    agreements: list[float | None] = field(default_factory=list)
    least: float = math.inf
    best_agreement: float | None = None
    best_epoch: int = 0
    ended: bool = False
    given_up: int = 0
    best: list[Array] = field(default_factory=list)
    weights: list[Array] = field(default_factory=list)
    moments: list[Array] = field(default_factory=list)
    steps: int = 0

    @property
    def is_better(self) -> bool:
        """Whether the best weights are better than those it began with."""
        return bool(self.losses) and self.least < self.losses[0] - ROUNDING

    def begin_again(self, rate: float) -> None:
        """Go back to the best weights, and train with caution for the epochs that are left."""
        assert self.epochs is not None
        self.given_up = self.epoch
        self.epochs -= self.epoch
        self.epoch = self.best_epoch = self.steps = 0
        self.rate, self.statistics = rate, False
        self.losses, self.agreements = self.losses[:1], self.agreements[:1]
        self.weights, self.moments = [], []

    @property
    def done(self) -> bool:
        return self.ended or self.epoch == self.epochs
