"""Convolutions and matrix products."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vggc.recovery.operators.call import Call, Operator, Tensor, along
from vggc.recovery.operators.windows import padded, pads_of

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def conv(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    axes = x.dim() - 2
    strides = list(call.get("strides", [1] * axes))
    dilations = list(call.get("dilations", [1] * axes))
    before, after = pads_of(call, x.shape[2:], weight.shape[2:], strides, dilations)
    padding = before
    if before != after:
        x, padding = padded(x, before, after, 0.0), [0] * axes
    return _CONV[axes](x, weight, bias, strides, padding, dilations, call.get("group", 1))


def conv_transpose(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The whole result, of which the pads are cut off; `output_shape` says them too."""
    axes = x.dim() - 2
    strides = list(call.get("strides", [1] * axes))
    dilations = list(call.get("dilations", [1] * axes))
    more = list(call.get("output_padding", [0] * axes))
    whole = [
        (size - 1) * stride + (kernel - 1) * dilation + 1 + extra
        for size, stride, kernel, dilation, extra in zip(
            x.shape[2:], strides, weight.shape[2:], dilations, more, strict=True
        )
    ]
    pads = list(call.get("pads", [0] * (2 * axes)))
    before, after = pads[:axes], pads[axes:]
    kind = call.get("auto_pad", "NOTSET")
    wanted = call.get("output_shape")
    if wanted is None and kind.startswith("SAME"):
        wanted = [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
    if wanted is not None:
        cut = [size - want for size, want in zip(whole, list(wanted)[-axes:], strict=True)]
        smaller, larger = [each // 2 for each in cut], [each - each // 2 for each in cut]
        before, after = (smaller, larger) if kind == "SAME_UPPER" else (larger, smaller)
    # PyTorch wants less output padding than stride; it only adds what nothing was multiplied into.
    result = _TRANSPOSED[axes](x, weight, bias, strides, 0, 0, call.get("group", 1), dilations)
    if any(more):
        result = padded(result, [0] * axes, more, 0.0)
        if bias is not None:
            outside = padded(torch.zeros_like(result[:1, :1]), [0] * axes, [0] * axes, 0.0)
            for axis, extra in enumerate(more, 2):
                if extra:
                    outside.narrow(axis, outside.shape[axis] - extra, extra).fill_(1)
            result = result + outside * along(bias, result)
    for axis, (first, last) in enumerate(zip(before, after, strict=True), 2):
        result = result.narrow(axis, first, result.shape[axis] - first - last)
    return result


def gemm(call: Call, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.t() if call.get("transA", 0) else a
    b = b.t() if call.get("transB", 0) else b
    alpha, beta = call.get("alpha", 1.0), call.get("beta", 1.0)
    product = a @ b
    product = product if alpha == 1 else alpha * product
    if c is None:
        return product
    return product + (c if beta == 1 else beta * c)


OPERATORS: dict[str, Operator] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Einsum": lambda call, *inputs: torch.einsum(call.get("equation"), *inputs),
    "Gemm": gemm,
    "MatMul": lambda call, a, b: torch.matmul(a, b),
}
