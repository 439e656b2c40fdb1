"""Measure where the compiled model differs from the model as read, value by value, for the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.diff.value_matches import match
from vggc.execution.array_distance import has_fractions
from vggc.execution.intermediates import fetch, in_chunks
from vggc.graph import Graph
from vggc.graph.arrays import Array, Feeds, Float64, Int64
from vggc.graph.signature import type_text
from vggc.operators.quantizers import is_quantizer
from vggc.report.measured import Quantizer, ValueAccuracy
from vggc.report.record import StepRecord

_BINS = 48
_EQUALIZED = 0.25
"""Channels count as rescaled when this explains the difference but for a smaller share."""

_CLIPPED = 1e-4
"""A smaller share of clipped numbers is not worth a word."""

Steps = Sequence[StepRecord]


def value_accuracy(
    before: Graph, after: Graph, feeds: tuple[Feeds, Feeds], steps: Steps
) -> tuple[tuple[ValueAccuracy, ...], dict[str, Quantizer]]:
    """All values that both models compute, in the order of the compiled one, and its quantized values by name.

    `feeds` are the same samples as each model takes them. Values are matched as `vggc diff` does; of a pruned value,
    the channels that are left are compared. Raises CompileError when a model does not run.
    """
    kept = channels_left(after, steps)
    quantized = {node.inputs[0].name: node for node in after.nodes if is_quantizer(node, "QuantizeLinear")}
    matching = match(before, after)
    twins = {second: first for first, second, _ in matching.values}
    noise: dict[str, float] = {}
    quantizers: dict[str, Quantizer] = {}
    wanted = [
        value.name
        for node in after.nodes
        for value in node.outputs
        if value.name and (value.name in twins or value.name in quantized)
    ]
    ends = [value.name for value in after.inputs if value.name in quantized]
    for names in in_chunks(after, [*ends, *wanted], feeds[1]):
        got = {**{name: feeds[1][name] for name in names if name in feeds[1]}, **fetch(after, names, feeds[1])}
        expected = fetch(before, [twins[name] for name in names if name in twins], feeds[0])
        for name in names:
            if name in quantized and (found := _quantizer(after, quantized[name], got.get(name))) is not None:
                quantizers[name] = found
            share = _noise(expected.get(twins.get(name, "")), got.get(name), kept.get(name))
            if share is not None:
                noise[name] = share
    return tuple(_values(after, noise, quantizers, steps)), quantizers


def channels_left(graph: Graph, steps: Steps) -> dict[str, Int64]:
    """By value of the compiled model: the channels of the model as read that are left, for those that lost some.

    Steps say it of the nodes that lost channels. What follows them has the same channels where it has as many.
    """
    of_node: dict[str, Int64] = {}
    for step in steps:
        for name, left in ({} if step.undone else step.channels).items():
            of_node[name] = of_node[name][left] if name in of_node else np.array(left, np.int64)
    found: dict[str, Int64] = {}
    for node in graph.nodes:
        sources = [found[each.name] for each in node.inputs if each.name in found]
        channels = of_node.get(node.name, sources[0] if sources else None)
        if channels is None:
            continue
        for value in node.outputs:
            shape = graph.shape(value)
            if shape is not None and len(shape) > 1 and shape[1] == len(channels):
                found[value.name] = channels
    return found


def _noise(expected: Any, got: Any, left: Int64 | None) -> float | None:
    """sum (a - b)² / sum a² of two arrays of floats; None when they cannot be compared.

    Channels that were only multiplied by a number each, as equalization does it, count as equal.
    """
    if not isinstance(expected, np.ndarray) or not isinstance(got, np.ndarray):
        return None
    if not has_fractions(expected.dtype) or not has_fractions(got.dtype):
        return None
    if left is not None and expected.ndim > 1 and expected.shape[1] > int(left.max()):
        expected = expected[:, left]
    if expected.shape != got.shape or not expected.size:
        return None
    first, second = expected.astype(np.float64), got.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        signal, difference = float(np.square(first).sum()), float(np.square(first - second).sum())
        rescaled = _rescaled(first, second)
        # Equalization multiplies the channels of a value by numbers that the next node divides by.
        residual = float(np.square(first - rescaled).sum())
        difference = residual if residual < _EQUALIZED * difference else difference
    if not math.isfinite(signal) or not math.isfinite(difference):
        return None
    return difference / signal if signal else float(difference > 0)


def _rescaled(first: Float64, second: Float64) -> Float64:
    """`second`, each channel (axis 1) multiplied by the number that brings it nearest to `first`."""
    if first.ndim < 2:
        return second
    axes = tuple(axis for axis in range(first.ndim) if axis != 1)
    power = np.square(second).sum(axis=axes, keepdims=True)
    factors = (first * second).sum(axis=axes, keepdims=True) / np.where(power > 0, power, 1.0)
    rescaled: Float64 = second * np.maximum(factors, 0.0)
    return rescaled


def _quantizer(graph: Graph, node: gs.Node, values: Any) -> Quantizer | None:
    """How a QuantizeLinear to integers fits the numbers of its input; None for other types and changing scales."""
    scale = graph.array(node.inputs[1])
    zero = graph.array(node.inputs[2]) if len(node.inputs) > 2 else np.zeros((), np.uint8)
    if scale is None or zero is None or not isinstance(values, np.ndarray) or not values.size:
        return None
    limits = _integer_limits(zero)
    floats = values.astype(np.float32)
    if limits is None or not np.isfinite(floats).all():
        return None
    low, high = (((limit - zero.astype(np.float64)) * scale.astype(np.float64)) for limit in limits)
    axis = int(node.attrs.get("axis", 1)) if scale.ndim == 1 and scale.size > 1 else None
    if axis is not None:
        places = [1] * values.ndim
        places[axis] = scale.size
        low, high = low.reshape(places), high.reshape(places)
    elif scale.size > 1:
        return None
    half = scale.max() / 2
    outside = np.count_nonzero((floats < low - half) | (floats > high + half)) / floats.size
    counts, _ = np.histogram(floats, _BINS)
    return Quantizer(
        low=float(floats.min()),
        high=float(floats.max()),
        scale=float(scale.max()),
        clipped=float(outside),
        limits=(float(np.min(low)), float(np.max(high))),
        histogram=tuple(map(int, counts)),
    )


def _integer_limits(zero: Array) -> tuple[int, int] | None:
    import ml_dtypes

    if zero.dtype.kind in "iu":
        return int(np.iinfo(zero.dtype).min), int(np.iinfo(zero.dtype).max)
    if "int" in zero.dtype.name:
        info: Any = ml_dtypes.iinfo
        return int(info(zero.dtype).min), int(info(zero.dtype).max)
    return None


def _values(
    graph: Graph, noise: Mapping[str, float], quantizers: Mapping[str, Quantizer], steps: Steps
) -> list[ValueAccuracy]:
    found = []
    reached: dict[str, float] = {}
    """the noise of each value; one that the model as read does not have carries that of its inputs"""
    pruned = _channels_removed(steps)
    for node in graph.nodes:
        before = max((reached.get(each.name, 0.0) for each in node.inputs), default=0.0)
        for value in node.outputs:
            reached[value.name] = noise.get(value.name, before)
            if value.name in noise:
                share = noise[value.name]
                sqnr = None if share == 0 else -10 * math.log10(share)
                lost = max(0.0, share - before)
                causes = _causes(graph, node, quantizers, pruned) if lost else ()
                found.append(ValueAccuracy(value.name, node.name or value.name, sqnr, lost, causes))
    return found


def _channels_removed(steps: Steps) -> dict[str, str]:
    """By node: the steps that have removed some of its output channels, in words."""
    found: dict[str, str] = {}
    for step in steps:
        for name, left in ({} if step.undone else step.channels).items():
            found[name] = f"{step.name} ({step.line}) left {len(left)} of its channels"
    return found


def _causes(
    graph: Graph, node: gs.Node, quantizers: Mapping[str, Quantizer], pruned: Mapping[str, str]
) -> tuple[str, ...]:
    """What of a node can explain its error: quantized inputs and weights, a coarse type, channels that went."""
    causes = [pruned[node.name]] if node.name in pruned else []
    for value in node.inputs:
        reader = graph.producer(value)
        source = reader.inputs[0] if is_quantizer(reader, "DequantizeLinear") else None
        if source is None:
            if reader is not None and reader.name in pruned:
                causes.append(f"fewer inputs: {pruned[reader.name]}")
            continue
        kind = graph.dtype(source)
        name = "?" if kind is None else type_text(kind)
        maker = graph.producer(source)
        if maker is None:
            causes.append(f"weights `{source.name}` in {name}")
            continue
        quantizer = quantizers.get(maker.inputs[0].name)
        clipped = (
            "" if quantizer is None or quantizer.clipped < _CLIPPED else f", {100 * quantizer.clipped:.2g} % clipped"
        )
        step = "" if quantizer is None else f" in steps of {quantizer.scale:.2g}"
        causes.append(f"input `{maker.inputs[0].name}` in {name}{step}{clipped}")
    kind = graph.dtype(node.outputs[0])
    if kind is not None and has_fractions(kind) and kind.itemsize < 4:
        causes.append(f"computes in {type_text(kind)}")
    return tuple(causes)
