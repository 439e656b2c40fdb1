"""From a model file to graphsurgeon's nodes and values, with everything graphsurgeon would lose kept beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.ir.tensor import LazyValues, SparseValues
from onnx_graphsurgeon.logger import G_LOGGER

from vggc.diagnostics import Code, fail
from vggc.graph.extras import body_extras, copy_extras, node_extras, value_extras
from vggc.graph.functions import inline_functions
from vggc.graph.soundness import check_count, reject_references, reject_unsound
from vggc.graph.weights import StoredWeights, external_extent, stored_bytes
from vggc.graph.wire import Extent, Skeleton

# graphsurgeon warns about types it converts; vggc keeps those types itself.
G_LOGGER.severity = G_LOGGER.ERROR

_UNSUPPORTED = frozenset({"SPARSE_TENSOR", "SPARSE_TENSORS", "TENSORS", "GRAPHS", "TYPE_PROTO", "TYPE_PROTOS"})
_DENSE_NUMBERS = 1 << 22
"""Numbers up to which a sparse constant is written as a dense one."""

_LISTS = {"INTS": "ints", "FLOATS": "floats", "STRINGS": "strings"}


def import_skeleton(skeleton: Skeleton, folder: Path) -> gs.Graph:
    """graphsurgeon's graph of a model, Constant nodes turned into constant values."""
    model = skeleton.model
    reject_unsound(model)
    model = inline_functions(model)
    reject_references(model.graph.node)
    extents = {
        tensor.name: skeleton.extents[position]
        for position, tensor in enumerate(model.graph.initializer)
        if position in skeleton.extents
    }
    graph = gs.import_onnx(model)
    _keep(graph, model.graph)
    for each in _graphs(graph):
        _normalise(each)
        _store_weights(each, extents, folder)
        _constants_from_nodes(each)
    return graph


def carry(source: gs.Graph, twin: gs.Graph, twins: dict[int, gs.Tensor] | None = None) -> None:
    """Attach to a graphsurgeon copy of a graph what the copy lost.

    `twins` are the copies of the values outside, by the id of the value: a copy of a body reads copies of its own of
    the constants outside, where it should read theirs.
    """
    twins = {} if twins is None else twins
    for value, copy in zip((*source.inputs, *source.outputs), (*twin.inputs, *twin.outputs), strict=True):
        value_extras(copy).declared = value_extras(value).declared
        if isinstance(value, gs.Variable) and isinstance(copy, gs.Variable):
            copy.type = value.type
    for before, after in zip(source.nodes, twin.nodes, strict=True):
        copy_extras(before, after)
        for index, value in enumerate(before.inputs):
            list.__setitem__(after.inputs, index, twins.setdefault(id(value), after.inputs[index]))
        for name, attribute in before.attrs.items():
            if isinstance(attribute, gs.Graph):
                body_extras(after.attrs[name]).constants = body_extras(attribute).constants
                carry(attribute, after.attrs[name], twins)
    pairs = zip(source.outputs, twin.outputs, strict=True)
    twin.outputs = [twins.setdefault(id(value), copy) for value, copy in pairs]


def _graphs(graph: gs.Graph) -> Iterator[gs.Graph]:
    yield graph
    yield from graph.subgraphs(recursive=True)


def _keep(graph: gs.Graph, proto: onnx.GraphProto) -> None:
    """Attach to nodes and values what graphsurgeon drops on the way in."""
    infos = {each.name: each for each in (*proto.value_info, *proto.input, *proto.output)}
    for value in (*graph.inputs, *graph.outputs):
        value_extras(value).declared = infos.get(value.name)
    for node, source in zip(graph.nodes, proto.node, strict=True):
        kept = {}
        for attribute in source.attribute:
            kind = onnx.AttributeProto.AttributeType.Name(attribute.type)
            empty = kind in _LISTS and not getattr(attribute, _LISTS[kind])
            # An empty list has no type of its own, so graphsurgeon could not write it back.
            if (kind in _UNSUPPORTED or empty) and not attribute.ref_attr_name:
                kept[attribute.name] = attribute
            elif kind == "GRAPH":
                body = node.attrs[attribute.name]
                made = [each.output[0] for each in attribute.g.node if each.op_type == "Constant"]
                body_extras(body).constants = frozenset({*made, *(each.name for each in attribute.g.initializer)})
                _keep(body, attribute.g)
        extras = node_extras(node)
        extras.metadata = {each.key: each.value for each in source.metadata_props}
        extras.doc_string = source.doc_string
        extras.overload = source.overload
        extras.attributes = kept


