"""From a recipe and a model to the change that costs the most."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vggc.bisect.changes import Change, changes, joined, separable, shared_values
from vggc.bisect.channel_scales import Scales, scales
from vggc.bisect.stages import Guilty, Stage, Walk
from vggc.diagnostics import CompileError
from vggc.execution.batching import run
from vggc.execution.intermediates import variables
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
from vggc.pipeline.conditions import Kind, Measured
from vggc.pipeline.model import Pipeline
from vggc.pipeline.runner import Progress

ALONE = 32
"""Changes that are measured one by one: those that move the outputs the most."""

_SAMPLES = 16
_HALF = 4
"""How many times the noise of the whole step a change may make alone."""


@dataclass(frozen=True)
class Weighed:
    """A change made alone in the model before the step: the measure then, and how much worse that is."""

    change: Change
    value: float | CompileError
    cost: float


@dataclass(frozen=True)
class Bisection:
    """Every step with its cost, the guilty one, and of its changes the costliest, the worst first.

    `note` says why a step could not be taken apart.
    """

    first: float
    kind: Kind
    unit: str
    stages: tuple[Stage, ...]
    guilty: Guilty | None
    total: int
    """changes of the guilty step"""
    worst: tuple[Weighed, ...]
    note: str
    shared: frozenset[str]
    """the values between which changes lie"""
    scaled: Scales
    """those of them that the step has scaled"""


def bisect(pipeline: Pipeline, measured: Measured, model: Path, *, progress: Progress = lambda _: None) -> Bisection:
    """Measure the model after every step, and after every change of the worst step alone.

    Gates and targets are passed by. Raises CompileError for a model that cannot be read or measured.
    """
    walk = Walk(pipeline, model, measured, progress)
    walk.run()
    guilty = walk.guilty
    found: list[Change] = []
    shared: frozenset[str] = frozenset()
    scaled: Scales = {}
    worst: tuple[Weighed, ...] = ()
    note = ""
    if guilty is not None and guilty.after is None:
        note = "the step itself fails"
    elif guilty is not None and guilty.after is not None:
        shared = shared_values(guilty.before, guilty.after)
        found = changes(guilty.before, guilty.after, shared, {})
        if walk.scale.data is None:
            note = f"`{walk.scale.measure.name}` is measured without data, so that no change can be weighed"
        elif not separable(guilty.after, found):
            note = "it changed nodes with bodies (If, Loop, Scan), which cannot be taken apart"
        else:
            weighing = _Weighing(walk, guilty.before, guilty.after, progress)
            worst, found, shared, scaled = weighing.run(), weighing.found, weighing.shared, weighing.scaled
    return Bisection(
        walk.first,
        walk.scale.kind,
        walk.scale.measure.unit,
        tuple(walk.stages),
        guilty,
        len(found),
        worst,
        note,
        shared,
        scaled,
    )


class _Weighing:
    """Makes changes alone in the model before the step, and measures what comes of it."""

    def __init__(self, walk: Walk, before: Graph, after: Graph, progress: Progress) -> None:
        self._scale = walk.scale
        self._before = before
        self._after = after
        self._progress: Callable[[str], None] = progress
        assert walk.scale.data is not None
        data = walk.scale.data.load().fit(inputs_of(before))
        self._feed = next(iter(data.batches(_SAMPLES, limit=_SAMPLES)))
        self._outputs = run(Session(before), self._feed)
        self._known: dict[Change, float] = {}
        self.shared = shared_values(before, after)
        self.scaled: Scales = {}
        self.found: list[Change] = []

    def run(self) -> tuple[Weighed, ...]:
        """The changes that move the outputs the most, measured one by one, the worst first."""
        self._settle()
        base = self._scale.badness(self._scale.value(self._before))
        weighed = []
        for at, change in enumerate(sorted(self.found, key=self._noise, reverse=True)[:ALONE], 1):
            self._progress(f"measuring change {at} of {min(ALONE, len(self.found))}")
            value = self._scale.value(self._made([change]))
            weighed.append(Weighed(change, value, self._scale.badness(value) - base))
        weighed.sort(key=lambda each: (each.cost, self._noise(each.change)), reverse=True)
        return tuple(weighed)

    def _settle(self) -> None:
        """Find the changes that mean something alone.

        A pass may move factors from one weight to another: what lies between them has its name still, and other
        numbers. Half of such a change does far more harm than the step. Then values are scaled back where the graphs
        are joined; where that does not explain it, the value is no place to join them at, and what is changed there
        belongs to the change behind it.
        """
        whole = self._distance(self._after)
        outputs = {value.name for value in self._before.outputs}
        hashes: dict[int, str] = {}
        tried = False
        while True:
            self.found = changes(self._before, self._after, self.shared, hashes)
            self._progress(f"looking at {len(self.found)} changes")
            if not math.isfinite(whole) or not whole:
                return
            # The first alone: its other half does as much harm, and is right once the two are one.
            half = next((each for each in self.found if each.value not in outputs and self._is_half(each, whole)), None)
            if half is None:
                return
            if not tried:
                tried = True
                inner = [name for name in variables(self._after) if name in self.shared and name not in outputs]
                self.scaled = scales(self._before, self._after, inner, self._feed)
                self._known.clear()
                continue
            self.shared -= {half.value}

    def _is_half(self, change: Change, whole: float) -> bool:
        return self._noise(change) > _HALF * whole

    def _made(self, chosen: Sequence[Change]) -> Graph:
        return joined(self._before, self._after, chosen, self.shared, self.scaled)

    def _noise(self, change: Change) -> float:
        if change not in self._known:
            self._known[change] = self._distance(self._made([change]))
        return self._known[change]

    def _distance(self, graph: Graph) -> float:
        """The largest share of noise of an output on a few samples; infinite where the graph does not run."""
        try:
            got = run(Session(graph), self._feed)
        except CompileError:
            return math.inf
        return max((_noise(old, got.get(name)) for name, old in self._outputs.items()), default=0.0)


def _noise(old: Any, new: Any) -> float:
    """sum (a - b)² / sum a² of two arrays; infinite where NaN or infinity came or went, or they do not compare."""
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
