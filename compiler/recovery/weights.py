"""The weights of a graph that can be trained, and how they are put back into it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.execution.array_distance import has_fractions
from vggc.graph import Graph
from vggc.graph.arrays import Array, Bools
from vggc.graph.domains import is_standard
from vggc.graph.extras import node_extras
from vggc.operators.quantizers import QUANTIZERS
from vggc.operators.roles import PRODUCTS, ROLES
from vggc.pruning.provenance import SPARSITY
from vggc.recovery.number_limits import limits

_NORM_WEIGHTS = {
    "BatchNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "RMSNormalization": (1,),
}
"""The inputs of norms that are trained. The statistics of a batch norm stay what they are."""

_PASSING = frozenset({"Cast", "Identity", "Reshape", "Transpose", "Unsqueeze", *QUANTIZERS})

_BROADCAST = frozenset({"Add", "Mul", "PRelu", "Sub"})
"""Behind a product, their constants of more than one number are biases, factors and slopes."""


@dataclass
class Weight:
    """A constant that is trained, with all nodes that read it as a weight.

    places  the nodes, and the inputs at which they read it
    codes   the type of its whole numbers when the model stores it quantized
    zeros   where sparsity has put zeros that stay; None without sparsity
    """

    name: str
    array: Array
    places: list[tuple[gs.Node, int]] = field(default_factory=list)
    codes: np.dtype[Any] | None = None
    zeros: Bools | None = None

    @property
    def ids(self) -> list[tuple[int, int]]:
        """The places as a Twin knows them."""
        return [(id(node), index) for node, index in self.places]

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest quantized number, at the same distance from zero when the array is within that."""
        assert self.codes is not None
        low, high = limits(self.codes)
        is_symmetric = low < 0 and float(self.array.astype(np.float64).min(initial=0)) >= -high
        return (-high if is_symmetric else low), high


def trainable(graph: Graph) -> list[Weight]:
    """The weights of a graph, in the order in which its nodes read them.

    Each is a constant of floating-point numbers that a product or a norm reads, or one of quantized numbers that a
    DequantizeLinear in front of it reads; or a bias, a factor or the slopes behind a product.
    """
    found: dict[int, Weight] = {}
    behind: set[int] = set()
    for node in graph.nodes:
        if not is_standard(node):
            continue
        after_product = any(id(value) in behind for value in node.inputs)
        if node.op in ROLES or after_product:
            behind |= {id(value) for value in node.outputs}
        for index in _weight_inputs(node, after_product):
            place = _place_of_constant(graph, node, index)
            if place is not None:
                _note(graph, found, *place, sparse=SPARSITY in node_extras(node).metadata)
    return list(found.values())


def _weight_inputs(node: gs.Node, after_product: bool) -> list[int]:
    """The inputs at which a node may read weights."""
    if node.op in PRODUCTS or node.op == "Einsum":
        return list(range(len(node.inputs)))
    if node.op in _NORM_WEIGHTS:
        return list(_NORM_WEIGHTS[node.op])
    if node.op in _BROADCAST and after_product:
        return [index for index, value in enumerate(node.inputs) if _numbers(value) > 1]
    return []


def _numbers(value: gs.Tensor) -> int:
    return int(np.prod(value.shape)) if isinstance(value, gs.Constant) else 0


def _place_of_constant(graph: Graph, node: gs.Node, index: int) -> tuple[gs.Node, int] | None:
    """The node that reads the constant which reaches an input, and at which input; None when it is computed."""
    while index < len(node.inputs):
        value = node.inputs[index]
        if isinstance(value, gs.Constant):
            return node, index
        source = graph.producer(value) if value.name else None
        if source is None or source.op not in _PASSING or not is_standard(source):
            return None
        node, index = source, 0
    return None


def _note(graph: Graph, found: dict[int, Weight], node: gs.Node, index: int, *, sparse: bool) -> None:
    value = node.inputs[index]
    array = graph.array(value)
    is_quantized = node.op == "DequantizeLinear"
    if array is None or not array.size or not (is_quantized or has_fractions(array.dtype)):
        return
    weight = found.setdefault(id(value), Weight(value.name, array, codes=array.dtype if is_quantized else None))
    if sparse and array.ndim > 1:
        weight.zeros = np.asarray(array, np.float64) == 0
    if (id(node), index) not in weight.ids:
        weight.places.append((node, index))


def write_back(graph: Graph, weights: Iterable[Weight], trained: Mapping[str, Array]) -> int:
    """Let nodes read the trained numbers, by the name of the constant. Returns how many constants have changed.

    Numbers of a type that the model stores with fewer bits are rounded to it. Other readers of a constant keep it.
    """
    changed = 0
    for weight in weights:
        numbers = stored(trained[weight.name], weight)
        if np.array_equal(numbers, weight.array):
            continue
        changed += 1
        constant = graph.constant(numbers, weight.name)
        for node, index in weight.places:
            graph.set_input(node, index, constant)
    return changed


def stored(numbers: Array, weight: Weight) -> Array:
    """Numbers in the type that the model stores them in."""
    if weight.codes is not None:
        numbers = np.clip(numbers, *weight.limits)
        numbers = numbers if has_fractions(weight.codes) else np.rint(numbers)
    return np.asarray(numbers).astype(weight.array.dtype)
