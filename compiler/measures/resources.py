"""Measures of the size and speed of a model."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from vggc.analysis.costs import Costs, costs
from vggc.data import Dataset, fit
from vggc.diagnostics import Code, fail
from vggc.execution.latency import alternating_times, warm_up
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.graph.arrays import Feeds
from vggc.graph.signature import fixed_batch, inputs_of
from vggc.measures.measure import measure
from vggc.measures.subject import Subject, filled
from vggc.values import Bytes, Seconds, Within

FEWEST_RUNS = 10
MOST_RUNS = 200
LEAST_SECONDS = 0.5


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
    """Median time of one run on this machine's CPU: onnxruntime, fully optimised, all cores or `--threads`.

    Options:
        batch: the number of samples in a run, when the batch is dynamic.
        data: samples to run instead of random ones; the time of most models does not depend on them.
    """
    key = ("latency", batch, data)
    if key not in subject.measured:
        feeds = _feeds(subject, batch, data)
        subject.measured[key] = Seconds(median_seconds(Session(subject.graph, optimise="all", spinning=True), feeds))
    return subject.measured[key]  # type: ignore[no-any-return]


def _feeds(subject: Subject, batch: int, data: Dataset | None) -> Feeds:
    inputs = inputs_of(subject.graph)
    if data is not None:
        rows = fixed_batch(inputs) or batch
        return filled(next(fit(data, inputs).batches(rows)), rows)
    return random_inputs(subject.graph, inputs, batches=(batch,))[0]


def median_seconds(session: Session, feeds: Feeds) -> float:
    """The median of at least FEWEST_RUNS runs and LEAST_SECONDS, after a warm-up; `feeds` are (batch, ...)."""
    warm_up(session, feeds, seconds=0.0)
    (taken,) = alternating_times([session], feeds, seconds=LEAST_SECONDS, fewest=FEWEST_RUNS, most=MOST_RUNS)
    return float(np.median(taken))
