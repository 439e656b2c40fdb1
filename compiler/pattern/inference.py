"""Infer the types of a replacement's constants, and the types and shapes of what its nodes compute.

The nodes are given to ONNX's inference as a model of their own: inferring the whole graph for each application of a
rule would take too long.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.diagnostics import Declined
from vggc.graph import Graph, StoredWeights
from vggc.graph.inference import dimensions, put_simply
from vggc.graph.node_order import subgraphs
from vggc.graph.writer import node_proto, onnx_type, tensor_proto, value_info, weight_bytes
from vggc.pattern.numbers import Numbers, kind_of
from vggc.pattern.operators import OperatorSets, operator_of

DType = np.dtype[Any]

_INLINE = 4096
_OLDEST_IR, _NEWEST_IR = 8, 10


def input_type(
    graph: Graph,
    schema: onnx.defs.OpSchema | None,
    inputs: Sequence[gs.Tensor | Numbers | None],
    index: int,
    result: DType | None,
) -> DType:
    """The type that numbers must have as an input of a new node.

    `result` is the type its first output has to have, when that is known. The operator decides, through the inputs
    that must be of the same type; what it leaves open, the weights that the numbers come from.
    """
    numbers = inputs[index]
    assert isinstance(numbers, Numbers)
    formal = _formal(schema, index)
    if formal is not None and formal.type_str.startswith("tensor("):
        return _named(formal.type_str)
    known = result if formal is None or (schema and schema.outputs[0].type_str == formal.type_str) else None
    for at, each in enumerate(inputs):
        if isinstance(each, gs.Tensor) and _alike(schema, at, index):
            known = known or graph.dtype(each)
    beside = [each for at, each in enumerate(inputs) if isinstance(each, Numbers) and _alike(schema, at, index)]
    return settled(numbers, known, beside)


def settled(numbers: Numbers, wanted: DType | None, beside: Sequence[Numbers] = ()) -> DType:
    """The type for numbers of which `wanted` is expected, if anything.

    Raises Declined where weights of another kind would have to be converted.
    """
    if wanted is None:
        strong = [each.dtype for each in (numbers, *beside) if each.dtype is not None]
        fitting = [each for each in strong if kind_of(each) == numbers.kind]
        default = {"f": np.float32, "i": np.int64, "b": np.bool_}[numbers.kind]
        return numbers.dtype or (fitting[0] if fitting else np.dtype(default))
    if numbers.dtype is not None and kind_of(numbers.dtype) != kind_of(wanted):
        raise Declined(f"numbers of type {numbers.dtype.name} are given where {wanted.name} is needed")
    return wanted


def _formal(schema: onnx.defs.OpSchema | None, index: int) -> onnx.defs.OpSchema.FormalParameter | None:
    if schema is None or not schema.inputs:
        return None
    return schema.inputs[min(index, len(schema.inputs) - 1)]


def _alike(schema: onnx.defs.OpSchema | None, one: int, other: int) -> bool:
    """Whether two inputs of an operator have the same type; of an operator nobody knows, all have."""
    if one == other:
        return False
    first, second = _formal(schema, one), _formal(schema, other)
    if first is None or second is None:
        return True
    return first.type_str == second.type_str and first.is_homogeneous and second.is_homogeneous


def _named(type_str: str) -> DType:
    name = type_str.removeprefix("tensor(").removesuffix(")")
    number = onnx.TensorProto.DataType.Value({"float16": "FLOAT16"}.get(name, name.upper()))
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(number))


def infer(graph: Graph, sets: OperatorSets, nodes: Sequence[gs.Node]) -> None:
    """Fill in type and shape of what new nodes compute, as far as ONNX's inference can tell.

    Raises Declined when the nodes do not go together: inputs of types or shapes that an operator refuses.
    """
    if any(any(True for _ in subgraphs(node)) for node in nodes):
        return
    model = _model(graph, sets, nodes)
    if model is None:
        return
    put_simply(model)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise Declined(f"its replacement is not valid here: {_reason(error)}") from None
    found = {each.name: each.type.tensor_type for each in (*inferred.graph.value_info, *inferred.graph.output)}
    given = {size.dim_param for each in model.graph.input for size in each.type.tensor_type.shape.dim}
    for node in nodes:
        for value in node.outputs:
            info = found.get(value.name)
            if info is not None and info.elem_type:
                value.dtype = onnx.helper.tensor_dtype_to_np_dtype(info.elem_type)
                shape = dimensions(info)
                # A name that this inference invented may stand for another dimension in the graph.
                value.shape = shape and [each if isinstance(each, int) or each in given else None for each in shape]


def _model(graph: Graph, sets: OperatorSets, nodes: Sequence[gs.Node]) -> onnx.ModelProto | None:
    """The nodes as a model; None when the type of something they read is not known."""
    proto = onnx.GraphProto(name="replacement")
    made = {id(value) for node in nodes for value in node.outputs}
    seen: set[int] = set()
    for node in nodes:
        for value in node.inputs:
            if id(value) in made or id(value) in seen or not value.name:
                continue
            seen.add(id(value))
            if isinstance(value, gs.Constant) and not isinstance(value._values, np.ndarray | StoredWeights):
                return None
            if value.dtype is None or (isinstance(value, gs.Variable) and value.type != "tensor_type"):
                return None
            if not isinstance(value, gs.Constant):
                proto.input.append(value_info(value))
            elif weight_bytes(value) <= _INLINE:
                proto.initializer.append(tensor_proto(value))
            else:
                kind = onnx_type(value.dtype)
                proto.input.append(onnx.helper.make_tensor_value_info(value.name, kind, list(value.shape)))
        proto.node.append(node_proto(node, provenance=False))
        proto.output.extend(onnx.ValueInfoProto(name=value.name) for value in node.outputs if value.name)
    domains = {operator_of(node)[0] for node in nodes}
    imports = [onnx.helper.make_opsetid(each, sets.versions.get(each, 1)) for each in sorted(domains | {""})]
    version = min(max(graph.ir_version, _OLDEST_IR), _NEWEST_IR)
    return onnx.helper.make_model(proto, opset_imports=imports, ir_version=version)


def _reason(error: Exception) -> str:
    """What onnx says, without the names of the replacement's own nodes."""
    lines = [each.strip() for each in str(error).strip().splitlines() if each.strip()]
    last = lines[-1] if lines else type(error).__name__
    said = last.rsplit("InferenceError] ", 1)[-1]
    return re.sub(r" in node \S+ \(\w+\)\.$", "", said)


