"""Inputs on which two models are compared: the recipe's own data where it has some, else seeded random numbers."""

from __future__ import annotations

from collections.abc import Sequence

from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.graph.arrays import Feeds
from vggc.graph.signature import ValueType
from vggc.pipeline.model import BoundData

DATA_SAMPLES = 8
"""Samples of the recipe's data that a comparison runs: enough for realistic values, and few enough to be quick."""


class PairedInputs:
    """The first samples of the recipe's first data set, also one alone where the batch is dynamic; else random numbers.

    Random numbers say less than real samples: a model may be all noise on them, or not run.
    """

    def __init__(self, data: Sequence[BoundData]) -> None:
        self._data = next(iter(data), None)
        self.description = (
            f"the first {DATA_SAMPLES} samples of `{self._data.name}`" if self._data else "seeded random numbers"
        )

    def feeds(self, after: Sequence[ValueType], session: Session) -> Sequence[Feeds]:
        """Inputs of the shapes in `after`; `session` runs the model before.

        Raises CompileError when the data does not fit, or the model before runs on no random inputs.
        """
        if self._data is None:
            return random_inputs(session, after)
        samples = self._data.load().fit(tuple(after))
        feeds = list(samples.batches(DATA_SAMPLES, limit=DATA_SAMPLES))
        if any(each.shape is None or not isinstance(each.shape[0], int) for each in after):
            # A squeeze too many shows with one sample alone.
            feeds += samples.batches(1, limit=1)
        return feeds
