"""The inputs on which two models are compared: samples of the recipe's data, or else seeded random numbers."""

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
    """The first samples of the recipe's first data set, or else random numbers. A dynamic batch is run with size 1 too.

    Random numbers prove less than real samples: the outputs of a model may be only noise on them, or it may not run.
    """

    def __init__(self, data: Sequence[BoundData]) -> None:
        self._data = next(iter(data), None)
        self.description = (
            f"the first {DATA_SAMPLES} samples of `{self._data.name}`" if self._data else "seeded random numbers"
        )

    def feeds(self, after: Sequence[ValueType], session: Session) -> Sequence[Feeds]:
        """Inputs with the shapes in `after`; `session` runs the first model.

        Raises CompileError when the data does not fit, or the first model does not run on random inputs.
        """
        if self._data is None:
            return random_inputs(session, after)
        samples = self._data.load().fit(tuple(after))
        feeds = list(samples.batches(DATA_SAMPLES, limit=DATA_SAMPLES))
        if any(each.shape is None or not isinstance(each.shape[0], int) for each in after):
            # A wrong Squeeze fails only with a single sample.
            feeds += samples.batches(1, limit=1)
        return feeds
