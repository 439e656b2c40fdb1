"""Operators that compute each number by itself, of one or several tensors that broadcast."""

from __future__ import annotations

import math
from functools import reduce

import torch
from torch.nn import functional as F

from vggc.recovery.operators.call import Call, Operator, Tensor


def clip(call: Call, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    low = call.get("min") if low is None else low.to(x.device)
    high = call.get("max") if high is None else high.to(x.device)
    if low is not None:
        x = torch.maximum(x, low) if isinstance(low, torch.Tensor) else x.clamp(min=low)
    if high is not None:
        x = torch.minimum(x, high) if isinstance(high, torch.Tensor) else x.clamp(max=high)
    return x


def prelu(call: Call, x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, slope * x, x)


def divide(call: Call, a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point():
        return a / b
    return torch.div(a, b, rounding_mode="trunc")


def power(call: Call, a: Tensor, b: Tensor) -> Tensor:
    return torch.pow(a, b.to(a.device)).to(a.dtype)


def modulo(call: Call, a: Tensor, b: Tensor) -> Tensor:
    return torch.fmod(a, b) if call.get("fmod", 0) else torch.remainder(a, b)


def where(call: Call, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    device = call.device if a.is_floating_point() else a.device
    return torch.where(condition.to(device), a.to(device), b.to(device))


def hard_sigmoid(call: Call, x: Tensor) -> Tensor:
    return (call.get("alpha", 0.2) * x + call.get("beta", 0.5)).clamp(0, 1)


def softmax(call: Call, x: Tensor) -> Tensor:
    return _over_axis(call, x, torch.softmax)


def log_softmax(call: Call, x: Tensor) -> Tensor:
    return _over_axis(call, x, torch.log_softmax)


def _over_axis(call: Call, x: Tensor, function: Operator) -> Tensor:
    """Before opset 13, all axes from `axis` on are one."""
    if call.opset >= 13:
        return function(x, call.get("axis", -1))
    axis = call.get("axis", 1) % x.dim()
    return function(x.reshape(math.prod(x.shape[:axis]), -1), 1).reshape(x.shape)


def _joined(function: Operator) -> Operator:
    """An operator of any number of inputs."""
    return lambda call, *inputs: reduce(function, inputs)


def _unary(function: Operator) -> Operator:
    return lambda call, x: function(x)


def _binary(function: Operator) -> Operator:
    return lambda call, a, b: function(a, b)


OPERATORS: dict[str, Operator] = {
    "Abs": _unary(torch.abs),
    "Add": _binary(torch.add),
    "And": _binary(torch.logical_and),
    "Ceil": _unary(torch.ceil),
    "Celu": lambda call, x: F.celu(x, call.get("alpha", 1.0)),
    "Clip": clip,
    "Cos": _unary(torch.cos),
    "Div": divide,
    "Dropout": lambda call, x, *_: x if call.outputs == 1 else (x, torch.ones_like(x, dtype=torch.bool)),
    "Elu": lambda call, x: F.elu(x, call.get("alpha", 1.0)),
    "Equal": _binary(torch.eq),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Floor": _unary(torch.floor),
    "Gelu": lambda call, x: F.gelu(x, approximate=call.get("approximate", "none")),
    "Greater": _binary(torch.gt),
    "GreaterOrEqual": _binary(torch.ge),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": _unary(F.hardswish),
    "LeakyRelu": lambda call, x: F.leaky_relu(x, call.get("alpha", 0.01)),
    "Less": _binary(torch.lt),
    "LessOrEqual": _binary(torch.le),
    "Log": _unary(torch.log),
    "LogSoftmax": log_softmax,
    "Max": _joined(torch.maximum),
    "Mean": lambda call, *inputs: reduce(torch.add, inputs) / len(inputs),
    "Min": _joined(torch.minimum),
    "Mish": _unary(F.mish),
    "Mod": modulo,
    "Mul": _binary(torch.mul),
    "Neg": _unary(torch.neg),
    "Not": _unary(torch.logical_not),
    "Or": _binary(torch.logical_or),
    "PRelu": prelu,
    "Pow": power,
    "Reciprocal": _unary(torch.reciprocal),
    "Relu": _unary(torch.relu),
    "Round": _unary(torch.round),
    "Selu": lambda call, x: call.get("gamma", 1.0507009873554805) * F.elu(x, call.get("alpha", 1.6732632423543772)),
    "Sigmoid": _unary(torch.sigmoid),
    "Sign": _unary(torch.sign),
    "Sin": _unary(torch.sin),
    "Softmax": softmax,
    "Softplus": _unary(F.softplus),
    "Softsign": _unary(F.softsign),
    "Sqrt": _unary(torch.sqrt),
    "Sub": _binary(torch.sub),
    "Sum": _joined(torch.add),
    "Swish": lambda call, x: x * torch.sigmoid(call.get("alpha", 1.0) * x),
    "Tanh": _unary(torch.tanh),
    "ThresholdedRelu": lambda call, x: torch.where(x > call.get("alpha", 1.0), x, 0.0),
    "Where": where,
    "Xor": _binary(torch.logical_xor),
}
