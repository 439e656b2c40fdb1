"""QuantizeLinear and DequantizeLinear, through which gradients flow as if nothing was rounded.

Quantized numbers stay floating-point tensors that hold whole numbers, or those of an 8-bit floating-point type. The
gradient of rounding is that of the identity (the straight-through estimator: Bengio et al. 2013), within the limits of
the type; beyond these it is zero. For a scale this is the gradient of LSQ (Esser et al. 2020).
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch

from vggc.recovery.number_limits import limits
from vggc.recovery.operators.call import Call, Operator, Tensor, along

_E4M3 = np.dtype(ml_dtypes.float8_e4m3fn)


def on_grid(x: Tensor, dtype: np.dtype[Any]) -> Tensor:
    """The nearest numbers that a type has."""
    x = x.clamp(*limits(dtype))
    nearest = x.detach().to(torch.float8_e4m3fn).to(x.dtype) if dtype == _E4M3 else x.detach().round()
    return x + (nearest - x.detach())


def quantize(call: Call, x: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
    dtype = call.types[2] if zero_point is not None else np.dtype(np.uint8)
    assert dtype is not None
    steps = x / _spread(call, scale, x)
    if zero_point is None or dtype == _E4M3:
        return on_grid(steps, dtype)
    zero = _spread(call, zero_point, x)
    # ONNX rounds before it adds the zero point, which is a whole number: the order makes no difference.
    return on_grid(steps + zero, dtype)


def dequantize(call: Call, x: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
    x = x.to(call.device, call.floats)
    if zero_point is not None:
        x = x - _spread(call, zero_point, x)
    return x * _spread(call, scale, x)


def _spread(call: Call, numbers: Tensor, x: Tensor) -> Tensor:
    """Scales or zero points so that they broadcast to `x`: one for all, one for an index of the axis, or for blocks."""
    numbers = numbers.to(call.device, call.floats)
    if numbers.numel() == 1:
        return numbers.reshape(())
    axis = call.get("axis", 1) % x.dim()
    block = call.get("block_size", 0)
    if block:
        return numbers.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    return along(numbers, x, axis)


OPERATORS: dict[str, Operator] = {"DequantizeLinear": dequantize, "QuantizeLinear": quantize}
