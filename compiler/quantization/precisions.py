"""The number formats a model can be quantized to, and what each needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vggc.graph.writer import onnx_type
from vggc.operators.number_types import FIRST_CAPABILITY, PER_CHANNEL_OPSET, stored_opset
from vggc.quantization import placement_onnxruntime, placement_tensorrt
from vggc.quantization.grids import FLOAT8, INT4, INT8, UINT8, UINT16, WEIGHT8, Grid
from vggc.quantization.plan import Plan

Precision = Literal["int8", "fp8", "int16", "int4", "w4a8"]
Placement = Literal["onnxruntime", "tensorrt"]


@dataclass(frozen=True)
class Format:
    """How values and weights are stored, and by whose kernels."""

    values: Grid
    weights: Grid
    place: Callable[..., Plan]


FORMATS: dict[tuple[Precision, Placement], Format] = {
    ("int8", "onnxruntime"): Format(UINT8, WEIGHT8, placement_onnxruntime.place),
    ("int8", "tensorrt"): Format(INT8, WEIGHT8, placement_tensorrt.place),
    ("fp8", "tensorrt"): Format(FLOAT8, FLOAT8, placement_tensorrt.place),
    ("int16", "onnxruntime"): Format(UINT16, WEIGHT8, placement_onnxruntime.place),
    ("w4a8", "onnxruntime"): Format(UINT8, INT4, placement_onnxruntime.place),
}
"""What `quantize` can do with values and weights."""

WEIGHTS_ONLY: dict[Precision, Grid] = {"int4": INT4}
"""Precisions of weights alone, whatever runs them."""


def _grids(precision: Precision) -> set[Grid]:
    found = {grid for (name, _), form in FORMATS.items() if name == precision for grid in (form.values, form.weights)}
    return {WEIGHTS_ONLY[precision]} if precision in WEIGHTS_ONLY else found


def first_opset(precision: Precision) -> int:
    """The first opset that can store the numbers of a precision, with a scale for each channel."""
    return max(PER_CHANNEL_OPSET, *(stored_opset(onnx_type(grid.dtype)) for grid in _grids(precision)))


def first_capability(precision: Precision) -> int:
    """The first compute capability (8.9 is 89) whose GPUs have a precision, 0 where all have it."""
    return max(FIRST_CAPABILITY.get(onnx_type(grid.dtype), 0) for grid in _grids(precision))
