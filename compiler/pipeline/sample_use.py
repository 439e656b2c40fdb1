"""Which samples the steps of a compile learn from, and which are left to judge the result by."""

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
    """The data sets of a recipe, as far as its steps have used them.

    Samples are held back from steps that learn only where every data set is one that steps use.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        used = [each for step in pipeline.steps() for each in step.options.values() if isinstance(each, BoundData)]
        self._spare = next((each for each in pipeline.data.values() if each not in used), None)
        self._held_back: dict[str, Dataset] = {}
        self.used: list[BoundData] = []
        """the data sets that steps have read"""

    def of_step(self, step: BoundStep, options: Mapping[str, Any], macs: int | None) -> dict[str, Any]:
        """The options a step gets, data sets loaded: one that learns from samples does not see all of them.

        `macs` is what the model costs a sample, None where that is not known.
        """
        self.used += [each for each in step.options.values() if isinstance(each, BoundData) and each not in self.used]
        if not step.pass_.learns or self._spare is not None:
            return dict(options)
        return {
            name: self._to_learn_from(value, macs) if isinstance(value, Dataset) else value
            for name, value in options.items()
        }

    def _to_learn_from(self, data: Dataset, macs: int | None) -> Dataset:
        parts = hold_back(data, samples_to_run(macs))
        if parts is None:
            return data
        self._held_back.setdefault(data.name, parts[1])
        return parts[0]

    def to_judge(self, inputs: tuple[ValueType, ...], macs: int | None) -> tuple[str, Dataset | None]:
        """Samples to judge the compiled model by, and what they are: such as no step has seen where there are any.

        None, where the recipe has no data, stands for random inputs. Raises CompileError when data does not fit.
        """
        count = samples_to_run(macs)
        spare = self._spare
        unseen = spread(spare.load().fit(inputs), count) if spare else next(iter(self._held_back.values()), None)
        if unseen is not None:
            return f"{counted(len(unseen), 'sample')} of `{unseen.name}` that no step has seen", unseen
        if not self.used:
            return "seeded random numbers", None
        seen = spread(self.used[0].load().fit(inputs), count)
        return f"{counted(len(seen), 'sample')} of `{seen.name}`", seen
