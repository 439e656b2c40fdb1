"""An Einsum of data and a constant matrix as a plain matrix product."""

from __future__ import annotations

import math

import numpy as np
import onnx_graphsurgeon as gs

from vggc.calibration.added_bias import add_bias, added_bias
from vggc.calibration.matrix import AsMatrix, Unsuitable
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64, Floats, Int64
from vggc.operators.equations import equation


class EinsumMatrix(AsMatrix):
    """Einsum with a constant matrix, one axis of which it sums over and the other of which is new: `bchw,oc->bohw`.

    The other axes of the data are those of the result, in the same order.
    """

    def __init__(self, graph: Graph, node: gs.Node) -> None:
        super().__init__(graph, node)
        found = equation(node)
        constant = [index for index, value in enumerate(node.inputs) if isinstance(value, gs.Constant)]
        if found is None or len(node.inputs) != 2 or len(constant) != 1:
            raise Unsuitable("its equation is not a product of data and a constant matrix")
        self.weight_index, self.data_index = constant[0], 1 - constant[0]
        summed, made = found.summed(self.weight_index), found.made(self.weight_index)
        weights, data = found.operands[self.weight_index], found.operands[self.data_index]
        if sorted(weights) != sorted([*summed, *made]) or len(summed) != 1 or len(made) != 1:
            raise Unsuitable("its weights are not a matrix that it multiplies one axis by")
        if data.replace(summed[0], "") != found.result.replace(made[0], ""):
            raise Unsuitable("the axes of its result are in another order than those of its data")
        self.blocks = self.taps = 1
        self.turned = weights[0] == made[0]
        shape = self._constant(self.weight_index).shape
        self.channels, self.outputs = shape[::-1] if self.turned else shape
        self.data_axis, self.result_axis = data.index(summed[0]), found.result.index(made[0])
        self.behind = len(found.result) - 1 - self.result_axis
        self.adder = added_bias(graph, node.outputs[0], self.outputs, self.behind)

    def count(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        return math.prod(y_shape) // y_shape[self.result_axis]

    def rows(self, x: Array, y_shape: tuple[int, ...], chosen: Int64 | None = None) -> Floats:
        flat = np.moveaxis(np.asarray(x, np.float32), self.data_axis, -1).reshape(-1, self.channels)
        return np.ascontiguousarray(flat if chosen is None else flat[chosen])[None]

    def results(self, y: Array, chosen: Int64 | None = None) -> Floats:
        flat = np.moveaxis(np.asarray(y, np.float32), self.result_axis, -1).reshape(-1, y.shape[self.result_axis])
        return flat if chosen is None else flat[chosen]

    def channel_axis(self, rank: int) -> int:
        return -1 - self.behind

    def matrix(self) -> Float64:
        weights = self._constant(self.weight_index).astype(np.float64)
        return (weights.T if self.turned else weights)[None]

    def bias(self) -> Float64:
        """Zeros: an Add behind it is not counted, so that results stay the node's own."""
        return np.zeros(self.outputs)

    @property
    def has_bias(self) -> bool:
        return self.adder is not None

    def store_matrix(self, matrix: Float64) -> None:
        values = matrix[0].T if self.turned else matrix[0]
        self._replace(self.weight_index, values, self._constant(self.weight_index), self.weight.name)

    def store_bias(self, bias: Float64) -> None:
        name = f"{self.node.name or self.node.outputs[0].name}_bias"
        if self.adder is not None:
            self.adder.increase(bias, name)
        elif bias.any():
            like = self._constant(self.weight_index)
            add_bias(self.graph, self.node, bias.astype(like.dtype), behind=self.behind, name=name)
