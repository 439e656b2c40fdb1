"""What models answer for samples: how often they choose the class of the first model, and how often the right one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vggc.data import Dataset
from vggc.execution.array_distance import same_class
from vggc.graph.arrays import Array
from vggc.measures.outputs import share_right


@dataclass(frozen=True)
class Answers:
    """`agreement` is the share of samples with the first model's class, `accuracy` that with the sample's own class.

    Both are None for an output that does not choose a class, `accuracy` also for data without labels.
    """

    agreement: float | None = None
    accuracy: float | None = None


def answers(expected: Array, computed: Array, data: Dataset, output: str) -> Answers:
    """Compare logits with those of the first model for the first samples of data, (samples, classes, ...) both.

    Raises CompileError when the labels do not fit the classes.
    """
    if not _chooses(computed) or expected.shape != computed.shape:
        return Answers()
    agreement = float(np.mean(same_class(expected, computed)))
    if data.labels is None or computed.ndim != 2:
        return Answers(agreement)
    return Answers(agreement, share_right([computed], data.labels[: len(computed)], data.name, output))


def _chooses(logits: Array) -> bool:
    """Whether an output has the numbers of several classes."""
    return logits.ndim >= 2 and logits.shape[1] > 1 and logits.dtype.kind in "fV"
