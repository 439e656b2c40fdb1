"""From a recipe and a model to the change that costs the most."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vggc.bisect.changes import Change, changes, joined, separable
from vggc.bisect.stages import Guilty, Stage, Walk
from vggc.bound import Pipeline
from vggc.compare import compare
from vggc.conditions import Kind, Measured
from vggc.diagnostics import CompileError
from vggc.graph import Graph
from vggc.pipeline.runner import Progress
from vggc.signature import inputs_of

ALONE = 32
"""Changes that are measured one by one; more of them are narrowed down in groups first."""

_GROUPS = 8
_SAMPLES = 16


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
    original: Graph


def bisect(pipeline: Pipeline, measured: Measured, model: Path, *, progress: Progress = lambda _: None) -> Bisection:
    """Measure the model after every step, and after every change of the worst step alone.

    Gates and targets are passed by. Raises CompileError for a model that cannot be read or measured.
    """
    walk = Walk(pipeline, model, measured, progress)
    walk.run()
    guilty = walk.guilty
    found: list[Change] = []
    worst: tuple[Weighed, ...] = ()
    note = ""
    if guilty is not None and guilty.after is None:
        note = "the step itself fails"
    elif guilty is not None and guilty.after is not None:
        found = changes(guilty.before, guilty.after)
        if walk.scale.data is None:
            note = f"`{walk.scale.measure.name}` is measured without data, so that no change can be weighed"
        elif not separable(guilty.after, found):
            note = "it changed nodes with bodies (If, Loop, Scan), which cannot be taken apart"
        else:
            worst = _Weighing(walk, guilty.before, guilty.after, progress).run(found)
    return Bisection(
        walk.first,
        walk.scale.kind,
        walk.scale.measure.unit,
        tuple(walk.stages),
        guilty,
        len(found),
        worst,
        note,
        walk.original,
    )


class _Weighing:
    def __init__(self, walk: Walk, before: Graph, after: Graph, progress: Progress) -> None:
        self._scale = walk.scale
        self._before = before
        self._after = after
        self._progress: Callable[[str], None] = progress
        self._base = walk.scale.badness(walk.scale.value(before))
        assert walk.scale.data is not None
        data = walk.scale.data.load().fit(inputs_of(before))
        self._feeds = list(data.batches(_SAMPLES, limit=_SAMPLES))

    def run(self, found: Sequence[Change]) -> tuple[Weighed, ...]:
        """The changes that were measured one by one, the worst first."""
        candidates = list(found)
        while len(candidates) > ALONE:
            size = -(-len(candidates) // _GROUPS)
            groups = [candidates[at : at + size] for at in range(0, len(candidates), size)]
            candidates = max(groups, key=lambda group: self._weigh(group)[1:])
        weighed = [(each, *self._weigh([each])) for each in candidates]
        weighed.sort(key=lambda each: each[2:], reverse=True)
        return tuple(Weighed(change, value, cost) for change, value, cost, _ in weighed)

    def _weigh(self, group: Sequence[Change]) -> tuple[float | CompileError, float, float]:
        """The measure with these changes alone, how much worse it is, and how far the outputs are away.

        The last one decides between changes that each of them alone costs the measure nothing.
        """
        self._progress(f"measuring {len(group)} of the changes")
        graph = joined(self._before, self._after, group)
        value = self._scale.value(graph)
        cost = self._scale.badness(value) - self._base
        if math.isinf(cost):
            return value, cost, math.inf
        return value, cost, compare(self._before, graph, self._feeds).error
