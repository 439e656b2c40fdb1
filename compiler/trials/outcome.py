"""What a trial was and what came of it, as values that JSON has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from vggc.pipeline.step_cache import restored
from vggc.report.record import ModelCost, Objective, Report, Requirement

State = Literal["held", "gate", "error"]
"""All requirements held; one was not met, which ended the trial; or the trial could not be compiled or measured."""

_FAILED = 1e6
"""How far a trial is from the goals that could not be compiled or measured."""


@dataclass(frozen=True)
class Outcome:
    """A trial. `values` are the parameters as recipes write them, and `message` why it did not hold.

    `saved` are the seconds of its steps that the cache knew, `page` is the report for a browser in the search's folder,
    and `size` that of the model after the last step.
    """

    number: int
    values: Mapping[str, str]
    state: State
    objectives: list[Objective] = field(default_factory=list)
    requirements: list[Requirement] = field(default_factory=list)
    message: str = ""
    seconds: float = 0.0
    steps: int = 0
    cached: int = 0
    saved: float = 0.0
    page: str = ""
    artifacts: list[str] = field(default_factory=list)
    size: ModelCost | None = None

    @property
    def shortfall(self) -> float:
        """How far the trial is from the requirement that was not met, relative to its limit; 0 when all held."""
        if self.state == "held":
            return 0.0
        failed = [each for each in self.requirements if each.outcome == "failed"]
        if not failed or failed[0].value is None or failed[0].limit is None:
            return _FAILED
        value, limit = failed[0].value, failed[0].limit
        return abs(value - limit) / abs(limit) if limit else abs(value - limit)

    @property
    def held(self) -> int:
        """The number of requirements that held."""
        return sum(each.outcome == "held" for each in self.requirements)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Any) -> Outcome:
        """What `as_dict` returned. Raises KeyError or TypeError for other content."""
        objectives = [restored(Objective, each) for each in content["objectives"]]
        requirements = [restored(Requirement, each) for each in content["requirements"]]
        size = None if content["size"] is None else restored(ModelCost, content["size"])
        return cls(**{**content, "objectives": objectives, "requirements": requirements, "size": size})


def outcome_of(number: int, values: Mapping[str, str], state: State, report: Report, message: str = "") -> Outcome:
    """The outcome of a compile by its report."""
    known = [each for each in report.steps if each.cached]
    return Outcome(
        number,
        dict(values),
        state,
        report.objectives,
        report.requirements,
        message,
        report.seconds,
        len(report.steps),
        len(known),
        sum(each.seconds for each in known),
        artifacts=[str(each["path"]) for each in report.artifacts],
        size=next((each.after for each in reversed(report.steps) if not each.undone), None),
    )


def reference_times(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The time of the model as read by the text of each timed objective, in the first trial that measured it."""
    found: dict[str, float] = {}
    for outcome in sorted(outcomes, key=lambda each: each.number):
        for each in outcome.objectives:
            if each.noise is not None and each.first:
                found.setdefault(each.text, each.first)
    return found


def comparable(outcome: Outcome, reference: Mapping[str, float]) -> Outcome:
    """The outcome with times as they would be on the machine as it was in the first trial.

    A time is measured in turns with the model as read. The ratio of the two does not depend on other load.
    """

    def scaled(each: Objective) -> Objective:
        if each.noise is None or each.value is None or not each.first or each.text not in reference:
            return each
        return replace(each, value=each.value * reference[each.text] / each.first, first=reference[each.text])

    return replace(outcome, objectives=[scaled(each) for each in outcome.objectives])


def numbers(outcome: Outcome) -> list[float] | None:
    """The values of the objectives; None when the trial has not all of them."""
    if outcome.state != "held" or any(each.value is None for each in outcome.objectives):
        return None
    found = [float(each.value) for each in outcome.objectives if each.value is not None]
    return found if all(map(math.isfinite, found)) else None
