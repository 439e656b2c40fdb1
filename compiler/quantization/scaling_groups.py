"""Which channels can be multiplied by a number each without changing what the model computes.

    Conv(Relu(Conv(x, w1, b1)), w2) = Conv(Relu(Conv(x, s * w1, s * b1)), w2 / s)        s > 0, one a channel

Between a product that makes channels and those that read them lie only operators of which f(s * x) = s * f(x).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.union_find import UnionFind
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.domains import is_standard
from vggc.graph.node_order import reads
from vggc.operators.activations import SCALABLE, clamp_limits
from vggc.operators.data_movement import FLATTENERS, pads_with_zero
from vggc.operators.pooling import POOLS
from vggc.quantization.plan import Product

_HOMOGENEOUS = SCALABLE | POOLS | {"Identity"}


@dataclass(eq=False)
class ScalingGroup:
    """Channels that are multiplied together.

    size     how many
    values   their values; the numbers of a flattened one stand `size` by `size`, each channel `repeats` times
    writers  products whose output channels these are
    readers  products that sum over them
    ceiling  a Clip keeps the values below: a channel may be multiplied only as far as it stays below too
    """

    size: int
    values: list[gs.Tensor] = field(default_factory=list)
    writers: list[Product] = field(default_factory=list)
    readers: list[Product] = field(default_factory=list)
    ceiling: float | None = None


def scaling_groups(graph: Graph, products: Iterable[Product]) -> list[ScalingGroup]:
    """The groups of a graph, in the order of its nodes. Products, depthwise ones too, stand between groups."""
    finder = _Finder(graph, {id(each.node): each for each in products})
    for node in graph.nodes:
        finder.visit(node)
    return finder.groups()


class _Finder:
    def __init__(self, graph: Graph, products: dict[int, Product]) -> None:
        self.graph = graph
        self.products = products
        # Factors would make as many different weights of shared ones as there are readers.
        readers = Counter(id(each.weights) for each in products.values())
        self.shared = {weights for weights, count in readers.items() if count > 1}
        self.sets = UnionFind()
        self.values: dict[int, gs.Tensor] = {}
        self.fixed: set[int] = set()
        self.ceilings: dict[int, float] = {}
        for value in (*graph.inputs, *graph.outputs):
            self.fix(value)

    def root(self, value: gs.Tensor) -> int:
        self.values.setdefault(id(value), value)
        return self.sets.root(id(value))

    def fix(self, value: gs.Tensor) -> None:
        if isinstance(value, gs.Variable) and value.name:
            self.root(value)
            self.fixed.add(id(value))

    def unite(self, one: gs.Tensor, other: gs.Tensor) -> None:
        self.sets.unite(self.root(one), self.root(other))

    def visit(self, node: gs.Node) -> None:
        graph = self.graph
        for value in node.outputs:
            if graph.is_result(value):
                self.fix(value)
        if id(node) in self.products:
            product = self.products[id(node)]
            for end in (node.inputs[product.data], node.outputs[0]):
                self.root(end)
                unknown = graph.rank(end) is None or _channels(graph, end) is None
                if unknown or not _readable(node) or id(product.weights) in self.shared:
                    self.fix(end)
        elif self._keeps_channels(node):
            for end in (each for each in node.inputs if isinstance(each, gs.Variable) and each.name):
                self.unite(end, node.outputs[0])
        else:
            for end in (*reads(node), *node.outputs):
                self.fix(end)

    def _keeps_channels(self, node: gs.Node) -> bool:
        """Whether multiplying the channels a node reads multiplies those it gives."""
        graph = self.graph
        if not is_standard(node) or len([value for value in node.outputs if value.name]) != 1:
            return False
        sizes = [_channels(graph, value) for value in (*node.inputs[:1], node.outputs[0])]
        if None in sizes:
            return False
        if node.op in _HOMOGENEOUS:
            return True
        if node.op == "Pad":
            return sizes[0] == sizes[1] and pads_with_zero(graph, node)
        if node.op == "Add":
            shapes = [graph.shape(value) for value in (*node.inputs, node.outputs[0])]
            computed = all(isinstance(value, gs.Variable) for value in node.inputs)
            return computed and all(shape is not None and shape[1:] == (shapes[0] or [])[1:] for shape in shapes)
        if node.op in FLATTENERS:
            before, after = (graph.shape(value) or [] for value in (node.inputs[0], node.outputs[0]))
            whole = all(isinstance(size, int) for size in before[1:])
            return whole and len(after) == 2 and after[1] == math.prod(before[1:])  # type: ignore[arg-type]
        if node.op == "Clip":
            limits = clamp_limits(graph, node)
            if limits is None or limits[0] != 0.0:
                return False
            self.ceilings[id(node.outputs[0])] = limits[1]
            return True
        return False

    def groups(self) -> list[ScalingGroup]:
        found: dict[int, ScalingGroup] = {}
        fixed = {self.root(self.values[at]) for at in self.fixed}
        for value in self.values.values():
            root = self.root(value)
            if root in fixed:
                continue
            size = _channels(self.graph, value)
            assert size is not None
            group = found.setdefault(root, ScalingGroup(size))
            group.size = min(group.size, size)
            group.values.append(value)
            if id(value) in self.ceilings:
                limit = self.ceilings[id(value)]
                group.ceiling = limit if group.ceiling is None else min(limit, group.ceiling)
        for product in self.products.values():
            for value, members in (
                (product.node.outputs[0], "writers"),
                (product.node.inputs[product.data], "readers"),
            ):
                root = self.root(value)
                if root in found:
                    getattr(found[root], members).append(product)
        return [group for group in found.values() if group.writers and group.readers and self._divides(group)]

    def _divides(self, group: ScalingGroup) -> bool:
        sizes = [_channels(self.graph, value) for value in group.values]
        return all(size is not None and size % group.size == 0 for size in sizes)


def _channels(graph: Graph, value: gs.Tensor) -> int | None:
    """How many channels a value has along axis 1."""
    shape = graph.shape(value)
    size = shape[1] if shape is not None and len(shape) >= 2 else None
    return size if isinstance(size, int) and size > 0 else None


def _readable(node: gs.Node) -> bool:
    """Whether a product has its channels along axis 1 on both sides."""
    if node.op == "MatMul":
        return len(node.outputs[0].shape or ()) == 2
    return node.op != "Gemm" or not node.attrs.get("transA", 0)


def multiply(graph: Graph, group: ScalingGroup, factors: Array) -> None:
    """Multiply the channels of a group by (size,) positive factors: in the weights and biases, nowhere else."""
    for product in group.writers:
        _scale_outputs(graph, product, factors)
    for product in group.readers:
        _scale_inputs(graph, product, 1.0 / factors)


def _scale_outputs(graph: Graph, product: Product, factors: Array) -> None:
    node = product.node
    array = _array(graph, product.weights)
    factors = np.repeat(factors, product.outputs // len(factors))
    if node.op == "ConvTranspose":
        scaled = _by_block(product, array, factors)
    else:
        shape = [1] * array.ndim
        shape[product.axis] = -1
        scaled = array * factors.reshape(shape)
    _replace(graph, node, product.weight, scaled)
    if product.bias is not None:
        bias = _array(graph, node.inputs[product.bias])
        # Of a Gemm it may be one number for all channels.
        _replace(graph, node, product.bias, np.broadcast_to(bias.reshape(-1), factors.shape) * factors)


def _scale_inputs(graph: Graph, product: Product, factors: Array) -> None:
    node = product.node
    array = _array(graph, product.weights)
    if node.op == "ConvTranspose":
        scaled = array * factors.reshape(-1, *[1] * (array.ndim - 1))
    elif node.op == "Conv":
        scaled = _by_block(product, array, factors)
    else:
        inner = 1 - product.axis
        repeated = np.repeat(factors, array.shape[inner] // len(factors))
        scaled = array * (repeated[:, None] if inner == 0 else repeated[None, :])
    _replace(graph, node, product.weight, scaled)


def _by_block(product: Product, array: Array, factors: Array) -> Array:
    """Weights multiplied along axis 1, which has the channels of one block; each block has factors of its own."""
    own = array.reshape(product.group, array.shape[0] // product.group, *array.shape[1:])
    spread = factors.reshape(product.group, 1, array.shape[1], *[1] * (array.ndim - 2))
    return np.asarray((own * spread).reshape(array.shape))


def _array(graph: Graph, value: gs.Tensor) -> Array:
    found = graph.array(value)
    assert found is not None
    return np.asarray(found, np.float64)


def _replace(graph: Graph, node: gs.Node, index: int, values: Array) -> None:
    constant = graph.constant(np.ascontiguousarray(values, np.float32), node.inputs[index].name)
    graph.set_input(node, index, constant)
