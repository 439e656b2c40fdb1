"""The inputs on which two models are compared: seeded random numbers, and samples of the recipe's own data."""

from __future__ import annotations

from collections.abc import Sequence

from vggc.diagnostics import CompileError
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.graph.signature import inputs_of
from vggc.pipeline.model import BoundData

DATA_SAMPLES = 8
"""Samples of the recipe's data that a comparison runs: enough for realistic values, and few enough to be quick."""


class PairedInputs:
    """Random inputs at several batch sizes, and the first samples of the recipe's first data set."""

    def __init__(self, data: Sequence[BoundData]) -> None:
        self._data = data[:1]
        self._samples = [f"the first {DATA_SAMPLES} samples of `{each.name}`" for each in self._data]
        self.description = " and ".join(["seeded random numbers", *self._samples])

    def feeds(self, before: Graph, after: Graph, session: Session) -> Sequence[Feeds]:
        """Inputs with the shapes that `after` declares, on which `before` runs; `session` runs `before`.

        A model that does not run on random inputs is compared on the recipe's data alone. Raises CompileError when the
        recipe has no data.
        """
        inputs: list[Feeds] = []
        try:
            inputs += random_inputs(before, inputs_of(after), session=session)
        except CompileError:
            if not self._data:
                raise
            self.description = " and ".join(self._samples)
        for each in self._data:
            fitted = each.load().fit(inputs_of(after))
            inputs += fitted.batches(DATA_SAMPLES, limit=DATA_SAMPLES)
        return inputs
