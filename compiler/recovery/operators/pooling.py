"""Pools."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from vggc.recovery.operators.call import Call, Operator, Tensor
from vggc.recovery.operators.windows import padded, pads_of

_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def _window(call: Call, x: Tensor) -> tuple[list[int], list[int], list[int], list[int], list[int], list[int]]:
    """Kernel, strides, dilations, pads before, pads behind, and the size that `ceil_mode` adds behind these."""
    axes = x.dim() - 2
    kernel = list(call.get("kernel_shape"))
    strides = list(call.get("strides", [1] * axes))
    dilations = list(call.get("dilations", [1] * axes))
    before, after = pads_of(call, x.shape[2:], kernel, strides, dilations)
    more = [0] * axes
    if call.get("ceil_mode", 0):
        for axis in range(axes):
            size = x.shape[2 + axis] + before[axis] + after[axis]
            span = (kernel[axis] - 1) * dilations[axis] + 1
            windows = math.ceil((size - span) / strides[axis]) + 1
            if (windows - 1) * strides[axis] >= x.shape[2 + axis] + before[axis]:
                windows -= 1
            more[axis] = max(0, (windows - 1) * strides[axis] + span - size)
    return kernel, strides, dilations, before, after, more


def max_pool(call: Call, x: Tensor) -> Tensor:
    kernel, strides, dilations, before, after, more = _window(call, x)
    behind = [one + two for one, two in zip(after, more, strict=True)]
    return _MAX[x.dim() - 2](padded(x, before, behind, -math.inf), kernel, strides, 0, dilations)


def average_pool(call: Call, x: Tensor) -> Tensor:
    kernel, strides, _, before, after, more = _window(call, x)
    pool = _AVERAGE[x.dim() - 2]
    behind = [one + two for one, two in zip(after, more, strict=True)]
    result = pool(padded(x, before, behind, 0.0), kernel, strides)
    if any(before) or any(behind):
        # What counts: all of the padding, or none of it; never what `ceil_mode` adds.
        ones = torch.ones_like(x[:1, :1])
        counted = padded(padded(ones, before, after, float(call.get("count_include_pad", 0))), [0] * len(more), more, 0)
        result = result / pool(counted, kernel, strides)
    return result


def _spatial(x: Tensor) -> list[int]:
    return list(range(2, x.dim()))


OPERATORS: dict[str, Operator] = {
    "AveragePool": average_pool,
    "GlobalAveragePool": lambda call, x: x.mean(_spatial(x), keepdim=True),
    "GlobalMaxPool": lambda call, x: x.amax(_spatial(x), keepdim=True),
    "MaxPool": max_pool,
}
