"""Where a type of numbers can be used: the first opset whose quantizers store it, the first GPUs that compute in it.

Types are ONNX's (`TensorProto.INT4`). Compute capabilities are written as numbers: 89 for 8.9.
"""

from __future__ import annotations

from onnx import TensorProto

PER_CHANNEL_OPSET = 13
"""The first opset whose QuantizeLinear and DequantizeLinear have an `axis`."""

_STORED_OPSETS: dict[int, int] = {
    TensorProto.FLOAT8E4M3FN: 19,
    TensorProto.INT16: 21,
    TensorProto.UINT16: 21,
    TensorProto.INT4: 21,
    TensorProto.FLOAT4E2M1: 23,
}

HALF_SCALE_OPSET = 19
"""The first opset whose quantizers convert to and from 16-bit floating-point numbers."""

FIRST_CAPABILITY: dict[int, int] = {
    TensorProto.BFLOAT16: 80,
    TensorProto.INT4: 80,
    TensorProto.FLOAT8E4M3FN: 89,
    TensorProto.FLOAT4E2M1: 120,
}
"""The first compute capability whose GPUs compute in a type; every GPU that TensorRT supports has the others."""


def stored_opset(stored: int) -> int:
    """The first opset whose quantizers store a type, 0 for 8-bit integers."""
    return _STORED_OPSETS.get(stored, 0)


def scale_opset(scale: int) -> int:
    """The first opset whose quantizers have scales of a type, 0 for float32."""
    return HALF_SCALE_OPSET if scale in (TensorProto.FLOAT16, TensorProto.BFLOAT16) else 0
