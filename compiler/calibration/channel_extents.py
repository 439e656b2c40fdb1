"""The smallest and the largest number of each channel of some values, over all samples.

onnxruntime finds them itself, in nodes that are added to the graph, so that whole values never leave it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.calibration.samples import Samples, floating_outputs
from vggc.calibration.streams import stream
from vggc.data import Batch
from vggc.execution.intermediates import variables
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Array, Floats
from vggc.operators.activations import clamp_limits

_AXES_AS_INPUT = 18
"""The opset from which these operators have their axes as an input."""

_ALL = ("ReduceMin", "ReduceMax", "ReduceMean")
"""The mean is NaN or infinite when a number is; minimum and maximum may pass over NaN."""

_FROM_ZERO = ("ReduceMax",)
"""Behind a Relu the minimum is 0. NaN in its result is found in the model's outputs, which it reaches."""


@dataclass(frozen=True)
class ChannelExtents:
    """The smallest and the largest number of each channel (axis 1): `lows` and `highs`, (channels,) in float32.

    Both have one number for all channels of a value of one axis, and where the number of channels changes.
    """

    lows: Floats
    highs: Floats

    @property
    def low(self) -> float:
        return float(self.lows.min())

    @property
    def high(self) -> float:
        return float(self.highs.max())

    @property
    def bound(self) -> float:
        """The largest magnitude."""
        return max(abs(self.low), abs(self.high))

    @property
    def magnitudes(self) -> Floats:
        """The largest magnitude of each channel, (channels,)."""
        return np.maximum(np.abs(self.lows), np.abs(self.highs))

    def joined(self, other: ChannelExtents) -> ChannelExtents:
        """Of all numbers that either was found on."""
        if self.lows.shape != other.lows.shape:
            return self._one().joined(other._one())
        return ChannelExtents(np.minimum(self.lows, other.lows), np.maximum(self.highs, other.highs))

    def _one(self) -> ChannelExtents:
        return ChannelExtents(np.array([self.low], np.float32), np.array([self.high], np.float32))

    def scaled(self, factors: Floats) -> ChannelExtents:
        """The extents after each channel was multiplied by a positive factor, (channels,)."""
        return ChannelExtents(np.asarray(self.lows * factors, np.float32), np.asarray(self.highs * factors, np.float32))


class ExtentProbe:
    """Finds the extents of values, batch by batch, with nodes in a copy of the graph.

    graph    the copy, which computes `outputs` beside all that the original computes
    outputs  the names of what `take` needs
    """

    def __init__(self, graph: Graph, values: Iterable[gs.Tensor]) -> None:
        self._original = graph
        self._values = {value.name: value for value in values}
        self.graph = graph.copy()
        computed = variables(self.graph)
        self._reduced = {name: _reduced(self.graph, computed[name]) for name in self._values if name in computed}
        self._ends = {
            name: _reduce(self.graph, computed[name], "ReduceMean", None) for name in floating_outputs(self.graph)
        }
        reduced = dict.fromkeys(each for group in self._reduced.values() for each in group.values())
        self.outputs = [*reduced, *self._ends.values()]
        self._found: dict[str, ChannelExtents] = {}
        self._suspects: set[str] = set()

    def run(self, samples: Samples) -> None:
        """Take in all batches of samples."""
        session = Session(self.graph, self.outputs, optimise="all")
        for batch in samples:
            self.take(batch, session.run({each.name: batch[each.name] for each in session.inputs}))

    def take(self, batch: Batch, results: Batch) -> None:
        """Take in a batch, whose `outputs` are among the results."""
        self._suspects.update(name for name, mean in self._ends.items() if not np.isfinite(results[mean]))
        for name in self._values:
            if name in self._reduced:
                of = {op: np.atleast_1d(results[each]) for op, each in self._reduced[name].items()}
                high = np.asarray(of["ReduceMax"], np.float32)
                extents = ChannelExtents(np.asarray(of.get("ReduceMin", np.zeros_like(high)), np.float32), high)
                finite = np.isfinite(of.get("ReduceMean", high)).all()
            else:
                extents = _of_array(batch[name])
                finite = np.isfinite(extents.magnitudes).all()
            if not finite:
                self._suspects.add(name)
            self._found[name] = self._found[name].joined(extents) if name in self._found else extents

    def checked(self, samples: Samples) -> dict[str, ChannelExtents]:
        """The extents by name, of `samples`, which have been taken in.

        Raises CompileError for NaN and infinite numbers.
        """
        if self._suspects:
            # The sum behind a mean may overflow although all numbers are finite.
            ends = [each for each in self._original.outputs if each.name in self._suspects]
            for _ in stream(self._original, [*self._values.values(), *ends], samples):
                pass
        return self._found


def _reduced(graph: Graph, value: gs.Variable) -> dict[str, str]:
    """The names of the minimum, maximum and mean of each channel of a value, by operators; new nodes compute them."""
    rank = graph.rank(value)
    axes = None if rank is None or rank < 2 else [0, *range(2, rank)]
    node = graph.producer(value)
    limits = None if node is None else clamp_limits(graph, node)
    operators = _FROM_ZERO if limits is not None and limits[0] == 0 else _ALL
    return {op: _reduce(graph, value, op, axes) for op in operators}


def _reduce(graph: Graph, value: gs.Variable, op: str, axes: list[int] | None) -> str:
    inputs: list[gs.Tensor] = [value]
    if graph.dtype(value) not in (None, np.dtype(np.float32)):
        inputs = [graph.add("Cast", inputs, {"to": onnx.TensorProto.FLOAT}).outputs[0]]
    attributes: dict[str, Any] = {"keepdims": 0}
    if axes is not None and graph.opset >= _AXES_AS_INPUT:
        inputs.append(graph.constant(np.array(axes, np.int64), "axes"))
    elif axes is not None:
        attributes["axes"] = axes
    return str(graph.add(op, inputs, attributes).outputs[0].name)


def _of_array(array: Array) -> ChannelExtents:
    given = np.asarray(array, np.float32)
    axes = (0, *range(2, given.ndim)) if given.ndim > 1 else None
    return ChannelExtents(np.atleast_1d(given.min(axis=axes)), np.atleast_1d(given.max(axis=axes)))
