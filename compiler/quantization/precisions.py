"""The number formats a model can be quantized to, and what each needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vggc.quantization import placement_onnxruntime, placement_tensorrt
from vggc.quantization.grids import FLOAT8, INT8, UINT8, UINT16, WEIGHT8, Grid
from vggc.quantization.plan import Plan

Precision = Literal["int8", "fp8", "int16", "int4"]
Placement = Literal["onnxruntime", "tensorrt"]


@dataclass(frozen=True)
class Format:
    """How values and weights are stored, by whose kernels, and the first opset that can say so."""

    values: Grid
    weights: Grid
    place: Callable[..., Plan]
    opset: int


FORMATS: dict[tuple[Precision, Placement], Format] = {
    ("int8", "onnxruntime"): Format(UINT8, WEIGHT8, placement_onnxruntime.place, 13),
    ("int8", "tensorrt"): Format(INT8, WEIGHT8, placement_tensorrt.place, 13),
    ("fp8", "tensorrt"): Format(FLOAT8, FLOAT8, placement_tensorrt.place, 19),
    ("int16", "onnxruntime"): Format(UINT16, WEIGHT8, placement_onnxruntime.place, 21),
}
"""What `quantize` can do with values and weights. int4 is for weights alone, whatever runs them."""

WEIGHTS_ONLY: dict[Precision, int] = {"int4": 21}
"""Precisions of weights alone, and the first opset that has them."""

OLDEST_CAPABILITY: dict[Precision, int] = {"fp8": 89, "int4": 80}
"""The first compute capability (8.9 is 89) whose GPUs have a precision."""
