"""What a node with weights is as a plain matrix product."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64, Floats, Int64, is_float

WIDEST = 6144
"""The longest row whose covariance is taken whole; of longer ones, of parts that have each channel once."""


class Unsuitable(Exception):
    """Says why a node's weights cannot be read as a matrix."""


class AsMatrix(ABC):
    """A node whose constant weights are read and replaced as a matrix.

    blocks     independent products, side by side
    taps       positions of a patch; 1 for a matrix product
    channels   input channels of one block
    outputs    output channels of one block

    The node's input `data_index` has the activations, `weight_index` the weights.
    """

    data_index = 0
    weight_index = 1

    blocks: int
    taps: int
    channels: int
    outputs: int

    def __init__(self, graph: Graph, node: gs.Node) -> None:
        self.graph = graph
        self.node = node

    @property
    def width(self) -> int:
        """How long a row is."""
        return self.taps * self.channels

    @property
    def data(self) -> gs.Tensor:
        """The input with the activations."""
        return self.node.inputs[self.data_index]

    @property
    def weight(self) -> gs.Constant:
        """The weights."""
        value = self.node.inputs[self.weight_index]
        assert isinstance(value, gs.Constant)
        return value

    @abstractmethod
    def count(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        """How many rows an input and its output of these shapes have.

        The output may have more channels than the node makes. Both are shaped as they are in the model: (samples,
        channels, ...) for a convolution.
        """

    @abstractmethod
    def rows(self, x: Array, y_shape: tuple[int, ...], chosen: Int64 | None = None) -> Floats:
        """The rows of an input, (blocks, rows, width) in float32.

        `y_shape` is the shape of the node's output. `chosen` are the indices (rows,) of those that are wanted.
        """

    @abstractmethod
    def results(self, y: Array, chosen: Int64 | None = None) -> Floats:
        """An output, or anything like it with any number of channels, as (rows, channels) in float32."""

    @abstractmethod
    def channel_axis(self, rank: int) -> int:
        """Where an output of `rank` axes has its channels, counted from the end: -1 is the last axis."""

    @abstractmethod
    def matrix(self) -> Float64:
        """The weights as (blocks, width, outputs)."""

    @abstractmethod
    def bias(self) -> Float64:
        """One number for each output channel: (blocks * outputs,)."""

    @property
    @abstractmethod
    def has_bias(self) -> bool:
        """Whether a bias can be stored without another constant."""

    @property
    def bias_size(self) -> int:
        """How many numbers a constant has that stores a bias."""
        return self.blocks * self.outputs

    @abstractmethod
    def store_matrix(self, matrix: Float64) -> None:
        """Give the node other weights, (blocks, width, outputs)."""

    @abstractmethod
    def store_bias(self, bias: Float64) -> None:
        """Give the node another bias, (blocks * outputs,); one without gets one unless all of it is zero."""

    def store(self, matrix: Float64, bias: Float64) -> None:
        """Give the node other weights, (blocks, width, outputs), and another bias, (blocks * outputs,)."""
        self.store_matrix(matrix)
        self.store_bias(bias)

    def _constant(self, index: int) -> Array:
        value = self.node.inputs[index]
        array = self.graph.array(value)
        if array is None:
            producer = self.graph.producer(value)
            if producer is not None and producer.op == "DequantizeLinear":
                raise Unsuitable("its weights are quantized: do this before `quantize`, or behind `strip_qdq`")
            raise Unsuitable("its weights are computed: run `simplify` first")
        if not is_float(array.dtype):
            raise Unsuitable(f"its weights are {array.dtype}")
        return array

    def _replace(self, index: int, values: Float64, like: Array, name: str) -> None:
        with np.errstate(over="ignore"):
            rounded = np.ascontiguousarray(values.astype(like.dtype))
        constant = self.graph.constant(rounded, hint=name)
        if index < len(self.node.inputs):
            self.graph.set_input(self.node, index, constant)
        else:
            self.node.inputs.append(constant)
            self.graph.touch(self.node)
