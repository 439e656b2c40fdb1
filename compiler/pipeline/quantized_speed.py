"""Warn of a quantized model that is slower on the CPU than the same model in float.

onnxruntime computes with integers where it has a kernel for them. Around every other operator it converts integers to
float and back, which may cost more than the integer kernels save. How much that is depends on the processor, so it is
measured. The result is a warning only: no decision of a compile depends on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from vggc.analysis.costs import costs
from vggc.data import Dataset
from vggc.diagnostics import CompileError
from vggc.diagnostics.number_text import counted
from vggc.execution.latency import alternating_times, warm_up
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.graph.signature import fixed_batch, inputs_of
from vggc.operators.data_movement import SHAPE_READERS, moves
from vggc.operators.fusion import quantizer_ceiling
from vggc.operators.kernels import ONNXRUNTIME_INTEGER
from vggc.operators.quantizers import QUANTIZERS, is_quantizer
from vggc.passes.strip_qdq import strip_qdq
from vggc.pipeline.model import Pipeline
from vggc.quantization.candidates import is_for_cpu, placement_for

_LEAST_MACS = 5_000_000
"""Multiply-accumulate operations of one sample; smaller models take some 50 microseconds, most of it for calls."""

_SECONDS, _FEWEST, _MOST = 1.0, 3, 50

_CLEARLY = 1.1
"""The quantized model counts as slower when the ratio of the medians is at least this."""

_SHOWN = 3

_SUITED = ONNXRUNTIME_INTEGER.union(QUANTIZERS, SHAPE_READERS, ("Conv", "Gemm", "MatMul"))
"""Operators that cost no conversion between integers and float."""


def has_cpu_target(pipeline: Pipeline) -> bool:
    """Whether a target of a recipe is for a quantized model on onnxruntime's CPU provider."""
    targets = pipeline.destinations
    placements = [
        placement_for(targets, step.options["precision"], step.options.get("placement"))
        for step in pipeline.steps()
        if step.name == "quantize" and "precision" in step.options
    ]
    return bool(targets) and all(is_for_cpu(targets, placement) for placement in placements or ["onnxruntime"])


def speed_warnings(graph: Graph, data: Dataset | None) -> list[str]:
    """The warning for a quantized graph that runs slower than in float, if it does.

    One sample of `data` is run for about a second, or one batch where the model fixes its size. Without data, and for
    a small model, nothing is measured.
    """
    if data is None or not any(map(is_quantizer, graph.nodes)):
        return []
    macs = costs(graph).macs
    if macs is not None and macs < _LEAST_MACS:
        return []
    in_float = graph.copy()
    strip_qdq(in_float)
    in_float.tidy()
    inputs = inputs_of(graph)
    count = fixed_batch(inputs) or 1
    try:
        feeds = next(iter(data.fit(inputs).batches(count, count)))
        float_times, quantized_times = measured_times(in_float, graph, feeds)
    except CompileError as error:
        return [f"the speed of the quantized model could not be measured: {error.diagnostics[0].message}"]
    ratio = slowdown(float_times, quantized_times)
    if ratio is None:
        return []
    before, after = (1000 * float(np.median(each)) for each in (float_times, quantized_times))
    return [
        f"the quantized model takes {ratio:.2f} times as long as the same model in float with onnxruntime on this CPU: "
        f"{after:.3g} ms instead of {before:.3g} ms for {counted(count, 'sample')}; {_reason(graph)}"
    ]


def slowdown(float_times: Sequence[float], quantized_times: Sequence[float]) -> float | None:
    """How many times longer the quantized model takes, by the medians; None when it is not clearly slower.

    Clearly means by a tenth, and in three of four pairs of neighbouring runs, so that other load does not decide.
    """
    ratio = float(np.median(quantized_times) / np.median(float_times))
    pairs = np.divide(quantized_times, float_times)
    return ratio if ratio >= _CLEARLY and np.quantile(pairs, 0.25) > 1.0 else None


def float_operators(graph: Graph) -> Counter[str]:
    """How many nodes of each operator without an integer kernel in onnxruntime read or give quantized values.

    Convolutions and matrix products have one. Operators that only move numbers need none, nor do those that a
    QuantizeLinear behind them replaces.
    """
    found: Counter[str] = Counter()
    for node in graph.nodes:
        if node.op in _SUITED or moves(graph, node) or quantizer_ceiling(graph, node) is not None:
            continue
        readers = [reader for value in node.outputs for reader in graph.readers(value)]
        makers = [graph.producer(value) for value in node.inputs if value.name and graph.array(value) is None]
        reads = any(is_quantizer(each, "DequantizeLinear") for each in makers)
        if reads or any(is_quantizer(each, "QuantizeLinear") for each in readers):
            found[node.op] += 1
    return found


def _reason(graph: Graph) -> str:
    """What the time is lost on as far as the graph shows it, and what to do."""
    operators = float_operators(graph).most_common()
    advice = "keep it in float for this CPU, or measure the batch size that you use with `vggc bench`"
    if not operators:
        return advice
    shown = [f"{op} ({counted(count, 'node')})" for op, count in operators[:_SHOWN]]
    names = ", ".join(shown) + (f" and {len(operators) - _SHOWN} more operators" if len(operators) > _SHOWN else "")
    return f"it has no integer kernel for {names}, and converts to float and back around them; {advice}"


def measured_times(in_float: Graph, quantized: Graph, feeds: Feeds) -> list[list[float]]:
    """Seconds of runs of two models with the same inputs, which took turns: one list for each model."""
    sessions = [Session(each, optimise="all", spinning=True) for each in (in_float, quantized)]
    for session in sessions:
        warm_up(session, feeds, seconds=0.0)
    return alternating_times(sessions, feeds, seconds=_SECONDS, fewest=_FEWEST, most=_MOST)
