"""Choosing the range of each value that is quantized."""

from __future__ import annotations

from functools import reduce
from typing import Literal

from vggc.calibration.channel_extents import ChannelExtents
from vggc.calibration.samples import Samples
from vggc.quantization.observation import Observation
from vggc.quantization.observed import observe, warnings_of
from vggc.quantization.output_error import by_output_error
from vggc.quantization.plan import Plan
from vggc.quantization.range_cache import FamilyRanges, kept
from vggc.quantization.thresholds import Method, ceiling, narrowed, quantizers
from vggc.rewrite import Context

Calibration = Literal["output_error", "max", "percentile", "entropy", "mse"]


def by_histograms(plan: Plan, context: Context, samples: Samples, method: Method) -> FamilyRanges:
    """How to quantize each family of a plan, by a histogram of each value on all samples.

    What was found in an earlier run comes from the user's cache folder; see `vggc.quantization.range_cache`.
    """

    def find() -> FamilyRanges:
        histograms = observe(plan, samples.shown(context.progress, "find ranges"))
        bounds = {family: each.bound for family, each in histograms.items()}
        return FamilyRanges(quantizers(plan, histograms, method), warnings_of(plan, bounds, samples))

    return kept(plan, context, samples, method, find)


def by_extents(
    plan: Plan,
    context: Context,
    samples: Samples,
    calibration: Literal["output_error", "max"],
    seen: Observation,
) -> FamilyRanges:
    """The same by the smallest and largest numbers on all samples, and for `output_error` by windows of a few."""

    def find() -> FamilyRanges:
        known = seen.extents
        families = {
            family: reduce(ChannelExtents.joined, [known[site.value.name] for site in sites])
            for family, sites in plan.families().items()
        }
        warnings = warnings_of(plan, {family: each.bound for family, each in families.items()}, samples)
        if calibration == "output_error":
            return FamilyRanges(by_output_error(plan, families, seen.sampled), warnings)
        found = {
            family: narrowed(families[family], plan.grid, 1.0, ceiling(sites))
            for family, sites in plan.families().items()
        }
        return FamilyRanges(found, warnings)

    return kept(plan, context, samples, calibration, find)
