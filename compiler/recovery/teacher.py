"""What the model as read computes for a batch: what a training compares with."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import torch

from vggc.data import Batch
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.recovery.operators.call import Tensor
from vggc.recovery.terms import Term
from vggc.recovery.twin import Twin


class Teacher:
    """The model as read: on CPUs onnxruntime computes it, which is about twice as fast as PyTorch there."""

    def __init__(self, original: Graph, device: Any) -> None:
        self._original = original
        self._twin = Twin(original, device=device) if device.type != "cpu" else None
        self._run: Session | None = None

    @property
    def computed(self) -> Collection[str]:
        """The names of the values that it computes."""
        if self._twin is not None:
            return self._twin.computed
        return {value.name for node in self._original.nodes for value in node.outputs}

    def __call__(self, batch: Batch, terms: Iterable[Term], twin: Twin) -> dict[str, Tensor]:
        """The values that the terms compare, as `twin` computes with numbers."""
        terms = list(terms)
        names = [each.name for each in terms]
        if self._twin is not None:
            with torch.no_grad():
                found = self._twin({name: self._twin.tensor(array) for name, array in batch.items()}, names)
        else:
            if self._run is None:
                self._run = Session(self._original, names, optimise="all")
            arrays = self._run.run({each.name: batch[each.name] for each in self._run.inputs})
            found = {name: twin.tensor(np.asarray(arrays[name])) for name in names}
        return {each.name: each.wanted(found[each.name]) for each in terms}
