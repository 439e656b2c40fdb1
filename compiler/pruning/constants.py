"""Channels that have one number for every input: what a node that reads them makes of it is a bias.

Where a convolution pads its image, the border sees zeros instead of that number: the bias is then a map over the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels import Channels
from vggc.analysis.folding.border import border_map, is_padded, map_sizes
from vggc.calibration.matrix import AsMatrix, Unsuitable
from vggc.calibration.node_matrices import SlidingMatrix, as_matrix
from vggc.graph import Graph
from vggc.graph.arrays import Bools, Float64, Int64
from vggc.pruning.statistics import shift


@dataclass(frozen=True, eq=False)
class Absorbed:
    """What is to be added to the results of a node: (outputs,), or (outputs, height, ...) where it differs by place."""

    node: gs.Node
    amount: Float64

    def store(self, graph: Graph, kept: Int64 | None) -> None:
        """Add it; `kept`, (outputs left,), are the outputs that the node still has, None when it has all."""
        amount = self.amount if kept is None else self.amount[kept]
        product = as_matrix(graph, self.node)
        if amount.ndim == 1:
            shift(graph, product, product.bias() + amount)
            return
        value = self.node.outputs[0]
        dtype = graph.dtype(value)
        inner = gs.Variable(graph.fresh_name(f"{value.name}_inner"), value.dtype, value.shape)
        self.node.outputs = [inner]
        border = graph.constant(amount[np.newaxis].astype(dtype), hint=f"{self.node.name or value.name}_border")
        graph.add("Add", [inner, border], output=value)


class SummingReader:
    """A node that sums over channels of a value, and what it can take into its bias.

    `largest` are the bytes that a map over an image may take.
    """

    def __init__(self, graph: Graph, node: gs.Node, index: int, channels: Channels, largest: int) -> None:
        self.graph = graph
        self.node = node
        self.channels = channels
        self.product: AsMatrix | None = None
        self._image: list[int] | None = None
        try:
            found = as_matrix(graph, node)
        except Unsuitable as reason:
            self.refused: str | None = str(reason)
            return
        if node.inputs.index(found.data) != index:
            self.refused = "the channels are not those of its data"
            return
        self.product, self.refused = found, self._refusal(found, largest)

    def _refusal(self, product: AsMatrix, largest: int) -> str | None:
        """Why a constant input cannot become a bias; None when it can."""
        if not isinstance(product, SlidingMatrix):
            return None
        if product.transposed:
            return "the border of a transposed convolution receives less of it"
        if not is_padded(self.node):
            return None
        shape = self.graph.shape(product.data) or []
        image = [each for each in shape[2:] if isinstance(each, int)]
        if len(image) < len(product.kernel):
            return "it pads an image of unknown size"
        size = product.blocks * product.outputs * math.prod(map_sizes(self.node, product.kernel, image))
        dtype = self.graph.dtype(self.node.outputs[0])
        if dtype is None or size * dtype.itemsize > largest:
            return f"what that adds at the border of the image it pads takes more than {largest} bytes"
        self._image = image
        return None

    @property
    def ignored(self) -> Bools:
        """For each channel, (channels,), whether all weights that it meets are zero."""
        if self.product is None:
            return np.zeros(len(self.channels), bool)
        matrix = self.product.matrix().reshape(self.product.blocks, self.product.taps, self.product.channels, -1)
        return np.asarray(~matrix.any(axis=(1, 3)).reshape(-1))

    def absorb(self, numbers: Float64) -> Absorbed:
        """What the node adds to its results for constant channels.

        `numbers`, (channels,), are the number of each constant channel, and 0 for the others.
        """
        assert self.product is not None
        product = self.product
        matrix = product.matrix().reshape(product.blocks, product.taps, product.channels, product.outputs)
        response = np.einsum("btco,bc->bot", matrix, numbers.reshape(product.blocks, product.channels))
        response = response.reshape(product.blocks * product.outputs, product.taps)
        if self._image is not None and isinstance(product, SlidingMatrix):
            found = border_map(self.node, response.reshape(-1, *product.kernel), self._image)
            flat = found.reshape(len(found), -1)
            return Absorbed(self.node, flat[:, 0] if (flat == flat[:, :1]).all() else found)
        return Absorbed(self.node, response.sum(axis=1))
