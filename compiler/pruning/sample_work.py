"""How many samples are worth running: what is known of a large model costs more per sample, and says more as well."""

from __future__ import annotations

from vggc.calibration.samples import Samples
from vggc.pattern.context import Context

_MOST = 2.5e12
"""MACs that one run over all samples may take: about two minutes of a CPU core. Order, widths and repair take a few."""

_FEWEST = 64
"""Samples that are used whatever they cost."""

_VARIED = 1e12
"""MACs that a run over all samples and their variations may take; beyond, the samples themselves are enough work."""


_ORDERING = 1e12
"""MACs of the run that says how channels depend on each other: half as many samples give the same order nearly."""


def affordable(samples: Samples, macs: float, context: Context) -> Samples:
    """These samples, or as many at even distances as may be run; `macs` are those of one sample. A note says so."""
    found = _within(samples, macs, _MOST)
    if found is samples:
        return samples
    context.note(
        f"{found.count} of the {samples.count} samples of `{samples.name}` are used: "
        f"a run over all of them would take {samples.count * macs / 1e12:.1f} T MACs"
    )
    return found


def enough_to_order(samples: Samples, macs: float) -> Samples:
    """These samples, or as many at even distances as an order needs; `macs` are those of one sample."""
    return _within(samples, macs, _ORDERING)


def _within(samples: Samples, macs: float, limit: float) -> Samples:
    most = max(_FEWEST, int(limit / max(macs, 1)))
    return samples if samples.count <= most else samples.spread(most)


def varied(samples: Samples, macs: float, seed: int) -> Samples:
    """These samples with variations of their images behind them, unless so much work is not needed."""
    return samples.varied(seed) if 2 * samples.count * macs <= _VARIED else samples