def check_same(old: gs.Tensor, new: gs.Tensor, *, made: bool) -> None:
    """Raise Declined when a value is not of the type and shape of the one it replaces, as far as both are known.

    Also where a dimension of the old value is a number and that of the new one is not known: what was matched may have
    broadcast it. Of a value that the replacement has `made`, the number of dimensions may be unknown.
    """
    if old.dtype is not None and new.dtype is not None and onnx_type(old.dtype) != onnx_type(new.dtype):
        raise Declined(f"its replacement is of type {_type(new)}, not {_type(old)}")
    if old.shape is None or new.shape is None:
        if old.shape is not None and not made:
            raise Declined("its replacement is of unknown shape")
        return
    shapes = f"its replacement is of shape {_shape(new)}, and not {_shape(old)}"
    if len(old.shape) != len(new.shape):
        raise Declined(shapes)
    for one, other in zip(old.shape, new.shape, strict=True):
        if isinstance(one, int) and (other != one if isinstance(other, int) else one != 1):
            raise Declined(shapes)


def _type(value: gs.Tensor) -> str:
    return onnx.helper.tensor_dtype_to_np_dtype(onnx_type(value.dtype)).name


def _shape(value: gs.Tensor) -> str:
    return f"[{', '.join('?' if each is None else str(each) for each in value.shape or ())}]"
