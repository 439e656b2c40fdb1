"""Which operators a backend has kernels for, as far as passes and rules ask."""

from __future__ import annotations

from collections.abc import Iterable

from vggc.operators.activations import ACTIVATIONS
from vggc.operators.onnxruntime_kernels import MISSING
from vggc.operators.pooling import AVERAGES
from vggc.operators.quantizers import INTEGER_OPERATORS
from vggc.operators.roles import MATRIX_PRODUCTS, RECURRENT

ONNXRUNTIME_INTEGER = AVERAGES | {"Add", "Concat", "Mul"} | {op for op, a in ACTIVATIONS.items() if a.integer_kernel}
"""Operators without weights that onnxruntime's CPU provider computes with 8-bit integers, as QLinearAdd and the like.
Each of their values has a scale of its own."""

_PAIRS = "TensorRT represents int8 by QuantizeLinear and DequantizeLinear around float operators"

NOT_IN_TENSORRT: dict[str, dict[str, str]] = {
    "tensorrt": dict.fromkeys(INTEGER_OPERATORS, _PAIRS),
    "tensorrt_rtx": {
        **dict.fromkeys(INTEGER_OPERATORS, _PAIRS),
        "NonMaxSuppression": "this operator can be imported, but has no implementation to build",
        "NonZero": "its plugin is not part of TensorRT RTX",
    },
}
"""For each flavour, the operators that its importer knows and its builder cannot build, and why (measured)."""

NOT_IN_FLOAT32_ON_TURING = MATRIX_PRODUCTS | RECURRENT | {"Attention", "Einsum"}
"""Operators that multiply matrices: TensorRT has no float32 kernels of them for compute capability 7.5 (measured)."""


def without_kernel(op: str, number_type: str, opset: int, targets: Iterable[str] = ()) -> str:
    """Which runtime has no kernel of an operator of ONNX's own domain, as a sentence; empty where all have one.

    `number_type` is numpy's name for the type of the operator's first input. onnxruntime's CPU provider always counts,
    because it checks what a compile writes; `targets` are those of the recipe.
    """
    ranges = MISSING.get(op, {}).get(number_type, ())
    if any(first <= opset <= last for first, last in ranges):
        return f"onnxruntime's CPU has no kernel of {op} for {number_type} at opset {opset}"
    reasons = [reason for each in targets if (reason := NOT_IN_TENSORRT.get(each, {}).get(op))]
    return f"TensorRT cannot build {op}: {reasons[0]}" if reasons else ""
