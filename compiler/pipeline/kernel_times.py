"""Measure where the time of the model as read and of the compiled model goes, for the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from vggc.data import Dataset
from vggc.diagnostics import Code, fail
from vggc.diagnostics.number_text import counted
from vggc.execution.latency import alternating, run_seconds, warm_up
from vggc.execution.profiling import node_seconds
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.graph.node_order import reads
from vggc.graph.signature import fixed_batch, inputs_of
from vggc.operators.roles import ROLES
from vggc.report.measured import Latency, NodeTime, Timing

_SECONDS, _FEWEST, _MOST = 1.0, 5, 50
"""About how long both models run in turns, and how often each at least and at most."""

_SLOW = 5.0
"""Seconds of a first run of both models from which nothing is measured, since that would take minutes."""

_PROFILED_RUNS, _PROFILED_SECONDS = 20, 0.5


def kernel_times(before: Graph, after: Graph, data: Dataset | None) -> Latency:
    """Run both models on one sample, or on one batch where the model fixes its size.

    Raises CompileError when a model does not run or is too slow, or the data does not fit.
    """
    inputs, feeds = zip(*(_feeds(graph, data) for graph in (before, after)), strict=True)
    sessions = [Session(graph, optimise="all", spinning=True) for graph in (before, after)]
    runs = [partial(run_seconds, session, feed) for session, feed in zip(sessions, feeds, strict=True)]
    slow = sum(run() for run in runs)
    if slow > _SLOW:
        raise fail(f"one run of both models takes {slow:.1f} s, and measuring needs dozens of them", code=Code.BENCH)
    for session, feed in zip(sessions, feeds, strict=True):
        warm_up(session, feed, seconds=0.0)
    taken = alternating(runs, seconds=_SECONDS, fewest=_FEWEST, most=_MOST)
    timings = [_timing(each) for each in taken]
    kernels = []
    for graph, feed, timing in zip((before, after), feeds, timings, strict=True):
        seconds = min(_PROFILED_SECONDS, _PROFILED_RUNS * timing.median)
        kernels.append(node_seconds(graph, feed, seconds))
    nodes = [grouped(graph, seconds) for graph, seconds in zip((before, after), kernels, strict=True)]
    other = [seconds.get("", 0.0) for seconds in kernels]
    return Latency(inputs[0], timings[0], timings[1], (nodes[0], nodes[1]), (other[0], other[1]))


def _feeds(graph: Graph, data: Dataset | None) -> tuple[str, Feeds]:
    """A description of what a model runs on, and the arrays."""
    inputs = inputs_of(graph)
    if data is None:
        feeds = random_inputs(graph, inputs, batches=(1,))[0]
        return "random numbers", feeds
    count = fixed_batch(inputs) or 1
    feeds = next(iter(data.fit(inputs).batches(count, count)))
    return f"{counted(count, 'sample')} of `{data.name}`", feeds


def _timing(seconds: Sequence[float]) -> Timing:
    low, median, high = np.quantile(seconds, (0.25, 0.5, 0.75))
    return Timing(float(median), float(low), float(high), len(seconds))


def grouped(graph: Graph, seconds: Mapping[str, float]) -> tuple[NodeTime, ...]:
    """The kernels of a graph, the slowest first, each with all nodes that it computes.

    `seconds` are those of kernels by the first result of one of their nodes. A node without a kernel of its own is
    computed by that of the node before it, as an activation behind a convolution, or by that of a node after it: a
    convolution whose kernel has the name of its activation, a DequantizeLinear before a convolution. Values between
    them have one reader each, since others could not read them. Other nodes without a kernel are left out.
    """
    of_value: dict[str, str] = {}
    nodes = [node for node in graph.nodes if node.outputs and node.outputs[0].name]
    for node in nodes:
        name = node.outputs[0].name
        kernel: str | None = name
        if name not in seconds:
            source = next((each for each in reads(node) if graph.producer(each) is not None), None)
            alone = source is not None and len(graph.readers(source)) == 1 and node.op not in ROLES
            kernel = of_value.get(source.name) if source is not None and alone else None
        if kernel is not None:
            of_value.update((value.name, kernel) for value in node.outputs)
    for node in reversed(nodes):
        name = node.outputs[0].name
        readers = graph.readers(node.outputs[0])
        if name not in of_value and len(readers) == 1 and readers[0].outputs:
            kernel = of_value.get(readers[0].outputs[0].name)
            if kernel is not None:
                of_value[name] = kernel
    members: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        if (kernel := of_value.get(node.outputs[0].name)) is not None:
            members[kernel].append(node.outputs[0].name)
    times = [NodeTime(tuple(values), seconds[kernel]) for kernel, values in members.items()]
    return tuple(sorted(times, key=lambda each: -each.seconds))
