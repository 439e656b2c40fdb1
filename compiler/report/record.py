"""The record of a compilation: the content of report.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from vggc.execution.output_fidelity import OutputFidelity
from vggc.pattern.context import NodePrecision, RuleTally
from vggc.report.measured import Accuracy, Latency


@dataclass(frozen=True)
class ModelCost:
    """The size of a model. `macs` is for one sample, and None when a shape that it depends on is unknown."""

    nodes: int
    params: int
    macs: int | None
    bytes: int


@dataclass(frozen=True)
class Decline:
    """Something that a step did not change, the reason, and how often this reason occurred."""

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
    """by rule of the step: its matches, applications, declines and time"""
    channels: dict[str, list[int]] = field(default_factory=dict)
    """by node that lost output channels: the former numbers of the channels that it keeps"""
    sensitivity: dict[str, float] = field(default_factory=dict)
    """by node: the error of the outputs when it alone is quantized, as a share of their variance"""
    repaired: dict[str, float] = field(default_factory=dict)
    """by node whose weights were solved again: the squared error that is left, as share of the variance"""
    precisions: list[NodePrecision] = field(default_factory=list)
    """of the nodes that the step chose a precision for, those in a higher one first"""
    notes: list[str] = field(default_factory=list)
    """how results were obtained, for example from ranges of an earlier run"""
    cached: bool = False
    """whether an earlier compile ran the step; `seconds` is then the time that it took there"""

    @property
    def total(self) -> int:
        """The number of rewrites that were applied."""
        return sum(self.changes.values())

    @property
    def times_declined(self) -> int:
        """How often the step declined to change something."""
        return sum(each.times for each in self.declined)


@dataclass(frozen=True)
class Requirement:
    """A gate and its measurement; `outcome` is "held", "failed", "warned" or "rolled back".

    `value` and `limit` are the numbers behind `measured` and `wanted`, None when they are not finite. `kind` is their
    unit as measures define it ("ratio" for a share of one), and `after` the number of steps that had run.
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
class Objective:
    """A `minimize` or `maximize` and its measurement on the compiled model and on the model as read.

    `value` and `first` are the numbers behind `measured` and `original`, None when they are not finite. `kind` is their
    unit as measures define it. `noise` of a time is how much its medians differ, relative to it; None of other values.
    """

    line: str
    direction: str
    text: str
    measured: str
    original: str
    value: float | None
    first: float | None
    kind: str
    noise: float | None = None


@dataclass(frozen=True)
class Verification:
    """The difference between the models before and after exact steps, on the same inputs.

    `steps` names the steps between the two models. `error` is the largest difference of an output, relative to the
    largest magnitude of that output, and `tolerance` the largest allowed error.
    """

    steps: tuple[str, ...]
    inputs: str
    error: float
    tolerance: float


@dataclass(frozen=True)
class Fidelity:
    """How near the compiled model is to the model as read, on the inputs that `inputs` describes."""

    inputs: str
    outputs: tuple[OutputFidelity, ...]


@dataclass(frozen=True)
class Failure:
    """Why a compile failed: "requirement", "error", "interrupted", or "bug" for a bug in vggc.

    `place` is the place in the recipe, `my.opt:4:1`, empty when there is none; `doing` what the compile was doing,
    `messages` what the terminal says, and `look_at` the steps that can have caused a requirement to fail.
    """

    kind: str
    place: str
    doing: str
    messages: list[str]
    look_at: list[str] = field(default_factory=list)


@dataclass
class Report:
    """One compilation."""

    recipe: dict[str, Any]
    model: dict[str, Any]
    verify: str
    steps: list[StepRecord] = field(default_factory=list)
    verification: list[Verification] = field(default_factory=list)
    fidelity: Fidelity | None = None
    requirements: list[Requirement] = field(default_factory=list)
    objectives: list[Objective] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    """runs of the written models in the runtimes that they are for: the fields of `RuntimeRun`"""
    latency: Latency | None = None
    accuracy: Accuracy | None = None
    not_measured: list[str] = field(default_factory=list)
    """why a measurement for the report is missing"""
    facts: dict[str, str] = field(default_factory=dict)
    """what the compile depended on beside the recipe and the model: the machine, versions, the command, the date"""
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    version: str = ""
    failure: Failure | None = None

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)


def plain_value(value: Any) -> Any:
    """A parameter as JSON: numbers, texts and lists unchanged, anything else as its text in a recipe."""
    if isinstance(value, list | tuple):
        return [plain_value(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain_value(each) for key, each in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else str(value)
