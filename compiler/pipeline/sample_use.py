"""Divide samples between the steps of a compile, which learn from them, and the comparison of the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vggc.data import Dataset
from vggc.data.selected import hold_back
from vggc.diagnostics.number_text import counted
from vggc.graph.signature import ValueType
from vggc.pipeline.fidelity import samples_to_run, spread
from vggc.pipeline.model import BoundData, BoundStep, Pipeline


class SampleUse:
    """The data sets of a recipe, and the samples of them that its steps have used.

    When every data set is used by a step, some samples are held back from the steps that learn.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        used = [each for step in pipeline.steps() for each in step.options.values() if isinstance(each, BoundData)]
        self._spare = next((each for each in pipeline.data.values() if each not in used), None)
        self._held_back: list[Callable[[tuple[ValueType, ...]], Dataset | None]] = []
        """for each step that learns, what was held back from it, as the inputs of a model"""
        self.used: list[BoundData] = []
        """the data sets that steps have read"""

    def holds_back(self, step: BoundStep) -> bool:
        """Whether a step gets only a part of the samples."""
        return step.pass_.learns and self._spare is None

    def has_run(self, step: BoundStep, macs: int | None) -> None:
        """Record that an earlier compile ran a step, on a model with `macs` operations for one sample."""
        self._uses(step)
        for each in step.options.values() if self.holds_back(step) else ():
            if isinstance(each, BoundData):
                self._held_back.append(lambda inputs, data=each: _judging(data.load().fit(inputs), macs))  # type: ignore[misc]

    def of_step(self, step: BoundStep, options: Mapping[str, Any], macs: int | None) -> dict[str, Any]:
        """The options for a step, with data sets loaded. A step that learns may get only a part of the samples.

        `macs` is the cost of the model for one sample, None when it is not known.
        """
        self._uses(step)
        if not self.holds_back(step):
            return dict(options)
        return {
            name: self._to_learn_from(value, macs) if isinstance(value, Dataset) else value
            for name, value in options.items()
        }

    def first_used(self) -> Dataset | None:
        """The first data set that a step has read."""
        return self.used[0].load() if self.used else None

    def _to_learn_from(self, data: Dataset, macs: int | None) -> Dataset:
        parts = hold_back(data, samples_to_run(macs))
        if parts is None:
            return data
        judging = parts[1]
        self._held_back.append(lambda _: judging)
        return parts[0]

    def _uses(self, step: BoundStep) -> None:
        self.used += [each for each in step.options.values() if isinstance(each, BoundData) and each not in self.used]

    def to_judge(self, inputs: tuple[ValueType, ...], macs: int | None) -> tuple[str, Dataset | None]:
        """A description of the samples to judge the compiled model by, and the samples: unused if possible.

        The samples are None, for random inputs, when the recipe has no data. Raises CompileError when it does not fit.
        """
        count = samples_to_run(macs)
        spare = self._spare
        if spare:
            unseen: Dataset | None = spread(spare.load().fit(inputs), count)
        else:
            unseen = next(filter(None, (each(inputs) for each in self._held_back)), None)
        if unseen is not None:
            return f"{counted(len(unseen), 'sample')} of `{unseen.name}` that no step has used", unseen
        if not self.used:
            return "seeded random numbers", None
        seen = spread(self.used[0].load().fit(inputs), count)
        return f"{counted(len(seen), 'sample')} of `{seen.name}`", seen


def _judging(data: Dataset, macs: int | None) -> Dataset | None:
    """The samples that are held back from a step, to judge the model by."""
    parts = hold_back(data, samples_to_run(macs))
    return None if parts is None else parts[1]
