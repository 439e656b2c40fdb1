"""Operators that ask for sizes, and that make and convert numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch

from vggc.execution.array_distance import has_fractions
from vggc.recovery.operators.call import Call, Operator, Tensor, integers


def shape(call: Call, x: Tensor) -> Tensor:
    return torch.tensor(list(x.shape)[call.get("start", 0) : call.get("end")], dtype=torch.int64)


def cast(call: Call, x: Tensor) -> Tensor:
    # graphsurgeon may hold the type as numpy's.
    to = call.get("to")
    return converted(call, x, np.dtype(to) if not isinstance(to, int) else onnx.helper.tensor_dtype_to_np_dtype(to))


def cast_like(call: Call, x: Tensor, like: Tensor) -> Tensor:
    assert call.types[1] is not None
    return converted(call, x, call.types[1])


def converted(call: Call, x: Tensor, dtype: np.dtype[Any]) -> Tensor:
    """`x` as another type. All floating-point types are computed in the same one."""
    if has_fractions(dtype):
        return x.to(call.device, call.floats)
    if dtype == np.bool_:
        return x.to(torch.bool)
    return x.to("cpu", torch.int64)


def constant_of_shape(call: Call, sizes: Tensor) -> Tensor:
    value = call.get("value")
    array = np.zeros(1, np.float32) if value is None else np.asarray(getattr(value, "values", value))
    return converted(call, torch.tensor(array.item()), array.dtype).expand(integers(sizes)).clone()


def range_(call: Call, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype, device=start.device)


OPERATORS: dict[str, Operator] = {
    "Cast": cast,
    "CastLike": cast_like,
    "ConstantOfShape": constant_of_shape,
    "Range": range_,
    "Shape": shape,
    "Size": lambda call, x: torch.tensor(x.numel(), dtype=torch.int64),
}
