"""The part of onnx-graphsurgeon that vggc uses, typed; onnx-graphsurgeon itself has no types."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx_graphsurgeon.ir.tensor import LazyValues

_Type = np.dtype[Any] | type[np.generic] | int | None
"""A numpy type, the number of an ONNX type that numpy lacks, or None where it is not known."""
_Shape = Sequence[int | str | None] | None
"""A dimension is a number, a symbol, or None where it is not known."""

class Tensor:
    name: str
    inputs: list[Node]
    """what computes the value: one node, or none"""
    outputs: list[Node]
    """what reads the value, once for each place"""
    @property
    def dtype(self) -> _Type: ...
    @property
    def shape(self) -> _Shape: ...

class Variable(Tensor):
    dtype: _Type
    shape: _Shape
    type: str
    """of the fields of onnx.TypeProto: "tensor_type", "sequence_type", ..."""
    def __init__(self, name: str, dtype: _Type = None, shape: _Shape = None, type: str = "tensor_type") -> None: ...
    @staticmethod
    def empty() -> Variable: ...
    def to_constant(self, values: NDArray[Any]) -> Constant: ...

class Constant(Tensor):
    values: NDArray[Any]
    data_location: int | None
    _values: NDArray[Any] | LazyValues
    def __init__(self, name: str, values: NDArray[Any] | LazyValues, data_location: int | None = None) -> None: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def shape(self) -> Sequence[int]: ...

class Node:
    op: str
    name: str
    attrs: dict[str, Any]
    inputs: list[Tensor]
    """an omitted one is a Variable without a name"""
    outputs: list[Variable]
    domain: str | None
    def __init__(
        self,
        op: str,
        name: str | None = None,
        attrs: Mapping[str, Any] | None = None,
        inputs: Sequence[Tensor] | None = None,
        outputs: Sequence[Variable] | None = None,
        domain: str | None = None,
    ) -> None: ...
    def subgraphs(self, recursive: bool = False) -> Iterator[Graph]: ...

class Graph:
    nodes: list[Node]
    inputs: list[Variable]
    outputs: list[Tensor]
    name: str
    doc_string: str | None
    opset: int
    import_domains: Sequence[onnx.OperatorSetIdProto]
    producer_name: str
    producer_version: str
    ir_version: int
    def __init__(
        self,
        nodes: Sequence[Node] | None = None,
        inputs: Sequence[Variable] | None = None,
        outputs: Sequence[Tensor] | None = None,
        name: str | None = None,
        doc_string: str | None = None,
        opset: int | None = None,
        import_domains: Sequence[onnx.OperatorSetIdProto] | None = None,
        producer_name: str | None = None,
        producer_version: str | None = None,
        functions: Sequence[Any] | None = None,
        ir_version: int | None = None,
    ) -> None: ...
    def copy(self) -> Graph: ...
    def subgraphs(self, recursive: bool = False) -> Iterator[Graph]: ...
    def tensors(self) -> dict[str, Tensor]: ...

def import_onnx(onnx_graph: onnx.ModelProto) -> Graph: ...
