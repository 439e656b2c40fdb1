"""Asking a graph: what a value is, which node computes it, and which nodes read it."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.ir.tensor import SparseValues

from vggc.graph.arrays import Array, Dimensions
from vggc.graph.writer import onnx_type

_STALE = 16
"""Links of a value to nodes that no longer read it: so many beyond the true ones are left alone."""


def static_shape(value: gs.Tensor) -> list[int] | None:
    """Dimensions when all of them are numbers."""
    shape = value.shape
    sizes = [int(each) for each in shape or () if isinstance(each, int | np.integer) and each >= 0]
    return sizes if shape is not None and len(sizes) == len(shape) else None


@cache
def _as_stored(dtype: Any) -> np.dtype[Any]:
    """The numpy type of the ONNX type that stands for a type."""
    return onnx.helper.tensor_dtype_to_np_dtype(onnx_type(dtype))


class _Bodies(NamedTuple):
    """What the bodies of If, Loop and Scan hold, by id."""

    around: dict[int, gs.Graph]
    """for a node the body that it stands in"""
    results: set[int]
    """the values that bodies hand out"""


class LinkedGraph(gs.Graph):
    """graphsurgeon's graph, with questions that stay right and quick while nodes come and go.

    Between two `tidy` calls a value may still list readers it no longer has, and `nodes` may hold nodes taken out;
    the methods here see through that.
    """

    nodes: list[gs.Node]
    inputs: list[gs.Variable]
    outputs: list[gs.Tensor]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._removed: set[int] = set()
        self._inside: _Bodies | None = None

    def array(self, value: gs.Tensor) -> Array | None:
        """The numbers of a compile-time constant, read-only; None for anything else."""
        if not isinstance(value, gs.Constant) or isinstance(value._values, SparseValues):
            return None
        return value.values

    def shape(self, value: gs.Tensor) -> Dimensions | None:
        """Dimensions as far as they are known: a number, a symbol, or None."""
        return None if value.shape is None else list(value.shape)

    def static_shape(self, value: gs.Tensor) -> list[int] | None:
        """Dimensions when all of them are numbers."""
        return static_shape(value)

    def rank(self, value: gs.Tensor) -> int | None:
        return None if value.shape is None else len(value.shape)

    def dtype(self, value: gs.Tensor) -> np.dtype[Any] | None:
        held: Any = value.dtype
        return None if held is None else _as_stored(held)

    def is_removed(self, node: gs.Node) -> bool:
        """Whether a node was taken out since the last `tidy`."""
        return id(node) in self._removed

    def producer(self, value: gs.Tensor) -> gs.Node | None:
        for node in value.inputs:
            if id(node) not in self._removed and any(each is value for each in node.outputs):
                return node
        return None

    def readers(self, value: gs.Tensor) -> list[gs.Node]:
        """The nodes that read a value, each once, those inside If and Loop bodies included."""
        return list(self.iterate_readers(value))

    def iterate_readers(self, value: gs.Tensor) -> Iterator[gs.Node]:
        """The same one by one, for who does not need all; the graph must not change before the last is taken."""
        found: dict[int, gs.Node] = {}
        stale = 0
        for node in value.outputs:
            if id(node) in found:
                continue
            if not self._reads(node, value):
                stale += 1
                continue
            found[id(node)] = node
            yield node
        if stale > len(found) + _STALE:
            self._keep_readers(value, found)

    def reader_beside(self, value: gs.Tensor, known: Container[int]) -> gs.Node | None:
        """A node that reads a value and whose id is not among the known ones."""
        found, stale = None, 0
        for node in value.outputs:
            if id(node) in known:
                continue
            if self._reads(node, value):
                found = node
                break
            stale += 1
        if stale > _STALE and 2 * stale > len(value.outputs):
            self._keep_readers(value, {id(node): node for node in value.outputs if self._reads(node, value)})
        return found

    def _reads(self, node: gs.Node, value: gs.Tensor) -> bool:
        return id(node) not in self._removed and any(each is value for each in node.inputs)

    def _keep_readers(self, value: gs.Tensor, readers: Mapping[int, gs.Node]) -> None:
        """Forget those that no longer read a value, so that asking again and again takes linear time."""
        list.clear(value.outputs)
        list.extend(value.outputs, readers.values())

    def is_output(self, value: gs.Tensor) -> bool:
        return any(each is value for each in self.outputs)

    def is_result(self, value: gs.Tensor) -> bool:
        """Whether the model, or the body of an If or Loop, hands a value out."""
        return self.is_output(value) or id(value) in self._bodies().results

    def only_reader(self, value: gs.Tensor) -> gs.Node | None:
        """The one node of this graph that reads a value at one place, when nothing else sees it."""
        readers = self.readers(value)
        if len(readers) != 1 or self.is_result(value):
            return None
        node = readers[0]
        at = sum(each is value for each in node.inputs)
        return node if at == 1 and self.body(node) is None else None

    def body(self, node: gs.Node) -> gs.Graph | None:
        """The body of an If, Loop or Scan that a node stands in, None for the graph itself."""
        return self._bodies().around.get(id(node))

    @staticmethod
    def label(node: gs.Node) -> str:
        """How messages name a node: operator and name, or what it computes when it has no name."""
        return f"{node.op} `{node.name}`" if node.name else f"{node.op} of `{node.outputs[0].name}`"

    def _bodies(self) -> _Bodies:
        if self._inside is None:
            self._inside = _Bodies({}, set())
            for node in self.nodes:
                for body in node.subgraphs(recursive=True) if id(node) not in self._removed else ():
                    self._inside.around.update((id(each), body) for each in body.nodes)
                    self._inside.results.update(id(each) for each in body.outputs)
        return self._inside
