"""Normalizations. A batch norm computes with the statistics that the model has, as it does when it is used."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vggc.recovery.operators.call import Call, Operator, Tensor, along
from vggc.recovery.operators.products import conv


def batch_norm(call: Call, x: Tensor, *parameters: Tensor) -> Tensor:
    """The parameters are scale, shift, mean and variance.

    One factor and one summand for each channel, because their gradients are those of a plain product.
    """
    scale, shift, mean, variance = parameters
    factor = scale * torch.rsqrt(variance + call.get("epsilon", 1e-5))
    return torch.addcmul(along(shift - mean * factor, x), x, along(factor, x))


def normalized_convolution(norm: Call, call: Call, *inputs: Tensor) -> Tensor:
    """A batch norm behind a convolution, whose factors go into the weights: much less is computed than one by one.

    The inputs are the norm's scale, shift, mean and variance, and those of the convolution.
    """
    scale, shift, mean, variance, x, weight, *bias = inputs
    factor = scale * torch.rsqrt(variance + norm.get("epsilon", 1e-5))
    summand = shift - mean * factor if not bias or bias[0] is None else shift + (bias[0] - mean) * factor
    return conv(call, x, weight * along(factor, weight, 0), summand)


def instance_norm(call: Call, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=shift, eps=call.get("epsilon", 1e-5))


def layer_norm(call: Call, x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    axis = call.get("axis", -1) % x.dim()
    plain = F.layer_norm(x, x.shape[axis:], eps=call.get("epsilon", 1e-5)) * scale
    return plain if shift is None else plain + shift


def rms_norm(call: Call, x: Tensor, scale: Tensor) -> Tensor:
    axes = list(range(call.get("axis", -1) % x.dim(), x.dim()))
    return x * torch.rsqrt(x.square().mean(axes, keepdim=True) + call.get("epsilon", 1e-5)) * scale


def group_norm(call: Call, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Before opset 21, there is one scale and one shift for each group."""
    groups = call.get("num_groups")
    if scale.numel() != x.shape[1]:
        each = x.shape[1] // groups
        scale, shift = scale.repeat_interleave(each), shift.repeat_interleave(each)
    return F.group_norm(x, groups, scale, shift, call.get("epsilon", 1e-5))


def local_response(call: Call, x: Tensor) -> Tensor:
    size = call.get("size")
    return F.local_response_norm(x, size, call.get("alpha", 1e-4), call.get("beta", 0.75), call.get("bias", 1.0))


def lp_norm(call: Call, x: Tensor) -> Tensor:
    axis = call.get("axis", -1)
    return x / torch.linalg.vector_norm(x, call.get("p", 2), axis, keepdim=True)


OPERATORS: dict[str, Operator] = {
    "BatchNormalization": batch_norm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LRN": local_response,
    "LayerNormalization": layer_norm,
    "LpNormalization": lp_norm,
    "RMSNormalization": rms_norm,
}