def _normalise(graph: gs.Graph) -> None:
    """Give values the types and shapes they have, operators of ONNX one domain, and nodes names of their own.

    graphsurgeon gives sequences, optionals and maps the type of what they hold; some exporters write an unknown
    dimension as -1 or `?`, leave graphs without a name, or give two nodes one name, which onnxruntime refuses.
    """
    graph.name = graph.name or "graph"
    for value in graph.tensors().values():
        if not isinstance(value, gs.Variable):
            continue
        if value.type != "tensor_type":
            value.dtype = value.shape = None
        elif value.dtype == onnx.TensorProto.UNDEFINED:
            value.dtype = None
        if value.shape is not None:
            value.shape = [None if _is_unknown(each) else each for each in value.shape]
    names = {node.name for node in graph.nodes}
    met: set[str] = set()
    numbers: dict[str, Iterator[int]] = {}
    for node in graph.nodes:
        if node.domain == "ai.onnx":
            node.domain = None
        if node.name in met:
            more = numbers.setdefault(node.name, count(1))
            node.name = next(name for each in more if (name := f"{node.name}_{each}") not in names)
            names.add(node.name)
        if node.name:
            met.add(node.name)


def _is_unknown(dimension: int | str | None) -> bool:
    """Whether a dimension says nothing of its size. `?` stands for any size at each place, and is not a name."""
    if isinstance(dimension, str):
        return not any(each.isalnum() for each in dimension)
    return dimension is None or dimension < 0


def _store_weights(graph: gs.Graph, extents: dict[str, Extent], folder: Path) -> None:
    for value in graph.tensors().values():
        if isinstance(value, gs.Constant):
            _store(value, extents.get(value.name), folder)
    for node in graph.nodes:
        for attribute in node.attrs.values():
            if isinstance(attribute, gs.Constant):
                _store(attribute, None, folder)


def _store(value: gs.Constant, extent: Extent | None, folder: Path) -> None:
    held = value._values
    if not isinstance(held, LazyValues) or isinstance(held, SparseValues | StoredWeights):
        return
    tensor = held.tensor
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        extent = external_extent(tensor, folder)
    elif extent or tensor.HasField("raw_data"):
        size = extent.size if extent else len(tensor.raw_data)
        needed = stored_bytes(tensor.data_type, list(tensor.dims))
        if needed != size:
            raise fail(
                f"initializer `{tensor.name}` holds {size} bytes but its shape needs {needed}", code=Code.WEIGHTS_FILE
            )
    else:
        check_count(tensor)
    value._values = StoredWeights(tensor, extent)


def _constants_from_nodes(graph: gs.Graph) -> None:
    """A Constant node and an initializer say the same; passes should meet only one of them."""
    outputs = {id(value) for value in graph.outputs}
    kept = []
    for node in graph.nodes:
        constant = node.op == "Constant" and not node.domain
        if constant:
            _make_dense(node)
        if constant and not any(value.name for value in node.outputs):
            continue
        values = _constant_values(node) if constant else None
        if values is None or id(node.outputs[0]) in outputs:
            kept.append(node)
            continue
        value = node.outputs[0]
        list.clear(value.inputs)
        if isinstance(values, gs.Constant):
            value.to_constant(np.zeros(0))._values = values._values
        else:
            value.to_constant(values)
    graph.nodes = kept


def _make_dense(node: gs.Node) -> None:
    """Write a sparse constant as a dense one, which means the same: onnxruntime hands out a sparse one as it stands."""
    extras = node_extras(node)
    attribute = extras.attributes.get("sparse_value")
    if attribute is None or math.prod(attribute.sparse_tensor.dims) > _DENSE_NUMBERS:
        return
    sparse = attribute.sparse_tensor
    values, indices = (onnx.numpy_helper.to_array(each) for each in (sparse.values, sparse.indices))
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    places = np.unravel_index(indices, dense.shape) if indices.ndim == 1 else tuple(indices.T)
    dense[places] = values
    extras.attributes = {name: each for name, each in extras.attributes.items() if name != "sparse_value"}
    node.attrs["value"] = gs.Constant(f"{node.outputs[0].name}_dense", dense)


def _constant_values(node: gs.Node) -> Any:
    """What a Constant node holds, or None when a numpy array cannot hold it (strings, sparse tensors)."""
    for name, attribute in node.attrs.items():
        if name == "value" and isinstance(attribute, gs.Constant):
            return attribute
        if name in ("value_float", "value_floats"):
            return np.array(attribute, np.float32)
        if name in ("value_int", "value_ints"):
            return np.array(attribute, np.int64)
    for name in node_extras(node).attributes:
        if name == "value_ints":
            return np.zeros(0, np.int64)
        if name == "value_floats":
            return np.zeros(0, np.float32)
    return None
