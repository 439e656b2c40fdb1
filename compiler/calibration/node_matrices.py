"""Nodes with weights as plain matrix products: rows of inputs times a matrix gives rows of outputs.

A convolution's row is the patch that one output position sees. With B blocks (a grouped convolution; 1 otherwise),
rows are (B, rows, taps * channels), the matrix is (B, taps * channels, outputs): column `tap * channels + c` of a row
belongs to channel `c` of the block, and output `o` of block `b` is output channel `b * outputs + o`.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_graphsurgeon as gs

from vggc.calibration.added_bias import add_bias, added_bias
from vggc.calibration.einsum_matrix import EinsumMatrix
from vggc.calibration.matrix import AsMatrix, Unsuitable
from vggc.calibration.recurrent_matrix import RecurrentMatrix
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64, Floats, Int64
from vggc.graph.domains import is_standard
from vggc.operators.roles import CONVOLUTIONS, MATRIX_PRODUCTS, RECURRENT, bias_of, group_count


class SlidingMatrix(AsMatrix):
    """Conv and ConvTranspose of any rank.

    A transposed convolution is the convolution of its input with zeros between the samples, its kernel turned round.
    """

    def __init__(self, graph: Graph, node: gs.Node) -> None:
        super().__init__(graph, node)
        self.transposed = node.op == "ConvTranspose"
        weights = self._constant(1)
        if bias_of(node) is not None:
            self._constant(2)
        spatial = weights.ndim - 2
        self.blocks = group_count(node)
        self.kernel = tuple(weights.shape[2:])
        self.taps = math.prod(self.kernel)
        first, second = weights.shape[:2]
        own = (first // self.blocks, second) if self.transposed else (second, first // self.blocks)
        self.channels, self.outputs = own
        self.strides = [int(each) for each in node.attrs.get("strides") or [1] * spatial]
        self.dilations = [int(each) for each in node.attrs.get("dilations") or [1] * spatial]

    def count(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        return y_shape[0] * math.prod(y_shape[2:])

    def rows(self, x: Array, y_shape: tuple[int, ...], chosen: Int64 | None = None) -> Floats:
        size = y_shape[2:]
        where = np.arange(len(x) * math.prod(size)) if chosen is None else chosen
        sample, *at = np.unravel_index(where, (len(x), *size))
        given, strides, before = self._grid(np.asarray(x), size)
        corner = [each * stride - pad for each, stride, pad in zip(at, strides, before, strict=True)]
        result = np.empty((self.blocks, len(where), self.taps, self.channels), np.float32)
        for tap, offset in enumerate(np.ndindex(*self.kernel)):
            place = [start + step * apart for start, step, apart in zip(corner, offset, self.dilations, strict=True)]
            inside = np.logical_and.reduce([(p >= 0) & (p < n) for p, n in zip(place, given.shape[2:], strict=True)])
            nearest = [np.clip(p, 0, n - 1) for p, n in zip(place, given.shape[2:], strict=True)]
            found = given[(sample, slice(None), *nearest)]
            if not inside.all():
                found[~inside] = 0
            result[:, :, tap] = found.reshape(len(where), self.blocks, self.channels).transpose(1, 0, 2)
        return result.reshape(self.blocks, len(where), self.width)

    def _grid(self, x: Array, size: tuple[int, ...]) -> tuple[Array, list[int], list[int]]:
        """The input that patches are cut out of, with channels second; their stride, and the padding in front.

        What lies outside of it is zero.
        """
        reach = [(k - 1) * d for k, d in zip(self.kernel, self.dilations, strict=True)]
        if not self.transposed:
            return x, self.strides, self._pads_before(x.shape[2:], size, reach)
        given = x.shape[2:]
        dense = [(n - 1) * stride + 1 for n, stride in zip(given, self.strides, strict=True)]
        spread = np.zeros((*x.shape[:2], *dense), x.dtype)
        spread[(slice(None), slice(None), *(slice(None, None, stride) for stride in self.strides))] = x
        # Output position o sees the dense input from o + front - reach to o + front.
        front = self._crops_before(dense, size, reach)
        return spread, [1] * len(size), [far - crop for far, crop in zip(reach, front, strict=True)]

    def _pads_before(self, given: tuple[int, ...], size: tuple[int, ...], reach: list[int]) -> list[int]:
        automatic = self.node.attrs.get("auto_pad", "NOTSET")
        if automatic in ("NOTSET", ""):
            return [int(each) for each in self.node.attrs.get("pads") or [0] * 2 * len(size)][: len(size)]
        if automatic == "VALID":
            return [0] * len(size)
        needed = [
            max(0, (out - 1) * stride + far + 1 - n)
            for out, stride, far, n in zip(size, self.strides, reach, given, strict=True)
        ]
        return [each // 2 if automatic == "SAME_UPPER" else each - each // 2 for each in needed]

    def _crops_before(self, dense: list[int], size: tuple[int, ...], reach: list[int]) -> list[int]:
        automatic = self.node.attrs.get("auto_pad", "NOTSET")
        explicit = self.node.attrs.get("output_shape")
        if automatic in ("NOTSET", "") and not explicit:
            return [int(each) for each in self.node.attrs.get("pads") or [0] * 2 * len(size)][: len(size)]
        if automatic == "VALID":
            return [0] * len(size)
        extra = self.node.attrs.get("output_padding") or [0] * len(size)
        total = [n + far + int(more) - out for n, far, more, out in zip(dense, reach, extra, size, strict=True)]
        return [each // 2 if automatic == "SAME_UPPER" else each - each // 2 for each in total]

    def results(self, y: Array, chosen: Int64 | None = None) -> Floats:
        given = np.asarray(y, np.float32)
        if chosen is None:
            return np.moveaxis(given, 1, -1).reshape(-1, y.shape[1])
        sample, *at = np.unravel_index(chosen, (len(y), *y.shape[2:]))
        return np.asarray(np.moveaxis(given, 1, -1)[(sample, *at)])

    def channel_axis(self, rank: int) -> int:
        return 1 - rank

    def matrix(self) -> Float64:
        weights = self._constant(1).astype(np.float64)
        if self.transposed:
            # (blocks * channels, outputs, taps), the last tap first.
            own = weights.reshape(self.blocks, self.channels, self.outputs, self.taps)[..., ::-1]
            return own.transpose(0, 3, 1, 2).reshape(self.blocks, self.width, self.outputs)
        own = weights.reshape(self.blocks, self.outputs, self.channels, self.taps)
        return own.transpose(0, 3, 2, 1).reshape(self.blocks, self.width, self.outputs)

    def bias(self) -> Float64:
        if self.has_bias:
            return self._constant(2).astype(np.float64)
        return np.zeros(self.blocks * self.outputs)

    @property
    def has_bias(self) -> bool:
        return bias_of(self.node) is not None

    def store_matrix(self, matrix: Float64) -> None:
        old = self._constant(1)
        own = matrix.reshape(self.blocks, self.taps, self.channels, self.outputs)
        values = own[:, ::-1].transpose(0, 2, 3, 1) if self.transposed else own.transpose(0, 3, 2, 1)
        self._replace(1, values.reshape(old.shape), old, self.node.inputs[1].name)

    def store_bias(self, bias: Float64) -> None:
        if len(self.node.inputs) > 2 or bias.any():
            self._replace(2, bias, self._constant(1), f"{self.node.name or self.node.outputs[0].name}_bias")


class ProductMatrix(AsMatrix):
    """Gemm, and MatMul with one constant matrix on either side."""

    def __init__(self, graph: Graph, node: gs.Node) -> None:
        super().__init__(graph, node)
        self.blocks = self.taps = 1
        self.gemm = node.op == "Gemm"
        self.left = not self.gemm and graph.array(node.inputs[0]) is not None
        if self.left:
            self.data_index, self.weight_index = 1, 0
        weights = self._constant(self.weight_index)
        if weights.ndim != 2:
            raise Unsuitable("its weights are not a matrix")
        if bias_of(node) is not None:
            addend = self._constant(2)
            if addend.ndim > 2 or (addend.ndim == 2 and addend.shape[0] != 1):
                raise Unsuitable("what it adds differs from row to row")
        # As stored: (inputs, outputs), unless the weights stand on the left or are transposed.
        self.turned = self.left or bool(self.gemm and node.attrs.get("transB", 0))
        self.channels, self.outputs = weights.shape[::-1] if self.turned else weights.shape
        self.adder = None if self.gemm or self.left else added_bias(graph, node.outputs[0], self.outputs)

    def count(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        return math.prod(y_shape) // y_shape[-2 if self.left else -1]

    def rows(self, x: Array, y_shape: tuple[int, ...], chosen: Int64 | None = None) -> Floats:
        given: Floats = np.asarray(x, np.float32)
        if self.gemm and self.node.attrs.get("transA", 0):
            given = given.T
        flat = (np.moveaxis(given, -2, -1) if self.left else given).reshape(-1, self.channels)
        return np.ascontiguousarray(flat if chosen is None else flat[chosen])[None]

    def results(self, y: Array, chosen: Int64 | None = None) -> Floats:
        given: Floats = np.asarray(y, np.float32)
        turned = np.moveaxis(given, -2, -1) if self.left else given
        flat = turned.reshape(-1, turned.shape[-1])
        return flat if chosen is None else flat[chosen]

    def channel_axis(self, rank: int) -> int:
        return -2 if self.left else -1

    def matrix(self) -> Float64:
        weights = self._constant(self.weight_index).astype(np.float64)
        if self.gemm:
            weights *= float(self.node.attrs.get("alpha", 1.0))
        return (weights.T if self.turned else weights)[None]

    def bias(self) -> Float64:
        """Of a MatMul without an Add, zeros: the Add behind it is not counted, so that results stay the node's own."""
        if bias_of(self.node) is not None:
            beta = float(self.node.attrs.get("beta", 1.0))
            return np.broadcast_to(beta * self._constant(2).astype(np.float64).reshape(-1), (self.outputs,)).copy()
        return np.zeros(self.outputs)

    @property
    def has_bias(self) -> bool:
        return bias_of(self.node) is not None or self.adder is not None

    def store_matrix(self, matrix: Float64) -> None:
        values = matrix[0].T if self.turned else matrix[0]
        if self.gemm and self.node.attrs.get("alpha", 1.0) != 1.0:
            self.node.attrs["alpha"] = 1.0
        self._replace(self.weight_index, values, self._constant(self.weight_index), self.weight.name)

    def store_bias(self, bias: Float64) -> None:
        like = self._constant(self.weight_index)
        name = f"{self.node.name or self.node.outputs[0].name}_bias"
        if self.gemm:
            if len(self.node.inputs) > 2 or bias.any():
                self.node.attrs["beta"] = 1.0
                self._replace(2, bias, like, name)
        elif self.adder is not None:
            self.adder.increase(bias, name)
        elif bias.any():
            add_bias(self.graph, self.node, bias.astype(like.dtype), behind=int(self.left), name=name)


def as_matrix(graph: Graph, node: gs.Node) -> AsMatrix:
    """A node's weights as a matrix. Raises Unsuitable, with the reason, for a node that has none."""
    if not is_standard(node):
        raise Unsuitable(f"it is an operator of `{node.domain}`")
    if node.op in CONVOLUTIONS:
        return SlidingMatrix(graph, node)
    if node.op in MATRIX_PRODUCTS:
        return ProductMatrix(graph, node)
    if node.op == "Einsum":
        return EinsumMatrix(graph, node)
    if node.op in RECURRENT:
        return RecurrentMatrix(graph, node)
    raise Unsuitable(f"{node.op} is not a product of data and weights")
