"""The numbers a quantized value can have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike

from vggc.graph.arrays import Array, Floats


@dataclass(frozen=True)
class Grid:
    """Whole numbers from `low` to `high`, stored as `dtype`, that stand for (number - zero point) * scale.

    name  how reports call it: `int8`
    """

    name: str
    dtype: np.dtype[Any]
    low: float
    high: float

    @property
    def signed(self) -> bool:
        return self.low < 0

    @property
    def even(self) -> bool:
        """Whether its numbers are equally far apart."""
        return True

    def codes(self, values: Floats, scale: ArrayLike, zero_point: int = 0) -> Array:
        """The stored numbers nearest to `values`, in their shape, to which `scale` broadcasts.

        Ties go to even as ONNX has it; what is beyond the ends is clipped.
        """
        steps = np.rint(values / np.asarray(scale, values.dtype)) + zero_point
        codes: Array = np.clip(steps, self.low, self.high).astype(self.dtype)
        return codes

    def rounded(self, values: Floats, scale: ArrayLike, zero_point: int = 0) -> Floats:
        """What is left of `values` after they went through the grid, in their own type and shape."""
        factor = np.asarray(scale, values.dtype)
        steps = values / factor
        np.rint(steps, out=steps)
        np.clip(steps, self.low - zero_point, self.high - zero_point, out=steps)
        steps *= factor
        return steps


class FloatGrid(Grid):
    """Numbers of an 8-bit floating-point type, times the scale."""

    @property
    def even(self) -> bool:
        return False

    def codes(self, values: Floats, scale: ArrayLike, zero_point: int = 0) -> Array:
        steps = np.clip(values / np.asarray(scale, values.dtype), self.low, self.high)
        codes: Array = steps.astype(self.dtype)
        return codes

    def rounded(self, values: Floats, scale: ArrayLike, zero_point: int = 0) -> Floats:
        factor = np.asarray(scale, values.dtype)
        found: Floats = self.codes(values, scale).astype(values.dtype) * factor
        return found


INT8 = Grid("int8", np.dtype(np.int8), -128, 127)
"""Activations. TensorRT and onnxruntime use all 256 numbers."""

WEIGHT8 = Grid("int8", np.dtype(np.int8), -127, 127)
"""Weights: the same on both sides of zero, so that negating a channel changes nothing."""

UINT8 = Grid("uint8", np.dtype(np.uint8), 0, 255)
UINT16 = Grid("uint16", np.dtype(np.uint16), 0, 65535)
INT4 = Grid("int4", np.dtype(ml_dtypes.int4), -7, 7)
FLOAT8 = FloatGrid("fp8", np.dtype(ml_dtypes.float8_e4m3fn), -448.0, 448.0)


@dataclass(frozen=True)
class Quantizer:
    """How a value is quantized: the grid, and where on it the value lies."""

    grid: Grid
    scale: float
    zero_point: int = 0

    def rounded(self, values: Floats) -> Floats:
        """What is left of `values` after they were quantized, in their own type and shape."""
        return self.grid.rounded(values, self.scale, self.zero_point)


SMALLEST_SCALE = float(np.finfo(np.float32).tiny) * 2**20
"""Scales stay far above the smallest normal float32: TensorRT takes a subnormal scale without a word."""


def symmetric(grid: Grid, bound: float) -> Quantizer:
    """From -bound to bound with zero point 0; a bound of zero (a value that is always zero) gets scale 1 / high."""
    reach = bound if bound > 0 else 1.0
    return Quantizer(grid, max(_float32(reach / grid.high), SMALLEST_SCALE))


def asymmetric(grid: Grid, low: float, high: float) -> Quantizer:
    """From low to high, widened to hold zero, which the grid then has exactly; from zero, never beyond high."""
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        high = 1.0
    steps = grid.high - grid.low
    scale = _float32((high - low) / steps)
    if low == 0 and scale * steps > high:
        scale = float(np.nextafter(np.float32(scale), np.float32(0)))
    scale = max(scale, SMALLEST_SCALE)
    return Quantizer(grid, scale, int(np.clip(np.rint(grid.low - low / scale), grid.low, grid.high)))


def _float32(value: float) -> float:
    """What is left of a number in a model file: scales are stored as float32."""
    return float(np.float32(value))
