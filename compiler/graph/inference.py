"""What the onnx library says of a graph: types and shapes of its values, and whether it is valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import onnx
import onnx_graphsurgeon as gs

from vggc.diagnostics import fail
from vggc.graph.domains import is_standard
from vggc.graph.long_rows import hide_long_rows
from vggc.graph.writer import INVENTED

if TYPE_CHECKING:
    from vggc.graph.graph import Graph

_LIKE_THEIR_INPUT = frozenset({"GroupNormalization", "MeanVarianceNormalization"})
"""Operators whose output has the type and shape of their first input, and of which ONNX's inference finds neither."""

_LARGEST_SCALE = 64


def infer_shapes(graph: Graph, *, check: bool) -> None:
    """See Graph.infer_shapes. Raises CompileError when inference fails as a whole."""
    model = graph.skeleton(known=False)
    if check:
        _check(model)
    put_simply(model)
    try:
        hide_long_rows(model)
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise fail(f"shape inference failed: {_first_line(error)}") from None
    infos = {each.name: each for each in (*inferred.value_info, *inferred.output)}
    _forget_sizes_of_sequences(graph, infos)
    declared = {id(value) for value in graph.outputs}
    for node in graph.nodes:
        for value in node.outputs:
            info = infos.get(value.name)
            if info is not None and info.type.HasField("tensor_type"):
                _take(value, info.type.tensor_type, declared=id(value) in declared)
            elif value.shape is not None:
                # Names that an earlier inference invented may stand for other dimensions by now.
                value.shape = [None if str(each).startswith(INVENTED) else each for each in value.shape]


def put_simply(model: onnx.ModelProto) -> None:
    """Write operators of which inference finds too little as others that give the same shapes.

    A Resize by whole numbers is as large as copies of its input side by side; unlike it, a Concat keeps the names of
    dimensions that stay as they are.
    """
    if not any(each.op_type in (*_LIKE_THEIR_INPUT, "Resize") for each in model.graph.node):
        return
    constants = {each.name: each for each in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if is_standard(node) and node.op_type in _LIKE_THEIR_INPUT:
            nodes.append(onnx.helper.make_node("Identity", node.input[:1], node.output[:1]))
        elif is_standard(node) and node.op_type == "Resize" and (scales := _scales(node, constants)):
            nodes += _copies(node, scales)
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _scales(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> list[int]:
    """The scales of a Resize, where they are few and whole; else none."""
    if len(node.input) != 3 or node.input[2] not in constants or any(each.name == "axes" for each in node.attribute):
        return []
    array = onnx.numpy_helper.to_array(constants[node.input[2]])
    if array.ndim != 1 or array.dtype.kind != "f":
        return []
    scales = [float(each) for each in array]
    whole = all(each.is_integer() and 1 <= each <= _LARGEST_SCALE for each in scales)
    return [int(each) for each in scales] if whole else []


def _copies(node: onnx.NodeProto, scales: Sequence[int]) -> list[onnx.NodeProto]:
    value, nodes = node.input[0], []
    for axis, scale in enumerate(scales):
        if scale > 1:
            nodes.append(onnx.helper.make_node("Concat", [value] * scale, [f"{node.output[0]}.{axis}"], axis=axis))
            value = f"{node.output[0]}.{axis}"
    return [*nodes, onnx.helper.make_node("Identity", [value], node.output[:1])]


def _forget_sizes_of_sequences(graph: Graph, infos: dict[str, onnx.ValueInfoProto]) -> None:
    """Drop the names that inference invents for the dimensions of a sequence's elements.

    Each element may have its own size there, and all of them get one name: it is no dimension's name.
    """
    met: set[str] = set()
    wrong: set[str] = set()
    for node in graph.nodes:
        for value in node.outputs:
            info = infos.get(value.name)
            if info is not None and info.type.HasField("sequence_type"):
                wrong |= {name for name in _invented(info.type.sequence_type.elem_type.tensor_type) if name not in met}
            elif info is not None:
                met |= _invented(info.type.tensor_type)
    for info in infos.values() if wrong else ():
        for dimension in info.type.tensor_type.shape.dim:
            if dimension.dim_param in wrong:
                dimension.ClearField("dim_param")


def _invented(inferred: onnx.TypeProto.Tensor) -> set[str]:
    return {each.dim_param for each in inferred.shape.dim if each.dim_param.startswith(INVENTED)}


def _take(value: gs.Variable, inferred: onnx.TypeProto.Tensor, *, declared: bool) -> None:
    if inferred.elem_type:
        value.dtype = onnx.helper.tensor_dtype_to_np_dtype(inferred.elem_type)
    if not inferred.HasField("shape"):
        # What was known before the last rewrite may no longer hold; what the model declares of its outputs does.
        value.shape = value.shape if declared else None
        return
    shape: list[int | str | None] = []
    for index, dimension in enumerate(inferred.shape.dim):
        known = value.shape[index] if declared and value.shape and len(value.shape) > index else None
        if dimension.HasField("dim_value"):
            shape.append(dimension.dim_value)
        else:
            symbol = dimension.dim_param
            # Inference invents names for what it does not know; the model's own names say more.
            if declared and symbol.startswith(INVENTED):
                symbol = ""
            shape.append(symbol or known)
    value.shape = shape


def _check(model: onnx.ModelProto) -> None:
    unknown = [each.type.tensor_type for each in model.graph.output if each.type.HasField("tensor_type")]
    # The checker wants outputs to declare a shape, any shape; inference is about to find the true one.
    for each in unknown:
        each.shape.SetInParent()
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
        context = tuple(("note", line.removeprefix("==> Context: ")) for line in lines[1:3])
        raise fail(f"the model is not valid ONNX: {lines[0]}", facts=context) from None
    for each in unknown:
        each.ClearField("shape")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
