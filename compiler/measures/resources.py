"""Measures of the size and speed of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from vggc.analysis.costs import Costs, costs
from vggc.data import Dataset, fit
from vggc.diagnostics import Code, fail
from vggc.execution.latency import burst_medians, warm_up
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.graph.arrays import Feeds
from vggc.graph.signature import fixed_batch, inputs_of
from vggc.measures.measure import Timing, measure, median_noise
from vggc.measures.subject import Subject, filled
from vggc.values import Bytes, Seconds, Within

ENOUGH = 0.01
"""Bursts are added while a time is known less well than this."""


def _costs(subject: Subject) -> Costs:
    if "costs" not in subject.measured:
        subject.measured["costs"] = costs(subject.graph)
    return subject.measured["costs"]  # type: ignore[no-any-return]


@measure(better="lower")
def size(subject: Subject) -> Bytes:
    """Bytes of the model as an ONNX file, its weights included."""
    exported = subject.graph.export()
    return Bytes(exported.model.ByteSize() + sum(each.nbytes for each in exported.weights.values()))


@measure(better="lower", unit="parameters")
def params(subject: Subject) -> int:
    """The number of parameters: all numbers in float and quantized weights."""
    return _costs(subject).params


@measure(better="lower", unit="MACs")
def macs(subject: Subject) -> int:
    """Multiply-accumulate operations of convolutions and matrix products, for one sample when the batch is dynamic."""
    counted = _costs(subject)
    if counted.macs is None:
        first = counted.unknown[0]
        raise fail(
            f"the MACs of {len(counted.unknown)} nodes are unknown",
            facts=(("node", first.label),),
            help="fix the shapes first: set_batch(1) before this line, or `simplify`",
            code=Code.SHAPES,
        )
    return counted.macs


@measure(better="lower", unit="nodes")
def nodes(subject: Subject) -> int:
    """The number of nodes of the graph."""
    return len(subject.graph.nodes)


@measure(better="lower", repeatable=False)
def latency(subject: Subject, *, batch: Annotated[int, Within(1, 4096)] = 1, data: Dataset | None = None) -> Seconds:
    """Time of one run on this machine's CPU: onnxruntime, fully optimised, all cores or `--threads`.

    The model and the model as read take turns in short bursts, so that other load on the machine affects both; more of
    them while the times differ. The time is that of the model as read times the median of the ratios of neighbouring
    bursts. A model with other inputs than the model as read is measured alone.

    Options:
        batch: the number of samples in a run, when the batch is dynamic.
        data: samples to run instead of random ones; the time of most models does not depend on them.
    """
    key = ("latency", batch, data)
    if key not in subject.measured:
        paired = inputs_of(subject.graph) == inputs_of(subject.original.graph) and subject is not subject.original
        subjects = [subject, subject.original] if paired else [subject]
        sessions = [Session(each.graph, optimise="all", spinning=True) for each in subjects]
        own, *as_read = interleaved_medians(sessions, _feeds(subject, batch, data))
        subject.measured[key] = Timing.of(own)
        if paired:
            # Neighbouring bursts suffer from the same other load, so their ratio does not depend on it.
            first = subject.original.measured[key] = Timing.of(as_read[0])
            subject.measured[key] = Timing.of(np.divide(own, as_read[0]).tolist(), first)
    return subject.measured[key]  # type: ignore[no-any-return]


def _feeds(subject: Subject, batch: int, data: Dataset | None) -> Feeds:
    inputs = inputs_of(subject.graph)
    if data is not None:
        rows = fixed_batch(inputs) or batch
        return filled(next(fit(data, inputs).batches(rows)), rows)
    return random_inputs(subject.graph, inputs, batches=(batch,))[0]


def interleaved_medians(sessions: Sequence[Session], feeds: Feeds) -> list[list[float]]:
    """The median seconds of each burst of runs, one list for each model, after a warm-up; `feeds` are (batch, ...)."""
    for each in sessions:
        warm_up(each, feeds, seconds=0.0)
    return burst_medians(sessions, feeds, _are_enough)


def _are_enough(medians: list[list[float]]) -> bool:
    """Whether the time of the first model is known well, relative to the second one when there is one."""
    own, *others = medians
    return median_noise(np.divide(own, others[0]).tolist() if others else own) <= ENOUGH
