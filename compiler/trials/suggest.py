"""Which values the next trials get: a study of optuna, which is stored in a file.

Trials are suggested in batches, each from the results of all batches before it. The sampler of a trial is seeded by the
search's seed and the trial's number, so that its values do not depend on who ran the trials before, in which order they
ended, or whether the search was ended and resumed in between. The file gets a batch when all its trials have ended.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vggc.diagnostics import Code, fail
from vggc.diagnostics.packages import SEARCH
from vggc.pipeline.model import Direction
from vggc.trials.outcome import Outcome, numbers
from vggc.trials.settings import Settings
from vggc.trials.space import Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

_STUDY = "vggc"
_STARTUP = 10
"""Random trials before the sampler `tpe` learns from them, the recipe's own values among them."""

_POPULATION = 12
"""The trials of a generation of the sampler `nsga2`."""

_TRIES = 20
"""How often a trial is suggested again when an earlier one had the same values."""


class Suggester:
    """Suggests trials of a space, and learns from their outcomes."""

    def __init__(self, space: Space, directions: Sequence[Direction], settings: Settings, journal: Path) -> None:
        """Continue the study in `journal`, or begin one. Raises CompileError when optuna is not installed."""
        optuna = import_optuna()
        self._space = space
        self._settings = settings
        self._asked: dict[int, Trial] = {}
        with _quiet():
            backend = optuna.storages.journal.JournalFileBackend(str(journal))
            self._stored = optuna.create_study(
                storage=optuna.storages.JournalStorage(backend),
                study_name=_STUDY,
                directions=list(directions),
                load_if_exists=True,
            )
            self._study: Study = optuna.create_study(directions=list(directions))
            done = self._stored.get_trials(deepcopy=False)
            self._study.add_trials(done)
        self.done = len(done)
        """trials whose outcomes the study knows, numbered from 0"""
        self._next = self.done
        self._tried = {self._values(each.params) for each in done}
        if not done and settings.sampler != "grid":
            self._study.enqueue_trial({name: self._index(name, each.default) for name, each in space.items()})

    @property
    def combinations(self) -> int:
        """The number of different trials that there are."""
        count = 1
        for each in self._space.values():
            count *= len(each.values)
        return count

    def suggest(self, count: int) -> list[tuple[int, dict[str, str]]]:
        """The numbers and values of up to `count` new trials; fewer when all combinations have been tried."""
        suggested = []
        for _ in range(min(count, self.combinations - len(self._tried))):
            with _quiet():
                trial = self._new_trial()
            values = self._values(trial.params)
            self._tried.add(values)
            self._asked[self._next] = trial
            suggested.append((self._next, dict(values)))
            self._next += 1
        return suggested

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Take in the outcomes of a batch that was suggested, and store them."""
        from optuna.samplers import RandomSampler
        from optuna.trial import TrialState

        # A grid that has been tried ends an optimization of optuna's own, which this is not.
        self._study.sampler = RandomSampler()
        for outcome in sorted(outcomes, key=lambda each: each.number):
            trial = self._asked.pop(outcome.number)
            found = numbers(outcome)
            with _quiet():
                trial.set_constraint("requirements", outcome.shortfall)
                trial.set_user_attr("outcome", outcome.state)
                if found is None:
                    self._study.tell(trial, state=TrialState.PRUNED)
                else:
                    self._study.tell(trial, found)
                self._stored.add_trial(self._frozen(trial))
            self.done += 1

    def importances(self) -> list[dict[str, float]]:
        """For each objective, the share of its differences that each parameter explains; empty with too few trials.

        By PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255).
        """
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        found = []
        for index in range(len(self._study.directions)):

            def value(trial: FrozenTrial, index: int = index) -> float:
                return float(trial.values[index])

            try:
                with _quiet():
                    shares = get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator(), target=value)
            except (RuntimeError, ValueError):
                # Fewer than two trials, or all of them with the same value.
                shares = {}
            found.append({name: float(shares.get(name, 0.0)) for name in self._space} if shares else {})
        return found

    def _new_trial(self) -> Trial:
        """Ask for a trial until one has new values. The last resort is a random one of the combinations left."""
        from optuna.trial import TrialState

        for attempt in range(_TRIES):
            self._study.sampler = self._sampler(attempt)
            trial = self._study.ask(self._distributions())
            if self._values(trial.params) not in self._tried:
                return trial
            self._study.tell(trial, state=TrialState.FAIL)
        combinations = product(*(range(len(each.values)) for each in self._space.values()))
        left = [each for each in combinations if self._values(self._params(each)) not in self._tried]
        chosen = left[self._seed(_TRIES) % len(left)]
        self._study.enqueue_trial(self._params(chosen))
        return self._study.ask(self._distributions())

    def _sampler(self, attempt: int) -> BaseSampler:
        from optuna import samplers

        seed = self._seed(attempt)
        if self._settings.sampler == "nsga2":
            return samplers.NSGAIISampler(population_size=_POPULATION, seed=seed)
        if self._settings.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        if self._settings.sampler == "grid":
            grid: dict[str, Any] = {name: self._choices(name) for name in self._space}
            # The seed decides the order of the grid, and all trials share the grid.
            return samplers.GridSampler(grid, seed=self._settings.seed)
        return samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=_STARTUP)

    def _seed(self, attempt: int) -> int:
        text = f"{self._settings.seed} {self._next} {attempt}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")

    # --- values: numbers by their index, so that samplers know their order; words by their text ---------------

    def _distributions(self) -> dict[str, Any]:
        from optuna.distributions import CategoricalDistribution, IntDistribution

        return {
            name: IntDistribution(0, len(each.values) - 1) if each.ordered else CategoricalDistribution(each.values)
            for name, each in self._space.items()
        }

    def _choices(self, name: str) -> list[Any]:
        domain = self._space[name]
        return list(range(len(domain.values))) if domain.ordered else list(domain.values)

    def _index(self, name: str, text: str) -> Any:
        domain = self._space[name]
        return domain.values.index(text) if domain.ordered else text

    def _params(self, indices: Sequence[int]) -> dict[str, Any]:
        return {name: self._choices(name)[index] for name, index in zip(self._space, indices, strict=True)}

    def _values(self, params: dict[str, Any]) -> tuple[tuple[str, str], ...]:
        return tuple(
            (name, each.values[params[name]] if each.ordered else params[name]) for name, each in self._space.items()
        )

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[trial.number]


def import_optuna() -> Any:
    """The package optuna. Raises CompileError when it is not installed."""
    try:
        import optuna
    except ImportError:
        raise fail(
            "a search needs the package `optuna`, which is not installed",
            help=SEARCH.command,
            code=Code.MISSING_PACKAGE,
        ) from None
    return optuna


@contextmanager
def _quiet() -> Iterator[None]:
    """No messages of optuna: they say that a trial has ended, and that what is used here may change some day."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)
