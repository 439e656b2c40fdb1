"""What a search has found: the content of search.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vggc.pipeline.model import Direction
from vggc.trials.outcome import Outcome

RECORD = "search.json"
"""The record for programs."""

PAGE = "search.html"
"""The record for people."""


@dataclass(frozen=True)
class Goal:
    """An objective: its text in the recipe, the unit of its values as measures define it, and the model as read's."""

    direction: Direction
    text: str
    kind: str
    original: float | None = None


@dataclass
class SearchRecord:
    """A search.

    recipe       path, SHA-256, text, and the values that `--set` gives
    model        path, SHA-256 and bytes
    settings     see vggc.trials.settings
    space        the values of each parameter that trials may give it
    goals        the objectives
    trials       the outcomes in the order in which trials were suggested, with times as on the machine of the first one
    front        the numbers of the trials that no other one beats, the best in the first objective first
    best         the trial of the front that is nearest to the best of all objectives; None when no trial held
    nearest      the trial that came nearest to the requirements, when no trial held
    importances  for each objective, the share of its differences that each parameter explains
    measured_again  the trials of the front with what was measured at the end, when nothing else ran
    recipes      the recipe of each trial of the front by its number, and that of the best one under "best"
    outputs      the folder of each whole output by the number of its trial
    seconds      of all sessions together
    finished     whether the search has come to its end
    notes        what the user should know
    """

    recipe: dict[str, Any]
    model: dict[str, Any]
    settings: dict[str, Any]
    space: Mapping[str, Sequence[str]]
    goals: list[Goal]
    trials: list[Outcome] = field(default_factory=list)
    front: list[int] = field(default_factory=list)
    best: int | None = None
    nearest: int | None = None
    importances: list[dict[str, float]] = field(default_factory=list)
    measured_again: list[Outcome] = field(default_factory=list)
    recipes: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False
    notes: list[str] = field(default_factory=list)
    version: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return asdict(self)

    @property
    def saved(self) -> float:
        """Seconds of steps that trials did not run, because an earlier trial or compile had run them."""
        return sum(each.saved for each in self.trials)

    @property
    def results(self) -> list[Outcome]:
        """The trials of the front in its order, as they were measured last."""
        last = {each.number: each for each in [*self.trials, *self.measured_again]}
        return [last[number] for number in self.front]

    @property
    def best_result(self) -> Outcome | None:
        """The best trial, as it was measured last."""
        return next((each for each in self.results if each.number == self.best), None)
