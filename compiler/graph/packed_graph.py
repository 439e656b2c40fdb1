"""A graph as bytes, from which exactly the same graph can be made again.

An ONNX file is not enough for that: it has no dimensions that inference has named, no float attribute with more digits
than float32 has, and not the names that are used up. These are kept beside the message. Weights that still are those of
the model as read are not copied: they are referred to by their place in its files.

    length of the head (8 bytes) | head (JSON) | model message without large weights | large weights
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.graph.arrays import Array
from vggc.graph.extras import body_extras, node_extras, value_extras
from vggc.graph.graph import Graph
from vggc.graph.model_export import message
from vggc.graph.node_order import subgraphs
from vggc.graph.snapshot import Snapshot
from vggc.graph.weights import StoredWeights, is_packed
from vggc.graph.wire import KEEP_BELOW, Extent, Skeleton
from vggc.graph.writer import onnx_type, stored_values, tensor_header, weight_bytes, weight_chunks

_LENGTH = 8
_OWN = Path()
"""The path of weights that are in the packed graph itself."""

Part = bytes | memoryview


def pack(graph: Graph, model: Path, limit: int) -> list[Part] | None:
    """A graph as bytes, in parts; `model` is the file that it was read from.

    None for a graph that would not be made again exactly, because a pass has put objects of its own into it,
    and for a graph with more than `limit` bytes of large weights that are not those of the model.
    """
    proto, large = message(graph, KEEP_BELOW)
    new = [value for value in large if _place_in_model(stored_values(value), model) is None]
    if sum(map(weight_bytes, new)) > limit:
        return None
    weights: list[Part] = []
    places: list[list[Any]] = []
    offset = 0
    for value in large:
        proto.graph.initializer.append(tensor_header(value))
        held = stored_values(value)
        place = _place_in_model(held, model)
        if place is None:
            parts = list(weight_chunks(held))
            size = sum(map(len, parts))
            place = ["", offset, size]
            weights += parts
            offset += size
        places.append(place)
    body = proto.SerializeToString()
    head = json.dumps({**_beside(graph), "message": len(body), "weights": places}).encode()
    packed = [len(head).to_bytes(_LENGTH, "little"), head, body, *weights]
    try:
        again = unpack(memoryview(b"".join(packed)), model)
    except (ValueError, KeyError, IndexError):
        return None
    return packed if _content(again) == _content(graph) else None


def unpack(content: memoryview, model: Path) -> Graph:
    """The graph that `pack` was given. Its weights are views of `content` and of the files of `model`."""
    start = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    head = json.loads(bytes(content[_LENGTH:start]))
    own = content[start + head["message"] :]
    proto = onnx.ModelProto.FromString(bytes(content[start : start + head["message"]]))
    first = len(proto.graph.initializer) - len(head["weights"])
    extents = {
        first + at: Extent(model.parent / file if file else _OWN, offset, size)
        for at, (file, offset, size) in enumerate(head["weights"])
    }
    graph = Graph.from_skeleton(Skeleton(proto, extents), model.parent)
    for value, in_memory in zip(_constants(graph), head["in_memory"], strict=True):
        held = value._values
        if isinstance(held, StoredWeights) and (in_memory or _is_own(held)):
            value._values = _values(held, own, in_memory=in_memory)
    _set_beside(graph, head)
    return graph


def weight_files(graph: Graph, model: Path) -> list[Path]:
    """The files beside a model that hold weights of the graph that was read from it."""
    held = (value._values for value in _constants(graph))
    paths = {each.extent.path.resolve() for each in held if isinstance(each, StoredWeights) and each.extent is not None}
    return sorted(paths - {model.resolve()})


def _place_in_model(held: Any, model: Path) -> list[Any] | None:
    """File, offset and bytes of a weight that is still that of the model as read."""
    if not isinstance(held, StoredWeights) or held.extent is None:
        return None
    path, folder = held.extent.path.resolve(), model.parent.resolve()
    if not path.is_relative_to(folder):
        return None
    return [path.relative_to(folder).as_posix(), held.extent.offset, held.extent.size]


def _is_own(stored: StoredWeights) -> bool:
    return stored.extent is not None and stored.extent.path == _OWN


def _values(stored: StoredWeights, own: memoryview, *, in_memory: bool) -> Array | StoredWeights:
    """What a constant held: an array of a pass (`in_memory`), or the values of a tensor that nobody has read."""
    if stored.extent is None or not _is_own(stored):
        return stored.load()
    data = own[stored.extent.offset : stored.extent.offset + stored.extent.size]
    if in_memory and not is_packed(stored.tensor.data_type):
        values: Array = np.frombuffer(data, np.uint8).view(stored.dtype).reshape(stored.shape)
        values.flags.writeable = False
        return values
    tensor = onnx.TensorProto()
    tensor.CopyFrom(stored.tensor)
    tensor.raw_data = bytes(data)
    found = StoredWeights(tensor, None)
    return found.load() if in_memory else found


def _beside(graph: Graph) -> dict[str, Any]:
    """What an ONNX message does not hold, as JSON."""
    return {
        "ir_version": graph.ir_version,
        "opset": graph.opset,
        "domains": [[each.domain, each.version] for each in graph.import_domains or ()],
        "producer": [graph.producer_name, graph.producer_version],
        "frame": graph.model.SerializeToString(deterministic=True).hex(),
        "names": dict(graph._names),
        "in_memory": [isinstance(value._values, np.ndarray) for value in _constants(graph)],
        "values": [_known(value) for value in _variables(graph)],
        "node_domains": [node.domain for node in all_nodes(graph)],
        "earlier_lines": [list(node_extras(node).earlier) for node in all_nodes(graph)],
        "floats": [
            [index, name, value]
            for index, node in enumerate(all_nodes(graph))
            for name, value in node.attrs.items()
            if _needs_digits(value)
        ],
    }


def _set_beside(graph: Graph, head: dict[str, Any]) -> None:
    graph.ir_version, graph.opset = head["ir_version"], head["opset"]
    graph.import_domains = [onnx.OperatorSetIdProto(domain=name, version=version) for name, version in head["domains"]]
    graph.producer_name, graph.producer_version = head["producer"]
    graph.model = onnx.ModelProto.FromString(bytes.fromhex(head["frame"]))
    graph._names = Counter(head["names"])
    for value, (kind, by_number, dtype, shape, declared) in zip(_variables(graph), head["values"], strict=True):
        value.type = kind
        value.dtype = dtype if by_number or dtype is None else onnx.helper.tensor_dtype_to_np_dtype(dtype)
        value.shape = shape
        value_extras(value).declared = declared and onnx.ValueInfoProto.FromString(bytes.fromhex(declared))
    nodes = list(all_nodes(graph))
    for node, domain, lines in zip(nodes, head["node_domains"], head["earlier_lines"], strict=True):
        node.domain = domain
        node_extras(node).earlier = tuple(lines)
    for index, name, number in head["floats"]:
        nodes[index].attrs[name] = number


def all_nodes(graph: gs.Graph) -> Iterator[gs.Node]:
    """All nodes, each before those of its bodies."""
    for node in graph.nodes:
        yield node
        for body in subgraphs(node):
            yield from all_nodes(body)


def _bodies(graph: gs.Graph) -> list[gs.Graph]:
    """The bodies of all nodes, each before those inside of it."""
    return [body for node in all_nodes(graph) for body in subgraphs(node)]


def _variables(graph: gs.Graph) -> list[gs.Variable]:
    """All values that have a name and are no constants, each once, in an order that depends on the graph alone."""
    ends = [value for each in (graph, *_bodies(graph)) for value in (*each.inputs, *each.outputs)]
    inner = [value for node in all_nodes(graph) for value in (*node.inputs, *node.outputs)]
    found = {id(value): value for value in (*ends, *inner) if isinstance(value, gs.Variable) and value.name}
    return list(found.values())


def _constants(graph: gs.Graph) -> list[gs.Constant]:
    """All constants, those in attributes included, each once, in an order that depends on the graph alone."""
    outputs = [value for each in (graph, *_bodies(graph)) for value in each.outputs]
    inner = [value for node in all_nodes(graph) for value in (*node.inputs, *node.attrs.values())]
    found = {id(value): value for value in (*outputs, *inner) if isinstance(value, gs.Constant)}
    return list(found.values())


def _known(value: gs.Variable) -> list[Any]:
    """Kind, whether the type is given by its ONNX number, the type as that number, the shape, and the declaration."""
    number = None if value.dtype is None else onnx_type(value.dtype)
    shape = None if value.shape is None else [_size(each) for each in value.shape]
    declared = value_extras(value).declared
    text = None if declared is None else declared.SerializeToString(deterministic=True).hex()
    return [value.type, isinstance(value.dtype, int), number, shape, text]


def _size(dimension: Any) -> int | str | None:
    return dimension if dimension is None or isinstance(dimension, str) else int(dimension)


def _needs_digits(value: Any) -> bool:
    """Whether an attribute has a float that float32 does not hold."""
    numbers = value if isinstance(value, list) else [value]
    with np.errstate(over="ignore"):
        return any(type(each) is float and float(np.float32(each)) != each for each in numbers)


def _content(graph: Graph) -> list[Any]:
    """Everything of a graph that a pass or the writer can see."""
    constants = [(value.name, onnx_type(value.dtype), list(value.shape)) for value in graph.constants()]
    return [
        Snapshot(graph),
        {**_beside(graph), "name": graph.name, "doc": graph.doc_string or ""},
        [_said_of(node) for node in all_nodes(graph)],
        [value.name for value in _variables(graph)],
        constants,
        message(graph, KEEP_BELOW)[0].SerializeToString(deterministic=True),
        [(body.name, body.doc_string or "", sorted(body_extras(body).constants)) for body in _bodies(graph)],
    ]


def _said_of(node: gs.Node) -> list[Any]:
    extras = node_extras(node)
    names = [value.name for value in (*node.inputs, *node.outputs)]
    return [node.name, names, list(node.attrs), list(extras.metadata.items()), extras.doc_string, extras.overload]
