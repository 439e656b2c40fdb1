"""A graph as an ONNX message: whole, without its weights, or streamed to a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.ir.tensor import SparseValues

from vggc.graph import writer
from vggc.graph.arrays import Array
from vggc.graph.domains import is_standard
from vggc.graph.weights import StoredWeights
from vggc.graph.wire import KEEP_BELOW

if TYPE_CHECKING:
    from vggc.graph.graph import Graph

METADATA_IR_VERSION = 10
"""The first IR version whose nodes have metadata_props."""


@dataclass(frozen=True)
class Exported:
    """A model message and, by initializer name, the large weights that stand apart from it.

    In `model` those initializers are marked as external data without a usable location.
    """

    model: onnx.ModelProto
    weights: dict[str, Array | StoredWeights]


def export(graph: Graph, inline_below: int) -> Exported:
    """See Graph.export."""
    model, large = message(graph, inline_below)
    for value in large:
        tensor = writer.tensor_header(value)
        writer.mark_external(tensor, "weights", 0, writer.weight_bytes(value))
        model.graph.initializer.append(tensor)
    return Exported(model, {value.name: writer.stored_values(value) for value in large})


def skeleton(graph: Graph, *, known: bool) -> onnx.ModelProto:
    """See Graph.skeleton."""
    model, large = message(graph, KEEP_BELOW, known=known)
    for value in large:
        tensor = writer.tensor_header(value)
        model.graph.input.append(onnx.helper.make_tensor_value_info(value.name, tensor.data_type, tensor.dims))
    return model


def save(graph: Graph, path: Path, *, external: bool) -> list[writer.Written]:
    """See Graph.save."""
    model, large = message(graph, KEEP_BELOW)
    # Each weight that stands apart costs a few dozen bytes for its name and shape beside its data.
    size = model.ByteSize() + sum(writer.weight_bytes(value) + 256 for value in large)
    if external or size > writer.PROTOBUF_LIMIT:
        return writer.write_external(model, large, path)
    return [writer.write_model(model, large, path)]


def message(graph: Graph, inline_below: int, *, known: bool = True) -> tuple[onnx.ModelProto, list[gs.Constant]]:
    """The model without the constants of `inline_below` bytes or more, and those constants."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    model.ir_version = graph.ir_version
    proto = model.graph
    proto.name = graph.name
    proto.doc_string = graph.doc_string or ""
    constants = graph.constants()
    proto.node.extend(writer.node_proto(node) for node in graph.nodes)
    if any(node.metadata_props for node in proto.node):
        model.ir_version = max(model.ir_version, METADATA_IR_VERSION)
    _import_domains(graph, model)
    proto.input.extend(writer.value_info(value) for value in graph.inputs)
    proto.output.extend(
        # A constant can be an output: it needs its shape, which inference would not find again.
        writer.value_info(value, shape=known or isinstance(value, gs.Constant))
        for value in graph.outputs
    )
    large = []
    for value in constants:
        if isinstance(value._values, SparseValues):
            proto.sparse_initializer.append(value._values.tensor)
        elif writer.is_large(value, inline_below):
            large.append(value)
        else:
            proto.initializer.append(writer.tensor_proto(value))
    outputs = {id(value) for value in graph.outputs}
    for node in graph.nodes:
        if known or not is_standard(node):
            proto.value_info.extend(
                writer.inner_value_info(value)
                for value in node.outputs
                if value.name and id(value) not in outputs and value.dtype is not None
            )
    return model, large


def _import_domains(graph: Graph, model: onnx.ModelProto) -> None:
    """Declare the operator sets the nodes use: the graph's own opset, and version 1 of a domain that is new."""
    declared = {each.domain or "ai.onnx": each for each in model.opset_import}
    if "ai.onnx" in declared:
        declared["ai.onnx"].version = graph.opset
    used = {node.domain for node in graph.nodes}
    for body in graph.subgraphs(recursive=True):
        used |= {node.domain for node in body.nodes}
    for domain in sorted(each or "ai.onnx" for each in used):
        if domain not in declared:
            version = graph.opset if domain == "ai.onnx" else 1
            model.opset_import.add(domain="" if domain == "ai.onnx" else domain, version=version)
            declared[domain] = model.opset_import[-1]
