"""What the onnx library says of a graph: types and shapes of its values, and whether it is valid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import onnx
import onnx_graphsurgeon as gs

from vggc.diagnostics import Code, fail, first_line
from vggc.graph.arrays import Dimensions
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
    types = infer_types(model)
    declared = {id(value) for value in graph.outputs}
    for node in graph.nodes:
        for value in node.outputs:
            found = types.get(value.name)
            if found is not None and found.HasField("tensor_type"):
                _take(value, found.tensor_type, declared=id(value) in declared)
            elif value.shape is not None:
                # Names that an earlier inference invented may stand for other dimensions by now.
                value.shape = [None if str(each).startswith(INVENTED) else each for each in value.shape]


def infer_types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    """The types of inner values and outputs by name, as far as ONNX's inference can tell. It changes the model.

    Raises CompileError when inference fails as a whole.
    """
    put_simply(model)
    try:
        hide_long_rows(model)
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise fail(f"shape inference failed: {first_line(error)}", code=Code.SHAPES) from None
    types = {each.name: each.type for each in (*inferred.value_info, *inferred.output)}
    _forget_sizes_of_sequences(model.graph.node, types)
    return types


def dimensions(tensor: onnx.TypeProto.Tensor) -> Dimensions | None:
    """The shape of a tensor's type: numbers, names, and None for what is not known."""
    if not tensor.HasField("shape"):
        return None
    return [each.dim_value if each.HasField("dim_value") else each.dim_param or None for each in tensor.shape.dim]


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


def _forget_sizes_of_sequences(nodes: Iterable[onnx.NodeProto], types: Mapping[str, onnx.TypeProto]) -> None:
    """Drop the names that inference invents for the dimensions of a sequence's elements.

    Each element may have its own size there, and all of them get one name: it is no dimension's name.
    """
    met: set[str] = set()
    wrong: set[str] = set()
    for found in (types[name] for node in nodes for name in node.output if name in types):
        if found.HasField("sequence_type"):
            wrong |= _invented(found.sequence_type.elem_type.tensor_type) - met
        else:
            met |= _invented(found.tensor_type)
    for found in types.values() if wrong else ():
        for dimension in found.tensor_type.shape.dim:
            if dimension.dim_param in wrong:
                dimension.ClearField("dim_param")


def _invented(inferred: onnx.TypeProto.Tensor) -> set[str]:
    return {each.dim_param for each in inferred.shape.dim if each.dim_param.startswith(INVENTED)}


def _take(value: gs.Variable, inferred: onnx.TypeProto.Tensor, *, declared: bool) -> None:
    if inferred.elem_type:
        value.dtype = onnx.helper.tensor_dtype_to_np_dtype(inferred.elem_type)
    shape = dimensions(inferred)
    if shape is not None and declared:
        # Inference invents names for what it does not know; the model's own names say more.
        known = [*(value.shape or ()), *[None] * len(shape)]
        shape = [
            own if each is None or str(each).startswith(INVENTED) else each
            for each, own in zip(shape, known, strict=False)
        ]
    # What was known before the last rewrite may no longer hold; what the model declares of its outputs does.
    value.shape = value.shape if shape is None and declared else shape


def _check(model: onnx.ModelProto) -> None:
    untyped = [each for each in model.graph.output if each.type.WhichOneof("value") is None]
    unknown = [each.type.tensor_type for each in model.graph.output if each.type.HasField("tensor_type")]
    # The checker wants outputs to declare a type and a shape, any; inference is about to find the true ones.
    for output in untyped:
        output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        output.type.tensor_type.shape.SetInParent()
    for each in unknown:
        each.shape.SetInParent()
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
        context = tuple(("note", line.removeprefix("==> Context: ")) for line in lines[1:3])
        raise fail(f"the model is not valid ONNX: {lines[0]}", facts=context, code=Code.INVALID_MODEL) from None
    for output in untyped:
        output.ClearField("type")
    for each in unknown:
        each.ClearField("shape")
