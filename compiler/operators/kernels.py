"""Which operators a backend has kernels for, where this decides what a model may contain."""

from __future__ import annotations

from vggc.operators.activations import ACTIVATIONS
from vggc.operators.pooling import AVERAGES

ONNXRUNTIME_INTEGER = AVERAGES | {"Add", "Concat", "Mul"} | {op for op, a in ACTIVATIONS.items() if a.integer_kernel}
"""Operators without weights that onnxruntime's CPU provider computes with 8-bit integers, as QLinearAdd and the like.
Each of their values has a scale of its own."""
