"""Asking a graph: what a value is, which node computes it, and which nodes read it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.ir.tensor import SparseValues

from vggc.graph.arrays import Array
from vggc.graph.writer import onnx_type


def static_shape(value: gs.Tensor) -> list[int] | None:
    """Dimensions when all of them are numbers."""
    shape = value.shape
    sizes = [int(each) for each in shape or () if isinstance(each, int | np.integer) and each >= 0]
    return sizes if shape is not None and len(sizes) == len(shape) else None


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
        self._inside: tuple[set[int], set[int]] | None = None

    def array(self, value: gs.Tensor) -> Array | None:
        """The numbers of a compile-time constant, read-only; None for anything else."""
        if not isinstance(value, gs.Constant) or isinstance(value._values, SparseValues):
            return None
        return value.values

    def shape(self, value: gs.Tensor) -> list[int | str | None] | None:
        """Dimensions as far as they are known: a number, a symbol, or None."""
        return None if value.shape is None else list(value.shape)

    def static_shape(self, value: gs.Tensor) -> list[int] | None:
        """Dimensions when all of them are numbers."""
        return static_shape(value)

    def rank(self, value: gs.Tensor) -> int | None:
        return None if value.shape is None else len(value.shape)

    def dtype(self, value: gs.Tensor) -> np.dtype[Any] | None:
        if value.dtype is None:
            return None
        return onnx.helper.tensor_dtype_to_np_dtype(onnx_type(value.dtype))

    def producer(self, value: gs.Tensor) -> gs.Node | None:
        for node in value.inputs:
            if id(node) not in self._removed and any(each is value for each in node.outputs):
                return node
        return None

    def readers(self, value: gs.Tensor) -> list[gs.Node]:
        """The nodes that read a value, each once, those inside If and Loop bodies included."""
        found: dict[int, gs.Node] = {}
        for node in value.outputs:
            if id(node) not in self._removed and any(each is value for each in node.inputs):
                found[id(node)] = node
        return list(found.values())

    def is_output(self, value: gs.Tensor) -> bool:
        return any(each is value for each in self.outputs)

    def is_result(self, value: gs.Tensor) -> bool:
        """Whether the model, or the body of an If or Loop, hands a value out."""
        return self.is_output(value) or id(value) in self._inner_results()

    def only_reader(self, value: gs.Tensor) -> gs.Node | None:
        """The one node of this graph that reads a value at one place, when nothing else sees it."""
        readers = self.readers(value)
        if len(readers) != 1 or self.is_result(value):
            return None
        node = readers[0]
        at = sum(each is value for each in node.inputs)
        return node if at == 1 and id(node) not in self._inner_nodes() else None

    @staticmethod
    def label(node: gs.Node) -> str:
        """How messages name a node: operator and name, or what it computes when it has no name."""
        return f"{node.op} `{node.name}`" if node.name else f"{node.op} of `{node.outputs[0].name}`"

    def _inner_nodes(self) -> set[int]:
        return self._inner()[0]

    def _inner_results(self) -> set[int]:
        return self._inner()[1]

    def _inner(self) -> tuple[set[int], set[int]]:
        """Nodes inside If and Loop bodies, and the values those bodies hand out."""
        if self._inside is None:
            nodes: set[int] = set()
            results: set[int] = set()
            for node in self.nodes:
                for body in node.subgraphs(recursive=True) if id(node) not in self._removed else ():
                    nodes |= {id(each) for each in body.nodes}
                    results |= {id(each) for each in body.outputs}
            self._inside = (nodes, results)
        return self._inside
