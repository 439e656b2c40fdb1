"""What is looked at in a model's message before it becomes a graph: texts, types and names that a damaged file breaks.

The onnx checker comes later, and says what it finds of a graph that could be read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import onnx

from vggc.diagnostics import Code, CompileError, fail

_TYPES = frozenset(onnx.TensorProto.DataType.values())
_ATTRIBUTES = frozenset(onnx.AttributeProto.AttributeType.values()) - {onnx.AttributeProto.UNDEFINED}


def reject_unsound(model: onnx.ModelProto) -> None:
    """Raise CompileError when a text of the model is not UTF-8, or a type, a name or an output is missing."""
    _texts("the model", model.producer_name, model.producer_version, model.domain, model.doc_string)
    for domain in model.opset_import:
        _texts("an operator set", domain.domain)
    _pairs("the model", model.metadata_props)
    for function in model.functions:
        _texts("a function", function.name, function.domain, *function.input, *function.output, *function.attribute)
        _nodes(function.node)
    _graph(model.graph)
    if not model.graph.output:
        raise fail(
            "the model has no outputs, so there is nothing to compile", help="export it again", code=Code.INVALID_MODEL
        )


def _graph(graph: onnx.GraphProto) -> None:
    _texts("the graph", graph.name, graph.doc_string)
    for info in (*graph.input, *graph.output, *graph.value_info):
        _texts("a value", info.name)
        _type(info.name, info.type)
    names = set()
    for tensor in graph.initializer:
        _texts("an initializer", tensor.name)
        _element_type(tensor.name, tensor)
        if tensor.name in names:
            raise fail("the model has two initializers of one name", help="export it again", code=Code.INVALID_MODEL)
        names.add(tensor.name)
    for sparse in graph.sparse_initializer:
        _texts("a sparse initializer", sparse.values.name)
        _element_type(sparse.values.name, sparse.values)
    _nodes(graph.node)
    made: set[str] = set()
    for node in graph.node:
        _results_of_bodies(node)
        for name in node.output:
            if name and name in made:
                raise fail(
                    f"the model is not valid ONNX: two nodes compute `{name}`",
                    help="export it again",
                    code=Code.INVALID_MODEL,
                )
            made.add(name)


def _nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    for node in nodes:
        _texts("a node", node.op_type, node.name, node.domain, node.overload, node.doc_string)
        label = f"{node.op_type} `{node.name}`" if node.name else f"a node {node.op_type}"
        _texts(label, *node.input, *node.output)
        _pairs(label, node.metadata_props)
        for attribute in node.attribute:
            _texts(label, attribute.name, attribute.doc_string, attribute.ref_attr_name)
            if attribute.type not in _ATTRIBUTES:
                raise _damaged(f"attribute `{attribute.name}` of {label} has no type that ONNX knows")
            for text in (attribute.s, *attribute.strings):
                _decode(text, f"attribute `{attribute.name}` of {label}")
            if attribute.type == onnx.AttributeProto.TENSOR:
                _element_type(attribute.name, attribute.t)
            elif attribute.type == onnx.AttributeProto.SPARSE_TENSOR:
                _element_type(attribute.name, attribute.sparse_tensor.values)
            for graph in (attribute.g, *attribute.graphs) if attribute.type in _GRAPHS else ():
                _graph(graph)


_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def reject_references(nodes: Iterable[onnx.NodeProto]) -> None:
    """Raise CompileError when a node outside of all functions refers to an attribute of a function."""
    for node in nodes:
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                label = f"{node.op_type} `{node.name or ', '.join(node.output)}`"
                raise fail(
                    f"the model is not valid ONNX: attribute `{attribute.name}` of {label} refers to an attribute "
                    f"`{attribute.ref_attr_name}` of a function, and the node is in no function",
                    help="export it again",
                    code=Code.INVALID_MODEL,
                )
            for graph in (attribute.g, *attribute.graphs) if attribute.type in _GRAPHS else ():
                reject_references(graph.node)


def _results_of_bodies(node: onnx.NodeProto) -> None:
    """Raise CompileError when a body of an If, a Loop or a Scan is missing or gives too few results."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in _CONDITIONS:
        return
    label = f"{node.op_type} `{node.name or ', '.join(node.output)}`"
    bodies = {attribute.name for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH}
    for name in ("then_branch", "else_branch") if node.op_type == "If" else ("body",):
        if name not in bodies:
            raise fail(
                f"the model is not valid ONNX: {label} has no body `{name}`",
                help="export it again",
                code=Code.INVALID_MODEL,
            )
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            given = len(attribute.g.output) - _CONDITIONS[node.op_type]
            if given < len(node.output):
                raise fail(
                    f"the model is not valid ONNX: {label} has {len(node.output)} outputs, and its body "
                    f"`{attribute.name}` gives {max(given, 0)}",
                    help="export it again",
                    code=Code.INVALID_MODEL,
                )


