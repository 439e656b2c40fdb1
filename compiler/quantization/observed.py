"""What the values to be quantized look like on samples, gathered in one pass and bounded memory."""

from __future__ import annotations

from collections.abc import Mapping

from vggc.calibration.samples import Samples
from vggc.calibration.streams import stream
from vggc.quantization.histograms import Histogram
from vggc.quantization.plan import Plan


def observe(plan: Plan, samples: Samples) -> dict[int, Histogram]:
    """The histogram of each family of sites. Raises CompileError for NaN and infinite numbers."""
    sites = plan.sites
    found = {site.family: Histogram() for site in sites}
    for values in stream(plan.graph, [site.value for site in sites], samples):
        for site in sites:
            found[site.family].add(values[site.value.name])
    return found


def warnings_of(plan: Plan, bounds: Mapping[int, float], samples: Samples) -> list[str]:
    """What to warn of: values of which the samples tell nothing."""
    return [
        f"`{site.value.name}` is 0 on all samples of data `{samples.name}`: its range is a guess"
        for site in plan.sites
        if bounds[site.family] == 0
    ]
