"""The weights of a graph that can be trained, and how they are put back into it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import onnx_graphsurgeon as gs

from vggc.execution.array_distance import has_fractions
from vggc.graph import Graph
from vggc.graph.arrays import Array, Bools
from vggc.graph.domains import is_standard
from vggc.graph.extras import node_extras
from vggc.operators.quantizers import QUANTIZERS, is_quantizer
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
"""The inputs of norms that are trained with gradients."""

_STATISTICS = (3, 4)
"""The inputs of a BatchNormalization that are the mean and the variance."""

_PASSING = frozenset({"Cast", "Identity", "Reshape", "Transpose", "Unsqueeze", *QUANTIZERS})

_BROADCAST = frozenset({"Add", "Mul", "PRelu", "Sub"})
"""Behind a product, their constants of more than one number are biases, factors and slopes."""


@dataclass
class Weight:
    """A constant that is trained, with all nodes that read it as a weight.

    places   the nodes, and the inputs at which they read it
    codes    the type of its whole numbers when the model stores it quantized
    zeros    where sparsity has put zeros that stay; None without sparsity
    role     `statistic` of a batch norm, which follows the samples and has no gradient; `scale` of quantizers, which
             stays positive
    factors  of the scale of an integer bias: the two scales whose product it is, which must stay so
    """

    name: str
    array: Array
    places: list[tuple[gs.Node, int]] = field(default_factory=list)
    codes: np.dtype[Any] | None = None
    zeros: Bools | None = None
    role: Literal["weight", "scale", "statistic"] = "weight"
    factors: tuple[Weight, Weight] | None = None

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


def trainable(graph: Graph, *, statistics: bool = False) -> list[Weight]:
    """The weights of a graph, in the order in which its nodes read them; then the scales of its quantizers.

    With `statistics`, those of batch norms are among them.

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
        if statistics and node.op == "BatchNormalization":
            for index in _STATISTICS:
                _note_as(graph, found, node, index, "statistic")
    weights = list(found.values())
    return weights + _scales(graph)


def _scales(graph: Graph) -> list[Weight]:
    """The scales of quantizers; equal ones are one. Integer biases have no scale of their own: see Weight.factors."""
    found: dict[bytes, Weight] = {}
    at: dict[int, Weight] = {}
    biases, fixed = list[gs.Node](), set[int]()
    for node in graph.nodes:
        if not is_quantizer(node):
            continue
        scale, codes = graph.array(node.inputs[1]), graph.dtype(node.inputs[0])
        if scale is None or not scale.size or not has_fractions(scale.dtype) or scale.dtype.itemsize == 1:
            continue
        if node.op == "DequantizeLinear" and codes == np.int32:
            biases.append(node)
            continue
        content = b"%s %s " % (str(scale.dtype).encode(), str(scale.shape).encode()) + scale.tobytes()
        weight = found.setdefault(content, Weight(node.inputs[1].name, scale, role="scale"))
        weight.places.append((node, 1))
        at[id(node)] = weight
    products: list[Weight] = []
    for node in biases:
        factors, scale = _factors(graph, node, at), graph.array(node.inputs[1])
        assert scale is not None
        if len(factors) == 2 and np.allclose(factors[0].array * factors[1].array, scale, rtol=1e-3, atol=0):
            weight = Weight(node.inputs[1].name, scale, [(node, 1)], role="scale", factors=(factors[0], factors[1]))
            products.append(weight)
        else:
            # Scales that a bias depends on in another way stay, so that kernels which add integers still can.
            fixed |= {id(each) for each in factors}
    return [each for each in (*found.values(), *products) if id(each) not in fixed and not _is_fixed(each, fixed)]


def _is_fixed(weight: Weight, fixed: Container[int]) -> bool:
    return weight.factors is not None and any(id(each) in fixed for each in weight.factors)


def _factors(graph: Graph, bias: gs.Node, scales: Mapping[int, Weight]) -> list[Weight]:
    """The scales that are trained, of the product which an integer bias is added to: at most two."""
    for reader in bias.outputs[0].outputs:
        sources = (graph.producer(value) for value in reader.inputs[:2])
        return [scales[id(each)] for each in sources if id(each) in scales]
    return []


def _note_as(graph: Graph, found: dict[int, Weight], node: gs.Node, index: int, role: Literal["statistic"]) -> None:
    value = node.inputs[index]
    array = graph.array(value)
    if array is not None and has_fractions(array.dtype):
        found.setdefault(id(value), Weight(value.name, array, role=role)).places.append((node, index))


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


def tied(found: Iterable[Weight], arrays: Iterable[Any]) -> list[tuple[Weight, Any]]:
    """Each weight with its array or tensor, of which `arrays` has those without factors, in their order."""
    given = iter(arrays)
    values: dict[int, Any] = {}
    pairs = []
    for weight in found:
        if weight.factors is None:
            value = next(given)
        else:
            one, other = (values[id(each)] for each in weight.factors)
            value = (one * other).reshape(weight.array.shape)
        values[id(weight)] = value
        pairs.append((weight, value))
    return pairs


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
