"""Choosing the range of each value that is quantized."""

from __future__ import annotations

from typing import Literal

from vggc.calibration.samples import Samples
from vggc.calibration.streams import SAMPLES
from vggc.data import Dataset
from vggc.graph import Graph
from vggc.quantization.grids import Quantizer
from vggc.quantization.observed import observe
from vggc.quantization.output_error import by_output_error
from vggc.quantization.plan import Plan
from vggc.quantization.range_cache import kept
from vggc.quantization.thresholds import quantizers

Calibration = Literal["output_error", "max", "percentile", "entropy", "mse"]


def find_ranges(
    plan: Plan, data: Dataset, calibration: Calibration, *, told: Graph | None = None
) -> dict[int, Quantizer]:
    """How to quantize each family of a plan, by what its values are like on the samples.

    What was found in an earlier run is taken from the user's cache folder, and `told` (the plan's graph unless given)
    hears of it; see `vggc.quantization.range_cache`.
    """
    samples = Samples(plan.graph, data)

    def find() -> dict[int, Quantizer]:
        histograms = observe(plan, samples)
        if calibration == "output_error":
            return by_output_error(plan, histograms, Samples(plan.graph, data, limit=SAMPLES))
        return quantizers(plan, histograms, calibration)

    return kept(plan, data, samples, calibration, told=told or plan.graph, find=find)
