"""The part of a recurrent operator that its inputs go through before any state does: a plain matrix product.

Each step of an LSTM, GRU or RNN adds W x, for its input x, to what it makes of its state. W x is not a value of the
graph: what it should be follows from the inputs and the weights of the original.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_graphsurgeon as gs

from vggc.calibration.matrix import AsMatrix, Unsuitable
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64, Floats, Int64
from vggc.operators.roles import optional_input

_BIAS = 3


class RecurrentMatrix(AsMatrix):
    """W (directions, gates * hidden, inputs) as one matrix: the outputs are the gates of all directions."""

    def __init__(self, graph: Graph, node: gs.Node) -> None:
        super().__init__(graph, node)
        weights = self._constant(1)
        if weights.ndim != 3:
            raise Unsuitable("its weights do not have the three axes of a recurrent operator's")
        if optional_input(node, _BIAS) is not None:
            self._constant(_BIAS)
        self.blocks = self.taps = 1
        self.directions, self.gates, self.channels = weights.shape
        self.outputs = self.directions * self.gates

    def count(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        return math.prod(x_shape) // self.channels

    def rows(self, x: Array, y_shape: tuple[int, ...], chosen: Int64 | None = None) -> Floats:
        flat = np.asarray(x, np.float32).reshape(-1, self.channels)
        return np.ascontiguousarray(flat if chosen is None else flat[chosen])[None]

    def results(self, y: Array, chosen: Int64 | None = None) -> Floats:
        """What W and its bias make of `y`, which is an input of the node: no value of the graph has the result."""
        rows = self.rows(y, y.shape, chosen)[0]
        found: Floats = rows @ self.matrix()[0].astype(np.float32) + self.bias().astype(np.float32)
        return found

    def channel_axis(self, rank: int) -> int:
        raise Unsuitable("its results are not those of its weights alone")

    def matrix(self) -> Float64:
        return self._constant(1).astype(np.float64).reshape(1, self.outputs, self.channels).swapaxes(1, 2)

    def bias(self) -> Float64:
        """The part of B (directions, 2 * gates * hidden) that belongs to W."""
        if not self.has_bias:
            return np.zeros(self.outputs)
        return self._constant(_BIAS).astype(np.float64)[:, : self.gates].reshape(-1)

    @property
    def has_bias(self) -> bool:
        return optional_input(self.node, _BIAS) is not None

    @property
    def bias_size(self) -> int:
        """With the part that belongs to the state."""
        return 2 * self.outputs

    def store_matrix(self, matrix: Float64) -> None:
        old = self._constant(1)
        self._replace(1, matrix[0].T.reshape(old.shape), old, self.node.inputs[1].name)

    def store_bias(self, bias: Float64) -> None:
        like = self._constant(1)
        if self.has_bias:
            both = self._constant(_BIAS).astype(np.float64)
        elif bias.any():
            both = np.zeros((self.directions, 2 * self.gates))
        else:
            return
        both[:, : self.gates] = bias.reshape(self.directions, self.gates)
        self._replace(_BIAS, both, like, f"{self.node.name or self.node.outputs[0].name}_bias")
