"""How long each node of a model takes on the CPU, as onnxruntime's profiler measures its kernels."""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from vggc.execution.latency import WARM_UP_RUNS, times, warm_up
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Feeds

_SUFFIX = re.compile(r"(_nchwc|_token_\d+)+$")
"""What onnxruntime adds to the name of a node that it moves to another layout."""


def node_seconds(graph: Graph, feeds: Feeds, seconds: float) -> dict[str, float]:
    """The seconds that each node takes in a run with `feeds`, by the name of its first output.

    The graph is fully optimised, and run for about `seconds`. A kernel that computes several nodes counts for one of
    them, and kernels that stand for no node, which change the layout of values, for the name "".
    Raises CompileError when onnxruntime cannot run the graph.
    """
    with tempfile.TemporaryDirectory(prefix="vggc-profile-") as folder:
        session = Session(graph, optimise="all", spinning=True, profile=Path(folder))
        warm_up(session, feeds, seconds=0.0)
        runs = len(times(session, feeds, seconds))
        events = json.loads(session.end_profile().read_text(encoding="utf-8"))
    return seconds_by_value(events, graph, runs)


def seconds_by_value(events: Iterable[Mapping[str, Any]], graph: Graph, runs: int) -> dict[str, float]:
    """The seconds of a run by the first output of each node: the median of `runs` runs, which follow the warm-up.

    `events` are those of a profile, with durations in microseconds.
    """
    taken: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            taken[event["name"].removesuffix("_kernel_time")].append(event["dur"] * 1e-6)
    values = {value.name for node in graph.nodes for value in node.outputs}
    found: dict[str, float] = defaultdict(float)
    for kernel, durations in taken.items():
        # A kernel in the body of a loop runs several times in a run.
        times_each = max(1, len(durations) // (runs + WARM_UP_RUNS))
        found[_value_of(kernel, graph, values)] += median(durations[-runs * times_each :]) * times_each
    return dict(found)


def _value_of(kernel: str, graph: Graph, values: set[str]) -> str:
    """The first output of the node that a kernel is named for, by itself or by its result."""
    name = _SUFFIX.sub("", kernel)
    index = Session.node_index(name)
    if index is not None:
        return str(graph.nodes[index].outputs[0].name)
    return name if name in values else ""
