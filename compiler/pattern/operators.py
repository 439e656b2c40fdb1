"""What ONNX says of its operators, version by version: inputs, attributes and their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.domains import domain_of
from vggc.graph.extras import node_extras
from vggc.operators.elementwise import COMMUTATIVE
from vggc.operators.quantizers import QUANTIZERS
from vggc.operators.randomness import RANDOM
from vggc.operators.roles import ROLES, optional_input

Operator = tuple[str, str]
"""Domain and name; ONNX's own domain is ""."""

NEWEST = onnx.defs.onnx_opset_version()
_ANY = 1 << 30
OLDEST = 7
"""Before it, arithmetic broadcasts by attributes instead of by shape."""

_WINDOWED = frozenset(
    {"Conv", "ConvInteger", "ConvTranspose", "QLinearConv", "DeformConv", "MaxPool", "AveragePool", "LpPool"}
)
_TYPE_NUMBERS = frozenset(
    {("Cast", "to"), *((op, "dtype") for op in (*RANDOM, "EyeLike")), *((op, "output_dtype") for op in QUANTIZERS)}
)


@dataclass(frozen=True)
class OperatorSets:
    """The version of each domain whose operators a model uses."""

    versions: Mapping[str, int]

    @classmethod
    def of(cls, graph: Graph) -> OperatorSets:
        """Those of a model."""
        found = {domain_of(each.domain): each.version for each in graph.model.opset_import}
        return cls({**found, "": graph.opset})

    @classmethod
    def at(cls, opset: int) -> OperatorSets:
        """A version of ONNX's own operators, and the newest of all others."""
        return cls({"": opset})

    @property
    def opset(self) -> int:
        return self.versions[""]

    def schema(self, operator: Operator) -> onnx.defs.OpSchema | None:
        """What ONNX says of an operator; None where it does not know it, or has dropped it by this version."""
        domain, name = operator
        found = _schema(name, domain, self.versions.get(domain, _ANY))
        return None if found is None or found.deprecated else found


@cache
def _schema(name: str, domain: str, version: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(name, version, domain)
    except onnx.defs.SchemaError:
        return None


@cache
def known_domains() -> frozenset[str]:
    """The domains whose operators ONNX describes."""
    return frozenset(each.domain for each in onnx.defs.get_all_schemas())


@cache
def versions(operator: Operator) -> tuple[int, ...]:
    """The opsets in which an operator was introduced or changed, oldest first, those that only dropped it left out."""
    domain, name = operator
    found = onnx.defs.get_all_schemas_with_history()
    own = [each for each in found if each.name == name and each.domain == domain and not each.deprecated]
    return tuple(sorted(each.since_version for each in own))


@cache
def operator_names(domain: str) -> frozenset[str]:
    """All operators of a domain, whatever the version."""
    return frozenset(each.name for each in onnx.defs.get_all_schemas_with_history() if each.domain == domain)


def operator_of(node: gs.Node) -> Operator:
    return domain_of(node.domain), node.op


def spell(operator: Operator) -> str:
    """An operator as a rule writes it."""
    return ".".join(each for each in operator if each)


def is_commutative(operator: Operator, sets: OperatorSets) -> bool:
    """Whether an operator computes the same with its inputs in another order."""
    domain, name = operator
    return not domain and name in COMMUTATIVE and sets.opset >= OLDEST


def holds_type(op: str, attribute: str) -> bool:
    """Whether an attribute is the number of an ONNX type, which rules write as its name."""
    return (op, attribute) in _TYPE_NUMBERS


def attribute(graph: Graph, sets: OperatorSets, node: gs.Node, name: str) -> Any:
    """An attribute of a node: an int, a float, a text, a tuple of these, or an array.

    Where the node does not give it, the default of the operator, or the one that ONNX's documentation states in words
    (a stride of 1, no padding). None where there is none, or the attribute is a graph.
    """
    if name in node.attrs:
        return plain(node.op, name, node.attrs[name])
    if name in node_extras(node).attributes:
        return ()
    schema = sets.schema(operator_of(node))
    if schema is None or name not in schema.attributes:
        return None
    given = schema.attributes[name].default_value
    if given.type != onnx.AttributeProto.UNDEFINED:
        return plain(node.op, name, onnx.helper.get_attribute_value(given))
    return _documented(graph, node, name) if not domain_of(node.domain) else None


def plain(op: str, name: str, value: Any) -> Any:
    """An attribute's value without graphsurgeon's and protobuf's own types."""
    if isinstance(value, gs.Constant):
        return value.values
    if isinstance(value, gs.Graph):
        return None
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(plain(op, "", each) for each in value)
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if holds_type(op, name):
        return type_name(int(value))
    return float(value) if isinstance(value, float) else int(value)


def type_name(number: int) -> str:
    """The name of an ONNX type, as numpy and rules spell it; its number where there is no such type."""
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(number)
    except (KeyError, ValueError):
        return str(number)
    return "string" if number == onnx.TensorProto.STRING else dtype.name


def _documented(graph: Graph, node: gs.Node, name: str) -> Any:
    if node.op == "Transpose" and name == "perm":
        rank = graph.rank(node.inputs[0])
        return None if rank is None else tuple(reversed(range(rank)))
    if node.op not in _WINDOWED:
        return None
    axes = _spatial_axes(graph, node)
    if axes is None:
        return None
    if name in ("strides", "dilations"):
        return (1,) * axes
    if name == "output_padding":
        return (0,) * axes
    if name == "pads" and node.attrs.get("auto_pad", "NOTSET") == "NOTSET":
        return (0,) * (2 * axes)
    weight = _weight(node)
    if name == "kernel_shape" and weight is not None:
        shape = graph.static_shape(weight)
        return None if shape is None else tuple(shape[2:])
    return None


def _spatial_axes(graph: Graph, node: gs.Node) -> int | None:
    for given in ("kernel_shape", "strides", "dilations"):
        if node.attrs.get(given):
            return len(node.attrs[given])
    weight = _weight(node)
    ranks = [graph.rank(each) for each in (weight, node.inputs[0]) if each is not None]
    return next((rank - 2 for rank in ranks if rank is not None), None)


def _weight(node: gs.Node) -> gs.Tensor | None:
    roles = ROLES.get(node.op)
    return None if roles is None else optional_input(node, roles.weight)
