"""Long rows of numbers, out of the way of ONNX's data propagation.

Asked to follow the numbers that shapes are computed from, ONNX's inference takes any one-dimensional value for a shape
and makes a dimension of each of its elements: a row of 10^12 elements, which a model says in a line, fills any memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx

LONGEST = 1 << 20
"""Elements of a row up to which its numbers may be followed: some 60 MB of dimensions."""

_DOMAIN = "vggc.opaque"


def hide_long_rows(model: onnx.ModelProto) -> None:
    """Make nodes that read a long row unknown to inference, and state what inference finds of their results.

    Raises what ONNX's inference raises.
    """
    found = onnx.shape_inference.infer_shapes(model).graph
    infos = {each.name: each for each in (*found.input, *found.value_info, *found.output)}
    long = {name for name, each in infos.items() if _is_long([size.dim_value for size in _sizes(each)])}
    long |= {each.name for each in model.graph.initializer if _is_long(list(each.dims))}
    if not long:
        return
    stated = {each.name for each in (*model.graph.value_info, *model.graph.output)}
    for node in model.graph.node:
        if long.isdisjoint(_read(node)):
            continue
        node.domain = _DOMAIN
        del node.attribute[:]
        model.graph.value_info.extend(infos[each] for each in node.output if each in infos and each not in stated)
        for output in model.graph.output:
            if output.name in node.output and output.name in infos:
                output.CopyFrom(infos[output.name])
    model.opset_import.add(domain=_DOMAIN, version=1)


def _is_long(shape: list[int]) -> bool:
    return len(shape) == 1 and shape[0] > LONGEST


def _sizes(value: onnx.ValueInfoProto) -> Iterator[onnx.TensorShapeProto.Dimension]:
    if value.type.WhichOneof("value") == "tensor_type":
        yield from value.type.tensor_type.shape.dim


def _read(node: onnx.NodeProto) -> set[str]:
    """The values a node reads, those read inside its bodies included."""
    bodies = [each.g for each in node.attribute if each.type == onnx.AttributeProto.GRAPH]
    return {*node.input, *(name for body in bodies for inner in body.node for name in _read(inner))}
