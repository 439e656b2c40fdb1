"""Find the step of a recipe that costs a model the most, and the cost of each of its changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vggc.bisect.changes import Change, changes, joined, separable, shared_values
from vggc.bisect.channel_scales import Scales, scales
from vggc.bisect.stages import GuiltyStep, MeasuredRun, Stage
from vggc.diagnostics import CompileError
from vggc.diagnostics.progress import NO_PROGRESS, Progress
from vggc.execution.batching import run
from vggc.execution.intermediates import variables
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
from vggc.pipeline.conditions import Kind, Measured
from vggc.pipeline.model import Pipeline

ALONE = 32
"""The most changes that are measured one by one: those that change the outputs the most."""

_SAMPLES = 16
_INCOMPLETE = 4
"""A change that alone makes more noise than the whole step, by this factor, is only a part of a larger change."""


@dataclass(frozen=True)
class MeasuredChange:
    """A change made alone in the model before the step, the measure of the result, and how much worse it is."""

    change: Change
    value: float | CompileError
    cost: float


@dataclass(frozen=True)
class Bisection:
    """All steps with their costs, the guilty step, and its most costly changes, the worst first.

    `note` says why the changes of a step could not be separated.
    """

    first: float
    kind: Kind
    unit: str
    stages: tuple[Stage, ...]
    guilty: GuiltyStep | None
    total: int
    """the number of changes of the guilty step"""
    worst: tuple[MeasuredChange, ...]
    note: str
    shared: frozenset[str]
    """the values between the changes"""
    scaled: Scales
    """the factors of the shared values that the step has scaled"""


def bisect(pipeline: Pipeline, measured: Measured, model: Path, *, progress: Progress = NO_PROGRESS) -> Bisection:
    """Measure the model after every step, and with every change of the worst step alone.

    Gates and targets are skipped. Raises CompileError for a model that cannot be read or measured.
    """
    steps_run = MeasuredRun(pipeline, model, measured, progress)
    steps_run.run()
    guilty = steps_run.guilty
    separate: list[Change] = []
    shared: frozenset[str] = frozenset()
    scaled: Scales = {}
    worst: tuple[MeasuredChange, ...] = ()
    note = ""
    if guilty is not None and guilty.after is None:
        note = "the step itself fails"
    elif guilty is not None and guilty.after is not None:
        shared = shared_values(guilty.before, guilty.after)
        separate = changes(guilty.before, guilty.after, shared, {})
        if steps_run.scale.data is None:
            note = f"`{steps_run.scale.measure.name}` is measured without data, so no change can be measured alone"
        elif not separable(guilty.after, separate):
            note = "it changed nodes with bodies (If, Loop, Scan), whose changes cannot be separated"
        else:
            measuring = _ChangeMeasurement(steps_run, guilty.before, guilty.after, progress)
            worst, separate, shared, scaled = measuring.run(), measuring.changes, measuring.shared, measuring.scaled
    return Bisection(
        steps_run.first,
        steps_run.scale.kind,
        steps_run.scale.measure.unit,
        tuple(steps_run.stages),
        guilty,
        len(separate),
        worst,
        note,
        shared,
        scaled,
    )


class _ChangeMeasurement:
    """Makes each change alone in the model before the step, and measures the result."""

    def __init__(self, steps_run: MeasuredRun, before: Graph, after: Graph, progress: Progress) -> None:
        self._scale = steps_run.scale
        self._before = before
        self._after = after
        self._progress = progress
        assert steps_run.scale.data is not None
        data = steps_run.scale.data.load().fit(inputs_of(before))
        self._feed = next(iter(data.batches(_SAMPLES, limit=_SAMPLES)))
        self._outputs = run(Session(before), self._feed)
        self._known: dict[Change, float] = {}
        self.shared = shared_values(before, after)
        self.scaled: Scales = {}
        self.changes: list[Change] = []

    def run(self) -> tuple[MeasuredChange, ...]:
        """Measure the changes that change the outputs the most, one by one. Returns them, the worst first."""
        self._separate()
        base = self._scale.badness(self._scale.value(self._before))
        results = []
        for at, change in enumerate(sorted(self.changes, key=self._noise, reverse=True)[:ALONE], 1):
            self._progress.begin(f"measuring change {at} of {min(ALONE, len(self.changes))}")
            value = self._scale.value(self._made([change]))
            results.append(MeasuredChange(change, value, self._scale.badness(value) - base))
        results.sort(key=lambda each: (each.cost, self._noise(each.change)), reverse=True)
        return tuple(results)

    def _separate(self) -> None:
        """Find the changes that are complete by themselves.

        A pass may move factors from one weight to another. The values between the two keep their names, but have other
        numbers, and half of such a change does far more harm than the whole step. Then values are scaled back where the
        graphs are joined. When scaling does not explain the harm, the graphs cannot be joined at this value, and the
        change there becomes a part of the change after it.
        """
        whole = self._distance(self._after)
        outputs = {value.name for value in self._before.outputs}
        hashes: dict[int, str] = {}
        scaled_back = False
        while True:
            self.changes = changes(self._before, self._after, self.shared, hashes)
            self._progress.begin(f"looking at {len(self.changes)} changes")
            if not math.isfinite(whole) or not whole:
                return
            # Only the first: the other part of this change does as much harm, and both are right once they are one.
            part = next(
                (each for each in self.changes if each.value not in outputs and self._is_part(each, whole)), None
            )
            if part is None:
                return
            if not scaled_back:
                scaled_back = True
                inner = [name for name in variables(self._after) if name in self.shared and name not in outputs]
                self.scaled = scales(self._before, self._after, inner, self._feed)
                self._known.clear()
                continue
            self.shared -= {part.value}

    def _is_part(self, change: Change, whole: float) -> bool:
        return self._noise(change) > _INCOMPLETE * whole

    def _made(self, chosen: Sequence[Change]) -> Graph:
        return joined(self._before, self._after, chosen, self.shared, self.scaled)

    def _noise(self, change: Change) -> float:
        if change not in self._known:
            self._known[change] = self._distance(self._made([change]))
        return self._known[change]

    def _distance(self, graph: Graph) -> float:
        """The largest share of noise of an output on a few samples; infinite when the graph does not run."""
        try:
            got = run(Session(graph), self._feed)
        except CompileError:
            return math.inf
        return max((_noise(old, got.get(name)) for name, old in self._outputs.items()), default=0.0)


def _noise(old: Any, new: Any) -> float:
    """sum (a - b)² / sum a² of two arrays; infinite when only one has NaN or infinity, or they are not comparable."""
    if not isinstance(old, np.ndarray) or not isinstance(new, np.ndarray) or old.shape != new.shape:
        return 0.0 if old is new else math.inf
    if old.dtype.kind in "OUST":
        return float(np.mean(old != new))
    first, second = old.astype(np.float64), new.astype(np.float64)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    with np.errstate(invalid="ignore"):
        noise = float(np.square(np.where(same, 0, first - second)).sum())
        signal = float(np.square(np.where(np.isfinite(first), first, 0)).sum())
    return noise / (signal or 1.0) if math.isfinite(noise) else math.inf
