"""What a compilation did, as data: the content of report.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from vggc.pattern.context import RuleTally


@dataclass(frozen=True)
class ModelCost:
    """The size of a model. `macs` is for one sample, None when a shape it depends on is unknown."""

    nodes: int
    params: int
    macs: int | None
    bytes: int


@dataclass(frozen=True)
class Decline:
    """Something a step left as it was, why, and how often that reason came up for it."""

    what: str
    reason: str
    times: int = 1


@dataclass
class StepRecord:
    """One step as it ran. `undone` is set when a later gate rolled it back."""

    name: str
    line: str
    exact: bool
    changes: dict[str, int]
    declined: list[Decline]
    seconds: float
    before: ModelCost
    after: ModelCost
    undone: bool = False
    rules: dict[str, RuleTally] = field(default_factory=dict)
    """of each rule that the step applies: matches, applications, declines and the time it took"""
    channels: dict[str, list[int]] = field(default_factory=dict)
    """of each node that has lost output channels: the numbers that those left had before"""
    sensitivity: dict[str, float] = field(default_factory=dict)
    """by node: the error of the outputs when it alone is quantized, as a share of their variance"""
    notes: list[str] = field(default_factory=list)
    """how results came about, such as ranges that an earlier run has found"""

    @property
    def total(self) -> int:
        """How many rewrites were applied."""
        return sum(self.changes.values())

    @property
    def times_declined(self) -> int:
        """How often something was left as it was."""
        return sum(each.times for each in self.declined)


@dataclass(frozen=True)
class Requirement:
    """A gate and what was measured there; `outcome` is held, failed, warned or rolled back.

    `value` and `limit` are the numbers behind `measured` and `wanted`, `kind` what they are (as measures tell, "ratio"
    for a share of one), None where they are not finite, and `after` is how many steps had run.
    """

    line: str
    text: str
    measured: str
    wanted: str
    outcome: str
    value: float | None
    limit: float | None
    kind: str
    after: int


@dataclass(frozen=True)
class Verification:
    """How far the compiled model is from the one it was compared with, on the same inputs.

    `steps` names the exact steps between the two; `error` is the largest difference of an output relative to that
    output's largest magnitude, and `tolerance` what was allowed.
    """

    steps: tuple[str, ...]
    inputs: str
    error: float
    tolerance: float


@dataclass
class Report:
    """One compilation."""

    recipe: dict[str, Any]
    model: dict[str, Any]
    verify: str
    steps: list[StepRecord] = field(default_factory=list)
    verification: list[Verification] = field(default_factory=list)
    requirements: list[Requirement] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    version: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)
