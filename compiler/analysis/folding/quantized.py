"""Weights that a model keeps quantized: DequantizeLinear of a constant, or of QuantizeLinear of one.

    k * (codes - zero) * scale = (codes' - zero) * (scale * |k|)      codes' = codes, mirrored at zero where k < 0

The codes stay what they are, so that only the scale is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx_graphsurgeon as gs

from vggc.diagnostics import Declined
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64, is_float
from vggc.operators.quantizers import is_quantizer
from vggc.operators.roles import optional_input

_CODES = frozenset({"int8", "uint8", "int16", "uint16"})


@dataclass(frozen=True)
class Quantized:
    """The constants behind a DequantizeLinear. `scale` and `zero` have one number, or one for each index of `axis`."""

    node: gs.Node
    codes: Array
    scale: Array
    zero: Array
    axis: int

    @property
    def values(self) -> Array:
        """The numbers it stands for, in the shape of `codes` and in float64."""
        return (self.codes.astype(np.float64) - self._along(self.zero)) * self._along(self.scale)

    def _along(self, parameter: Array) -> Float64:
        shape = [1] * self.codes.ndim
        if parameter.size > 1:
            shape[self.axis] = parameter.size
        return np.asarray(parameter, np.float64).reshape(shape)


def quantized(graph: Graph, value: gs.Tensor) -> Quantized | None:
    """What a constant that is stored quantized is made from, or None when `value` is none."""
    node = graph.producer(value)
    if node is None or not is_quantizer(node, "DequantizeLinear") or set(node.attrs) - {"axis"}:
        return None
    source = node.inputs[0]
    parameters = _parameters(graph, node)
    codes = graph.array(source)
    if codes is None:
        codes = _quantize(graph, graph.producer(source))
    if parameters is None or codes is None or codes.dtype.name not in (*_CODES, "int32"):
        return None
    scale, zero = parameters
    zero = np.zeros(scale.shape, codes.dtype) if zero is None else zero
    axis = node.attrs.get("axis", 1)
    if not -codes.ndim <= axis < codes.ndim:
        axis = 0
    if scale.size > 1 and scale.size != codes.shape[axis]:
        return None
    return Quantized(node, codes, scale, zero, axis % max(codes.ndim, 1))


def _parameters(graph: Graph, node: gs.Node) -> tuple[Array, Array | None] | None:
    """Scale and zero point of a QuantizeLinear or DequantizeLinear of constants."""
    scale = graph.array(node.inputs[1])
    zero_point = optional_input(node, 2)
    zero = None if zero_point is None else graph.array(zero_point)
    if scale is None or not is_float(scale.dtype) or scale.ndim > 1 or (zero_point is not None and zero is None):
        return None
    return scale, zero


def _quantize(graph: Graph, node: gs.Node | None) -> Array | None:
    """The codes that QuantizeLinear gives a constant: x / scale rounded to even, plus zero, within the type."""
    if node is None or not is_quantizer(node, "QuantizeLinear") or set(node.attrs) - {"axis"}:
        return None
    array, parameters = graph.array(node.inputs[0]), _parameters(graph, node)
    if array is None or parameters is None:
        return None
    scale, zero = parameters
    zero = np.zeros(scale.shape, np.uint8) if zero is None else zero
    if zero.dtype.name not in _CODES or scale.dtype != array.dtype:
        return None
    if scale.size > 1:
        axis = node.attrs.get("axis", 1)
        if not -array.ndim <= axis < array.ndim or scale.size != array.shape[axis]:
            return None
        shape = [1] * array.ndim
        shape[axis] = scale.size
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    limits = np.iinfo(zero.dtype.name)
    codes = np.rint(np.divide(array, scale)) + zero.astype(array.dtype)
    found: Array = np.clip(codes, limits.min, limits.max).astype(zero.dtype)
    return found


def requantized(weight: Quantized, factor: Float64, axis: int, label: str, opset: int) -> Quantized:
    """The weight times `factor`, (channels along `axis`,). Raises Declined when that is not exact."""
    if opset < 13:
        raise Declined(f"the weight of {label} is quantized, and opset {opset} has one scale for all its channels")
    if weight.scale.size > 1 and weight.axis != axis:
        raise Declined(f"the weight of {label} is quantized along another axis than its output channels")
    shape = [1] * weight.codes.ndim
    shape[axis] = len(factor)
    zero = np.broadcast_to(weight.zero.reshape(-1), factor.shape)
    scale = np.broadcast_to(weight.scale.reshape(-1), factor.shape)
    codes = weight.codes.astype(np.int64)
    middle = zero.astype(np.int64).reshape(shape)
    codes = np.where((factor < 0).reshape(shape), 2 * middle - codes, codes)
    # A scale of zero would be no scale: the codes become zero instead.
    codes = np.where((factor == 0).reshape(shape), middle, codes)
    limits = np.iinfo(weight.codes.dtype.name)
    if codes.size and (codes.min() < limits.min or codes.max() > limits.max):
        raise Declined(f"the weight of {label} is quantized, and {limits.dtype} does not hold it with its sign changed")
    sized = np.asarray(scale, np.float64) * np.where(factor == 0, 1.0, np.abs(factor))
    with np.errstate(all="ignore"):
        new = sized.astype(scale.dtype)
    if not (np.isfinite(new.astype(np.float64)).all() and (new.astype(np.float64) >= _smallest(new.dtype)).all()):
        raise Declined(f"the scale of the weight of {label}, rescaled, does not fit {new.dtype}")
    return Quantized(weight.node, codes.astype(weight.codes.dtype), new, np.array(zero), axis)


def _smallest(dtype: np.dtype[Any]) -> float:
    """The smallest number that a type holds with all its digits."""
    return float(ml_dtypes.finfo(dtype).smallest_normal)  # type: ignore[no-untyped-call]
