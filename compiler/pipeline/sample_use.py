"""Divide samples between the steps of a compile, which learn from them, and the comparison of the result."""

from __future__ import annotations

from collections.abc import Mapping
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
        self._held_back: dict[str, Dataset] = {}
        self.used: list[BoundData] = []
        """the data sets that steps have read"""

    def of_step(self, step: BoundStep, options: Mapping[str, Any], macs: int | None) -> dict[str, Any]:
        """The options for a step, with data sets loaded. A step that learns may get only a part of the samples.

        `macs` is the cost of the model for one sample, None when it is not known.
        """
        self.used += [each for each in step.options.values() if isinstance(each, BoundData) and each not in self.used]
        if not step.pass_.learns or self._spare is not None:
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
        self._held_back.setdefault(data.name, parts[1])
        return parts[0]

    def to_judge(self, inputs: tuple[ValueType, ...], macs: int | None) -> tuple[str, Dataset | None]:
        """A description of the samples to judge the compiled model by, and the samples: unused if possible.

        The samples are None, for random inputs, when the recipe has no data. Raises CompileError when it does not fit.
        """
        count = samples_to_run(macs)
        spare = self._spare
        unseen = spread(spare.load().fit(inputs), count) if spare else next(iter(self._held_back.values()), None)
        if unseen is not None:
            return f"{counted(len(unseen), 'sample')} of `{unseen.name}` that no step has used", unseen
        if not self.used:
            return "seeded random numbers", None
        seen = spread(self.used[0].load().fit(inputs), count)
        return f"{counted(len(seen), 'sample')} of `{seen.name}`", seen
