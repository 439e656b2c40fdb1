"""Turn the value of a term into an attribute of a new node."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.diagnostics import Declined
from vggc.pattern.evaluate import Evaluator
from vggc.pattern.inference import settled
from vggc.pattern.numbers import Numbers, rounded
from vggc.pattern.operators import holds_type
from vggc.pattern.values import Content, Matched, Value, describe, known, number, whole, whole_numbers

AttributeKind = onnx.defs.OpSchema.AttrType

EMPTY = {
    AttributeKind.INTS: onnx.AttributeProto.INTS,
    AttributeKind.FLOATS: onnx.AttributeProto.FLOATS,
    AttributeKind.STRINGS: onnx.AttributeProto.STRINGS,
}
"""What protobuf calls the types of lists."""


def as_attribute(evaluator: Evaluator, op: str, name: str, value: Content, kind: AttributeKind | None) -> Any:
    """What a term stands for, as an attribute of a new node; `kind` is what ONNX says of it, None where it is silent.

    Raises Declined when it is nothing that the attribute can hold.
    """
    what = f"attribute `{name}`"
    value = known(value)
    if isinstance(value, Matched):
        value = value.value
    if isinstance(value, Value):
        value = evaluator.numbers(value)
    if isinstance(value, str):
        if holds_type(op, name):
            return _type_number(value)
        if kind in (None, AttributeKind.STRING):
            return value
        raise Declined(f"{what} cannot be a text")
    if kind is None:
        kind = _natural_kind(value)
    match kind:
        case AttributeKind.INT:
            return int(evaluator.truth(value)) if isinstance(value, bool) else whole(value, what)
        case AttributeKind.INTS:
            return list(whole_numbers(value, what))
        case AttributeKind.FLOAT:
            return float(number(value, what))
        case AttributeKind.FLOATS:
            return [float(each) for each in evaluator.numbers(value).exact().reshape(-1).tolist()]
        case AttributeKind.STRINGS if isinstance(value, tuple) and all(isinstance(each, str) for each in value):
            return list(value)
        case AttributeKind.TENSOR:
            numbers = evaluator.numbers(value)
            return gs.Constant("", np.array(rounded(numbers, settled(numbers, None))))
    raise Declined(f"{what} cannot be {describe(value)}")


def as_attribute_value(op: str, name: str, value: Any) -> Any:
    """An attribute that a pattern writes or captured, as graphsurgeon holds it."""
    if isinstance(value, str) and holds_type(op, name):
        return _type_number(value)
    return list(value) if isinstance(value, tuple) else value


def _natural_kind(value: Content) -> AttributeKind | None:
    """The type of an attribute that ONNX does not describe."""
    if isinstance(value, Numbers):
        return AttributeKind.TENSOR
    if isinstance(value, tuple):
        if any(isinstance(each, str) for each in value):
            return AttributeKind.STRINGS
        return AttributeKind.FLOATS if any(isinstance(each, float) for each in value) else AttributeKind.INTS
    return AttributeKind.FLOAT if isinstance(value, float) else AttributeKind.INT


def _type_number(name: str) -> int:
    try:
        dtype = np.dtype(object) if name == "string" else np.dtype(getattr(ml_dtypes, name, name))
        return int(onnx.helper.np_dtype_to_tensor_dtype(dtype))
    except (TypeError, ValueError, KeyError):
        raise Declined(f"there is no type `{name}`") from None
