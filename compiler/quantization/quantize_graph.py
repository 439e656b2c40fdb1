"""The whole of quantizing a graph, once or until enough of it stays as it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vggc.calibration.samples import Samples
from vggc.calibration.spill import Spill
from vggc.execution.products import small_products
from vggc.graph import Graph
from vggc.quantization.candidates import choose
from vggc.quantization.equalization import equalize
from vggc.quantization.given_biases import give_biases
from vggc.quantization.insert import insert
from vggc.quantization.node_adjustment import adjust_products
from vggc.quantization.observation import Observation
from vggc.quantization.plan import Plan
from vggc.quantization.precisions import Placement, Precision
from vggc.quantization.preconditions import plain_gemm
from vggc.quantization.range_cache import FamilyRanges
from vggc.quantization.sampled import to_try
from vggc.quantization.value_ranges import Calibration, by_extents, by_histograms
from vggc.quantization.weights import WeightScales, encoded
from vggc.rewrite import Context
from vggc.values import Names

Rounding = Literal["nearest", "least_squares"]

_SPILL = 768 << 20
"""Bytes of values that are held in memory between the pieces of a run; more are in temporary files."""


@dataclass(frozen=True)
class Settings:
    """How to quantize; see the options of the pass `quantize`."""

    precision: Precision
    placement: Placement | None = None
    calibration: Calibration = "output_error"
    equalize: bool = True
    bias_correction: bool = True
    weights: WeightScales = "mse"
    rounding: Rounding = "least_squares"
    only: Names = Names()  # noqa: RUF009
    except_: Names = Names()  # noqa: RUF009


def quantize_graph(
    graph: Graph, context: Context, samples: Samples, settings: Settings, leave: frozenset[str] = frozenset()
) -> None:
    """Quantize a graph in place, but for the nodes that compute the values `leave` names.

    Raises CompileError for a graph or samples that cannot be used, and when nothing can be quantized.
    """
    names = {"only": settings.only, "except_": settings.except_}
    plan = choose(graph, context, settings.precision, settings.placement, **names, leave=leave)
    for product in plan.products:
        plain_gemm(graph, product)
    if settings.bias_correction:
        give_biases(plan)
    few, others = to_try(samples)
    with Spill(_SPILL) as spill, small_products():
        seen = Observation(
            plan,
            samples.shown(context.progress, "find ranges"),
            few.shown(context.progress, "read the samples"),
            None if others is None else others.shown(context.progress, "find ranges"),
            spill,
        )
        rounds = settings.rounding == "least_squares" and plan.weight_grid.even
        adjusts = rounds or settings.bias_correction
        if adjusts:
            # Rows are those of the products as they are now.
            _ = seen.sampled
        if settings.equalize and plan.grid.even:
            context.progress("equalize channels")
            equalize(plan, context, seen)
        ranges = _ranges(plan, context, samples, settings.calibration, seen)
        for warning in ranges.warnings:
            context.warn(warning)
        original = graph.copy()
        insert(plan, context, ranges.quantizers, encoded(plan, context, ranges.quantizers, settings.weights))
        if adjusts:
            adjust_products(
                original,
                plan,
                context,
                seen,
                round_weights=rounds,
                correct_biases=settings.bias_correction,
            )


def _ranges(
    plan: Plan, context: Context, samples: Samples, calibration: Calibration, seen: Observation
) -> FamilyRanges:
    if calibration == "output_error" or calibration == "max":  # noqa: PLR1714 - mypy narrows by comparisons
        return by_extents(plan, context, samples, calibration, seen)
    return by_histograms(plan, context, samples, calibration)
