"""Choosing the range of each value that is quantized."""

from __future__ import annotations

from typing import Literal

from vggc.calibration.samples import Samples
from vggc.calibration.streams import SAMPLES
from vggc.quantization.observed import observe, warnings_of
from vggc.quantization.output_error import by_output_error
from vggc.quantization.plan import Plan
from vggc.quantization.range_cache import FamilyRanges, kept
from vggc.quantization.thresholds import quantizers
from vggc.rewrite import Context

Calibration = Literal["output_error", "max", "percentile", "entropy", "mse"]


def find_ranges(plan: Plan, context: Context, samples: Samples, calibration: Calibration) -> FamilyRanges:
    """How to quantize each family of a plan, by what its values are like on the samples.

    What was found in an earlier run is taken from the user's cache folder; see `vggc.quantization.range_cache`.
    """

    def find() -> FamilyRanges:
        histograms = observe(plan, samples)
        warnings = warnings_of(plan, histograms, samples)
        if calibration == "output_error":
            return FamilyRanges(by_output_error(plan, histograms, samples.up_to(SAMPLES)), warnings)
        return FamilyRanges(quantizers(plan, histograms, calibration), warnings)

    return kept(plan, context, samples, calibration, find)
