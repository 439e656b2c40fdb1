"""Measure how much the compiled model differs from the model as read, when steps change its results on purpose."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vggc.data import Dataset
from vggc.data.selected import Selected
from vggc.execution.batching import run
from vggc.execution.output_fidelity import Fidelities, OutputFidelity
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.graph.arrays import Feeds
from vggc.graph.signature import ValueType
from vggc.report.record import Fidelity

_MOST, _FEWEST = 128, 8
_MACS = 2e11
"""The most multiply-accumulate operations of each model for all samples: some seconds on two cores."""

_BATCH = 8

_BAD_COSINE = 0.95
_BAD_AGREEMENT = 0.75


def samples_to_run(macs: int | None) -> int:
    """The number of samples to compare for a model with `macs` operations per sample."""
    return _MOST if not macs else int(max(_FEWEST, min(_MOST, _MACS // macs)))


def spread(data: Dataset, count: int) -> Dataset:
    """`count` samples at equal distances, because folders of images are sorted by class."""
    if len(data) <= count:
        return data
    return Selected(data, np.arange(count) * len(data) // count)


def measure(before: Session, after: Session, inputs: tuple[ValueType, ...], data: Dataset | None) -> Fidelities:
    """Run both models on the samples of `data`, or on random inputs with the shapes in `inputs`.

    Raises CompileError when the data does not fit, or one of the models does not run.
    """
    sums = Fidelities()
    batches: Iterable[Feeds]
    batches = random_inputs(before, inputs) if data is None else data.fit(inputs).batches(_BATCH)
    for batch in batches:
        sums.add_all(run(before, batch), run(after, batch))
    return sums


def warning(fidelity: Fidelity) -> str:
    """The warning for a model that differs a lot from the model as read; empty when it does not."""
    far = [output for output in fidelity.outputs if _is_far(output)]
    if not far:
        return ""
    worst = min(far, key=lambda output: output.cosine)
    agreement, cosine, sqnr = worst.texts()
    agreement_text = f"agreement {agreement}, " if agreement else ""
    return (
        f"the compiled model differs a lot from the model as read: output `{worst.name}` has {agreement_text}"
        f"cosine {cosine} and SQNR {sqnr} on {fidelity.inputs}; use more samples or a less strict budget, "
        "or limit the loss with a `require`"
    )


def _is_far(output: OutputFidelity) -> bool:
    return output.cosine < _BAD_COSINE or (output.agreement is not None and output.agreement < _BAD_AGREEMENT)
