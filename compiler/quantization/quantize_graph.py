"""The whole of quantizing a graph, once or until enough of it stays as it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vggc.calibration.samples import Samples
from vggc.calibration.streams import SAMPLES
from vggc.graph import Graph
from vggc.quantization.bias_correction import correct_biases, give_biases
from vggc.quantization.candidates import choose
from vggc.quantization.equalization import equalize
from vggc.quantization.insert import insert
from vggc.quantization.precisions import Placement, Precision
from vggc.quantization.value_ranges import Calibration, find_ranges
from vggc.quantization.weight_rounding import round_weights
from vggc.quantization.weights import WeightScales, encoded
from vggc.rewrite import Context
from vggc.values import Names

Rounding = Literal["nearest", "least_squares"]


@dataclass(frozen=True)
class Settings:
    """How to quantize; see the options of the pass `quantize`."""

    precision: Precision
    placement: Placement | None = None
    calibration: Calibration = "output_error"
    equalize: bool = True
    bias_correction: bool = True
    weights: WeightScales = "mse"
    rounding: Rounding = "nearest"
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
    few = samples.up_to(SAMPLES)
    if settings.equalize and plan.grid.even:
        context.progress("equalize channels")
        equalize(plan, context, few)
    if settings.bias_correction:
        give_biases(plan)
    context.progress("find ranges")
    ranges = find_ranges(plan, context, samples, settings.calibration)
    for warning in ranges.warnings:
        context.warn(warning)
    original = graph.copy()
    insert(plan, context, ranges.quantizers, encoded(plan, context, ranges.quantizers, settings.weights))
    if settings.rounding == "least_squares" and plan.weight_grid.even:
        round_weights(original, plan, context, few)
    if settings.bias_correction:
        correct_biases(original, plan, context, few)