_CONDITIONS = {"If": 0, "Loop": 1, "Scan": 0}
"""Operators with bodies, and how many of a body's results are not results of the node."""


def _element_type(name: str, tensor: onnx.TensorProto) -> None:
    if tensor.data_type not in _TYPES or tensor.data_type == onnx.TensorProto.UNDEFINED:
        raise _unknown_type(name, tensor.data_type)


def check_count(tensor: onnx.TensorProto) -> None:
    """Raise CompileError when a tensor that holds its numbers one by one holds not as many as its shape says.

    Types of which several share a number are left to the onnx library.
    """
    field = _FIELDS.get(tensor.data_type)
    if field is None:
        return
    held, needed = len(getattr(tensor, field)), math.prod(tensor.dims)
    if held != needed:
        raise _damaged(f"initializer `{tensor.name}` holds {held} numbers but its shape needs {needed}")


_Tensor = onnx.TensorProto
_FIELDS: dict[int, str] = {
    _Tensor.FLOAT: "float_data",
    _Tensor.DOUBLE: "double_data",
    _Tensor.INT64: "int64_data",
    _Tensor.UINT32: "uint64_data",
    _Tensor.UINT64: "uint64_data",
    _Tensor.STRING: "string_data",
    **dict.fromkeys(
        (
            *(_Tensor.INT32, _Tensor.INT16, _Tensor.INT8, _Tensor.UINT16, _Tensor.UINT8, _Tensor.BOOL),
            *(_Tensor.FLOAT16, _Tensor.BFLOAT16, _Tensor.FLOAT8E4M3FN, _Tensor.FLOAT8E5M2),
        ),
        "int32_data",
    ),
}
"""By type, the field of the message that holds one number for each element, where raw_data does not (onnx.proto)."""


def _type(name: str, kind: onnx.TypeProto) -> None:
    for tensor in _tensors(kind):
        if tensor.elem_type not in _TYPES:
            raise _unknown_type(name, tensor.elem_type)
        for dimension in tensor.shape.dim:
            _texts(f"the shape of `{name}`", dimension.dim_param)


def _tensors(kind: onnx.TypeProto) -> Iterator[onnx.TypeProto.Tensor]:
    """The tensors a type is made of."""
    which = kind.WhichOneof("value")
    if which in ("tensor_type", "sparse_tensor_type"):
        yield getattr(kind, which)
    elif which in ("sequence_type", "optional_type"):
        yield from _tensors(getattr(kind, which).elem_type)
    elif which == "map_type":
        yield from _tensors(kind.map_type.value_type)


def _pairs(what: str, pairs: Iterable[onnx.StringStringEntryProto]) -> None:
    for each in pairs:
        _texts(what, each.key, each.value)


def _texts(what: str, *texts: Any) -> None:
    # What is not UTF-8, protobuf hands out as bytes.
    for text in texts:
        if isinstance(text, bytes):
            _decode(text, f"a text of {what}")


def _decode(text: bytes, what: str) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        raise _damaged(f"{what} is not UTF-8") from None


def _unknown_type(name: str, number: int) -> CompileError:
    return _damaged(f"`{name}` has an element type that onnx {onnx.__version__} does not know: {number}")


def _damaged(reason: str) -> CompileError:
    return fail(
        f"the model is not valid ONNX: {reason}",
        help="the file is damaged: copy or export it again",
        code=Code.INVALID_MODEL,
    )
