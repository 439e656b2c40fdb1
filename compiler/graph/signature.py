"""What a model takes and gives: names, types and shapes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx_graphsurgeon as gs

from vggc.diagnostics import Code, fail
from vggc.graph import Graph
from vggc.graph.arrays import Size


class ValueType(NamedTuple):
    """A tensor a model takes or gives. A dimension is a number, a symbol, or None where nothing is known of it."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[Size, ...] | None

    def __str__(self) -> str:
        return f"`{self.name}` {type_text(self.dtype)} {shape_text(self.shape)}"


def inputs_of(graph: Graph) -> tuple[ValueType, ...]:
    """The inputs of a graph. Raises CompileError for an input that is no tensor."""
    return tuple(_value_type(graph, value, "input") for value in graph.inputs)


def outputs_of(graph: Graph) -> tuple[ValueType, ...]:
    """The outputs of a graph. Raises CompileError for an output that is no tensor."""
    return tuple(_value_type(graph, value, "output") for value in graph.outputs)


def fixed_batch(inputs: Iterable[ValueType]) -> int | None:
    """The batch size that a model insists on; None where its inputs take any, or insist on different ones."""
    sizes = batch_sizes(inputs)
    return sizes.pop() if len(sizes) == 1 else None


def batch_sizes(inputs: Iterable[ValueType]) -> set[int]:
    """The first dimensions of inputs that are positive numbers."""
    firsts = (each.shape[0] for each in inputs if each.shape)
    return {size for size in firsts if isinstance(size, int) and size > 0}


def value_text(graph: Graph, value: gs.Tensor) -> str:
    """An input or output in messages, whether it is a tensor or not: "`x` float32 [N, 3]", "`y` sequence"."""
    kind = _kind(value)
    if kind != "tensor_type" or graph.dtype(value) is None:
        return f"`{value.name}` {kind.removesuffix('_type') if kind != 'tensor_type' else 'of unknown type'}"
    return str(_value_type(graph, value, "value"))


def _kind(value: gs.Tensor) -> str:
    return value.type if isinstance(value, gs.Variable) else "tensor_type"


def _value_type(graph: Graph, value: gs.Tensor, what: str) -> ValueType:
    dtype = graph.dtype(value)
    if dtype is None or _kind(value) != "tensor_type":
        raise fail(
            f"the model's {what} `{value.name}` is not a tensor, or its type is not declared",
            help=f"vggc runs models whose {what}s are tensors with declared types: export the model again",
            code=Code.INVALID_MODEL,
        )
    shape = graph.shape(value)
    return ValueType(value.name, dtype, None if shape is None else tuple(_dimension(each) for each in shape))


def _dimension(dimension: Size) -> Size:
    if dimension is None or dimension == "":
        return None
    return dimension if isinstance(dimension, str) else int(dimension)


def shape_text(shape: Sequence[Size] | None) -> str:
    """A shape in messages: `[N, 3, ?, 32]`."""
    if shape is None:
        return "of unknown rank"
    return f"[{', '.join('?' if each is None else str(each) for each in shape)}]"


def type_text(dtype: np.dtype[Any]) -> str:
    """A type in messages: `float32`, `string`."""
    return "string" if dtype.kind in "OUST" else str(dtype)
