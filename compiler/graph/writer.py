"""From graphsurgeon's nodes and values to ONNX messages and files, weights streamed one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.exporters.onnx_exporter import OnnxExporter
from onnx_graphsurgeon.ir.tensor import SparseValues

from vggc.graph.arrays import Array
from vggc.graph.extras import body_extras, node_extras, value_extras
from vggc.graph.node_order import reads
from vggc.graph.weights import StoredWeights, stored_bytes
from vggc.graph.wire import GRAPH_INITIALIZER, MODEL_GRAPH, TENSOR_RAW_DATA, header

PROTOBUF_LIMIT = (1 << 31) - 1
"""Bytes beyond which a protobuf message cannot be read: larger models need external data."""

INVENTED = "unk__"
"""How the names begin that ONNX's shape inference gives to dimensions it does not know."""

_PAGE = 4096


@dataclass(frozen=True)
class Written:
    """A file as it was written."""

    path: Path
    bytes: int
    sha256: str


class FileWriter:
    """Writes a file and hashes it on the way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb", buffering=1 << 20)
        self._hash = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.bytes += len(data)

    def write_weights(self, values: Array | StoredWeights) -> None:
        for chunk in weight_chunks(values):
            self.write(chunk)

    def close(self) -> Written:
        self._file.close()
        return Written(self.path, self.bytes, self._hash.hexdigest())


def stored_values(value: gs.Constant) -> Array | StoredWeights:
    """The values of a dense constant as it holds them, in memory or not."""
    held = value._values
    assert isinstance(held, np.ndarray | StoredWeights)
    return held


def weight_chunks(values: Array | StoredWeights) -> Iterator[bytes | memoryview]:
    """The bytes of a large weight in pieces."""
    if isinstance(values, StoredWeights):
        yield from values.chunks()
    elif values.size:
        # ml_dtypes' types have no buffer format of their own; their bytes do.
        yield np.ascontiguousarray(values).reshape(-1).view(np.uint8).data


def onnx_type(dtype: Any) -> int:
    """The ONNX data type of a numpy (or ml_dtypes) type, or of an ONNX type number itself."""
    return dtype if isinstance(dtype, int) else _number_of(dtype)


@cache
def _number_of(dtype: Any) -> int:
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def weight_bytes(value: gs.Constant) -> int:
    """Bytes of a constant as a model file stores it."""
    held = value._values
    if isinstance(held, StoredWeights):
        return held.nbytes
    if isinstance(held, SparseValues):
        return int(held.tensor.ByteSize())
    return stored_bytes(onnx_type(held.dtype), list(held.shape))


def is_large(value: gs.Constant, limit: int) -> bool:
    """Whether a constant's bytes can and should stand apart from the message that names it."""
    held = value._values
    if isinstance(held, StoredWeights):
        return held.raw and held.nbytes >= limit
    # Packed and text types go through the message, where onnx knows how to lay them out.
    return isinstance(held, np.ndarray) and held.dtype.kind in "fiubcV" and _is_plain(held) and held.nbytes >= limit


def _is_plain(values: Array) -> bool:
    return stored_bytes(onnx_type(values.dtype), list(values.shape)) == values.nbytes


def tensor_header(value: gs.Constant) -> onnx.TensorProto:
    """Name, type and shape of a constant, without its data."""
    held = value._values
    tensor = onnx.TensorProto(name=value.name, dims=held.shape)
    tensor.data_type = held.tensor.data_type if isinstance(held, StoredWeights) else onnx_type(held.dtype)
    return tensor


def tensor_proto(value: gs.Constant) -> onnx.TensorProto:
    """A constant with its data inside."""
    held = value._values
    if not isinstance(held, StoredWeights):
        return onnx.numpy_helper.from_array(np.ascontiguousarray(held).reshape(held.shape), value.name)
    tensor = onnx.TensorProto()
    tensor.CopyFrom(held.tensor)
    tensor.name = value.name
    if held.extent:
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        tensor.raw_data = b"".join(held.chunks())
    return tensor


def value_info(value: gs.Tensor, *, shape: bool = True) -> onnx.ValueInfoProto:
    """Name, type and shape of a value, and what the model as read says of it beside these."""
    declared = value_extras(value).declared
    if isinstance(value, gs.Variable) and value.type != "tensor_type" and declared is not None:
        info = onnx.ValueInfoProto()
        info.CopyFrom(declared)
        info.name = value.name
        return info
    info = onnx.ValueInfoProto(name=value.name)
    if value.dtype is not None:
        info = onnx.helper.make_tensor_value_info(value.name, onnx_type(value.dtype), value.shape if shape else None)
    if declared is not None:
        if declared.doc_string:
            info.doc_string = declared.doc_string
        info.metadata_props.extend(declared.metadata_props)
    return info


