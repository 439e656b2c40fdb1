"""What a model says of nodes, values and bodies and onnx-graphsurgeon has no field for.

A record is made when it is first asked for, so nodes and values that a pass makes have one as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import onnx
import onnx_graphsurgeon as gs

_Record = TypeVar("_Record")

LINE = "vggc.line"
"""The key of the recipe line that changed a node last."""


@dataclass
class NodeExtras:
    """The mappings are replaced, never written in place: nodes share them."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    doc_string: str = ""
    overload: str = ""
    attributes: Mapping[str, onnx.AttributeProto] = field(default_factory=dict)
    """those that graphsurgeon cannot hold: sparse tensors, types, lists of graphs, and empty lists"""
    earlier: tuple[str, ...] = ()
    """the recipe lines that changed the node before that of the metadata; they are not written into a model"""


@dataclass
class ValueExtras:
    declared: onnx.ValueInfoProto | None = None
    """how the model declares one of its inputs or outputs"""


@dataclass
class BodyExtras:
    constants: frozenset[str] = frozenset()
    """the names of the initializers that the body holds itself; other bodies may use them for their own"""


def node_extras(node: gs.Node) -> NodeExtras:
    return _record(node, NodeExtras)


def value_extras(value: gs.Tensor) -> ValueExtras:
    return _record(value, ValueExtras)


def body_extras(body: gs.Graph) -> BodyExtras:
    return _record(body, BodyExtras)


def annotate(node: gs.Node, metadata: Mapping[str, str]) -> None:
    """Add to a node's metadata."""
    extras = node_extras(node)
    extras.metadata = {**extras.metadata, **metadata}


def stamp(node: gs.Node, metadata: Mapping[str, str]) -> None:
    """Add what says which step made a node, and remember the recipe line that it names instead."""
    extras = node_extras(node)
    before = extras.metadata.get(LINE)
    if before is not None and before != metadata.get(LINE, before):
        extras.earlier = tuple(dict.fromkeys((*extras.earlier, before)))
    annotate(node, metadata)


def copy_extras(source: gs.Node, node: gs.Node) -> None:
    """Let a copy of a node have what the node has."""
    vars(node)["extras"] = replace(node_extras(source))


def _record(owner: object, kind: type[_Record]) -> _Record:
    record: _Record | None = vars(owner).get("extras")
    if record is None:
        record = vars(owner)["extras"] = kind()
    return record
