"""The outputs of models on data, kept between runs, so that another measure on the same samples runs no model."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from vggc.data import Dataset
from vggc.graph.arrays import Array
from vggc.pipeline.step_cache import StepCache


@dataclass(frozen=True)
class KeptOutputs:
    """The outputs of the model with a key, None for a model that cannot be found again (vggc.measures.subject.Kept)."""

    cache: StepCache
    key: str | None

    def read(self, data: Dataset, output: str) -> list[Array] | None:
        """The batches of an output for all samples of a data set; None when they are not in the cache."""
        content = self.cache.find_bytes("outputs", self.key, self._of_data(data), output)
        if content is None:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return [arrays[name] for name in arrays.files]

    def write(self, data: Dataset, output: str, batches: list[Array]) -> None:
        """Keep the batches of an output for all samples of a data set."""
        # Arrays are read back in C order. Sums over another layout may be rounded in another way.
        plain = all(each.dtype.kind in "biuf" and each.flags.c_contiguous for each in batches)
        if self._of_data(data) is None or not plain:
            return
        file = io.BytesIO()
        np.savez(file, *batches)
        self.cache.keep_bytes("outputs", file.getbuffer(), self.key, self._of_data(data), output)

    def _of_data(self, data: Dataset) -> str | None:
        return data.sha256 if self.key is not None and data.repeatable else None
