"""What a graph is at one moment, to tell later whether anything in it has changed.

A snapshot asks the graph alone: operators, attributes, links, declared inputs and outputs, and the numbers of every
constant. Weights still on disk and read-only arrays are known again by the object that holds them; only arrays that
somebody could write into are hashed. Names of nodes and what nodes tell of their origin are left out, for they change
nothing of what is computed. A snapshot takes time linear in nodes and values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.ir.tensor import LazyValues

from vggc.graph.arrays import Array


class Weight:
    """The numbers of a constant, without a copy of them. Equal to another one when the numbers are the same."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, held: Any) -> None:
        self._held = held
        self._digest = _digest(held) if isinstance(held, np.ndarray) and held.flags.writeable else None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Weight):
            return NotImplemented
        if self._digest is None and other._digest is None and self._held is other._held:
            return True
        mine, others = self._held, other._held
        if tuple(mine.shape) != tuple(others.shape) or mine.dtype != others.dtype:
            return False
        return (self._digest or _digest(_loaded(mine))) == (other._digest or _digest(_loaded(others)))


class Snapshot:
    """A graph as it was when this was made. `==` says whether two graphs are the same."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, graph: gs.Graph) -> None:
        self._weights: dict[int, Weight] = {}
        self._domains = sorted((each.domain, each.version) for each in graph.import_domains or ())
        self._content = (graph.opset, self._graph(graph))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Snapshot):
            return NotImplemented
        return self._domains == other._domains and self._content == other._content

    def _graph(self, graph: gs.Graph) -> tuple[Any, ...]:
        return (
            tuple(_declared(value) for value in graph.inputs),
            # Their shapes become known on the way.
            tuple((value.name, self._value(value)) for value in graph.outputs),
            tuple(self._node(node) for node in graph.nodes),
        )

    def _node(self, node: gs.Node) -> tuple[Any, ...]:
        return (
            node.op,
            node.domain,
            [self._value(value) for value in node.inputs],
            [value.name for value in node.outputs],
            self._attributes(node.attrs),
            {name: kept.SerializeToString(deterministic=True) for name, kept in getattr(node, "kept", {}).items()},
        )

    def _value(self, value: gs.Tensor) -> Any:
        if not isinstance(value, gs.Constant):
            return value.name
        if id(value) not in self._weights:
            self._weights[id(value)] = Weight(value._values)
        return self._weights[id(value)]

    def _attributes(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._attribute(value) for name, value in attributes.items()}

    def _attribute(self, value: Any) -> Any:
        if isinstance(value, gs.Graph):
            return self._graph(value)
        if isinstance(value, gs.Constant):
            return self._value(value)
        if isinstance(value, np.ndarray | LazyValues):
            return Weight(value)
        if isinstance(value, list | tuple):
            return [self._attribute(each) for each in value]
        return (type(value), repr(value) if isinstance(value, float) else value)


def _declared(value: gs.Tensor) -> tuple[Hashable, ...]:
    return value.name, str(value.dtype), None if value.shape is None else tuple(value.shape)


def _loaded(held: Any) -> Array:
    return held.load() if isinstance(held, LazyValues) else held


def _digest(array: Array) -> bytes:
    if array.dtype.kind == "O":
        return hashlib.sha256(repr(array.tolist()).encode()).digest()
    return hashlib.sha256(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"").digest()