def inner_value_info(value: gs.Variable) -> onnx.ValueInfoProto:
    """The same for a value that is neither input nor output: without the names that inference invented."""
    info = value_info(value)
    for dimension in info.type.tensor_type.shape.dim:
        if dimension.dim_param.startswith(INVENTED):
            dimension.ClearField("dim_param")
    return info


def node_proto(node: gs.Node, provenance: bool = True) -> onnx.NodeProto:
    """A node with the metadata and attributes that graphsurgeon has no place for."""
    extras = node_extras(node)
    proto = onnx.NodeProto(
        op_type=node.op,
        input=[value.name for value in node.inputs],
        output=[value.name for value in node.outputs],
        name=node.name or None,
        domain=node.domain or None,
        overload=extras.overload or None,
        doc_string=extras.doc_string or None,
    )
    for name, attribute in node.attrs.items():
        if name in extras.attributes and not attribute:
            continue
        if isinstance(attribute, gs.Constant):
            proto.attribute.append(onnx.helper.make_attribute(name, tensor_proto(attribute)))
        elif isinstance(attribute, gs.Graph):
            proto.attribute.append(onnx.helper.make_attribute(name, subgraph_proto(attribute)))
        elif (plain := _plain_attribute(name, attribute)) is not None:
            proto.attribute.append(plain)
        else:
            proto.attribute.extend(OnnxExporter.export_attributes({name: attribute}))
    proto.attribute.extend(attribute for name, attribute in extras.attributes.items() if not node.attrs.get(name))
    if provenance:
        for key, text in extras.metadata.items():
            proto.metadata_props.add(key=key, value=text)
    return proto


def _plain_attribute(name: str, value: Any) -> onnx.AttributeProto | None:
    """The attribute for a number, a text or a list of integers, which nearly all attributes are; None for others.

    onnx makes the same, and takes several times as long to find out what the value is.
    """
    kind = type(value)
    if kind is list and value and all(type(each) is int for each in value):
        return onnx.AttributeProto(name=name, type=onnx.AttributeProto.INTS, ints=value)
    if kind is int:
        return onnx.AttributeProto(name=name, type=onnx.AttributeProto.INT, i=value)
    if kind is float:
        return onnx.AttributeProto(name=name, type=onnx.AttributeProto.FLOAT, f=value)
    if kind is str:
        return onnx.AttributeProto(name=name, type=onnx.AttributeProto.STRING, s=value.encode())
    return None


def subgraph_proto(graph: gs.Graph) -> onnx.GraphProto:
    """The body of an If, Loop or Scan."""
    proto = onnx.GraphProto(name=graph.name, doc_string=graph.doc_string or "")
    proto.node.extend(node_proto(node) for node in graph.nodes)
    proto.input.extend(value_info(value) for value in graph.inputs)
    proto.output.extend(value_info(value) for value in graph.outputs)
    read = {id(value): value for node in graph.nodes for value in reads(node)}
    read |= {id(value): value for value in graph.outputs}
    own = body_extras(graph).constants
    proto.initializer.extend(
        tensor_proto(value) for value in read.values() if isinstance(value, gs.Constant) and value.name in own
    )
    return proto


def mark_external(tensor: onnx.TensorProto, location: str, offset: int, size: int) -> None:
    """Say in a tensor that its data is in another file."""
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, text in (("location", location), ("offset", str(offset)), ("length", str(size))):
        tensor.external_data.add(key=key, value=text)


def write_model(model: onnx.ModelProto, large: Iterable[gs.Constant], path: Path) -> Written:
    """One file: `model`, then each large weight as one more initializer of its graph."""
    graph = model.graph.SerializeToString()
    records = []
    for value in large:
        tensor = tensor_header(value).SerializeToString()
        size = weight_bytes(value)
        data = header(TENSOR_RAW_DATA, size)
        records.append((header(GRAPH_INITIALIZER, len(tensor) + len(data) + size) + tensor + data, size, value))
    total = len(graph) + sum(len(head) + size for head, size, _ in records)
    rest = onnx.ModelProto()
    rest.CopyFrom(model)
    rest.ClearField("graph")
    writer = FileWriter(path)
    writer.write(rest.SerializeToString())
    writer.write(header(MODEL_GRAPH, total))
    writer.write(graph)
    for head, _, value in records:
        writer.write(head)
        writer.write_weights(stored_values(value))
    return writer.close()


def write_external(model: onnx.ModelProto, large: Iterable[gs.Constant], path: Path) -> list[Written]:
    """Two files: `model` and, beside it, `<name>.data` with each large weight on a page of its own."""
    data = FileWriter(path.with_name(path.name + ".data"))
    for value in large:
        data.write(b"\0" * (-data.bytes % _PAGE))
        tensor = tensor_header(value)
        mark_external(tensor, data.path.name, data.bytes, weight_bytes(value))
        model.graph.initializer.append(tensor)
        data.write_weights(stored_values(value))
    writer = FileWriter(path)
    writer.write(model.SerializeToString())
    return [writer.close(), data.close()]
