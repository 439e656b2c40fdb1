"""Ranges by the error of what is computed from the values: `calibration=output_error`.

The histogram of a value knows how large its rounding errors are, but not which channels matter to the operators that
read it, nor that errors of neighbours add up. Here each range is tried on samples: the pooled error of each channel,
times the squared weights with which it is read, estimates the error of the operators behind.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vggc.calibration.samples import Samples
from vggc.calibration.streams import Ration, stream
from vggc.graph.arrays import Floats
from vggc.operators.roles import MATRIX_PRODUCTS
from vggc.quantization.grids import Quantizer
from vggc.quantization.histograms import Histogram
from vggc.quantization.plan import Plan, QuantizationSite
from vggc.quantization.pooled_error import channels_second, pooled_error
from vggc.quantization.thresholds import ceiling, narrowed

_SHARES = np.linspace(1.0, 0.5, 16)
"""Of the range seen on all samples."""


def by_output_error(plan: Plan, histograms: Mapping[int, Histogram], samples: Samples) -> dict[int, Quantizer]:
    """The quantizer of each family whose readers' results are estimated to be nearest to what they were."""
    families = plan.families()
    tried = {
        family: [narrowed(histograms[family], plan.grid, float(share), ceiling(sites)) for share in _SHARES]
        for family, sites in families.items()
    }
    sites = plan.sites
    measured = {site.value.name: _Measured() for site in sites}
    last = {site.value.name for site in sites if _is_read_along_rows(plan, site)}
    ration = Ration()
    for values in stream(plan.graph, [site.value for site in sites], samples):
        for site in sites:
            name = site.value.name
            if not ration.allows(name, values[name]):
                continue
            given = channels_second(values[name], last=name in last)
            # In units of the range, for squares of large numbers overflow.
            unit = np.float32(histograms[site.family].bound or 1.0)
            energy = np.square(given / unit).mean(axis=(0, *range(2, given.ndim)))
            found = [pooled_error((each.rounded(given) - given) / unit) for each in tried[site.family]]
            measured[name].add(np.array(found), energy)
    chosen = {}
    for family, members in families.items():
        total = np.zeros(len(_SHARES))
        for site in members:
            found_of = measured[site.value.name]
            for gain in gains(plan, site, found_of.channels):
                total += found_of.errors @ gain / max(float(found_of.energy @ gain), 1e-30)
        chosen[family] = tried[family][int(np.argmin(total))]
    return chosen


class _Measured:
    """The error of each channel of a value under each range tried, and its energy, over all batches.

    errors  (ranges, channels)
    energy  (channels,)
    """

    def __init__(self) -> None:
        self.errors: Floats = np.zeros((len(_SHARES), 0))
        self.energy: Floats = np.zeros(0)

    @property
    def channels(self) -> int:
        return len(self.energy)

    def add(self, errors: Floats, energy: Floats) -> None:
        if not self.channels:
            self.errors, self.energy = errors, energy
            return
        if len(energy) != self.channels:
            # The axis counts samples or positions, which are not the same from batch to batch: one mean stands for it.
            self.errors, self.energy = _mean(self.errors), _mean(self.energy)
            errors, energy = _mean(errors), _mean(energy)
        self.errors = self.errors + errors
        self.energy = self.energy + energy


def _mean(values: Floats) -> Floats:
    return np.asarray(values.mean(axis=-1, keepdims=True))


def _is_read_along_rows(plan: Plan, site: QuantizationSite) -> bool:
    """Whether a matrix product reads a value, whose last axis then has the channels."""
    products = {id(each.node) for each in plan.products if each.node.op in MATRIX_PRODUCTS}
    return any(id(node) in products for node, _ in site.readers)


def gains(plan: Plan, site: QuantizationSite, channels: int) -> list[Floats]:
    """For each reader the weight with which it takes in each of the site's channels, squared: (channels,).

    Readers without weights, and those with weights for another number of channels, take all alike.
    """
    products = {id(each.node): each for each in plan.products}
    found = []
    for node, _ in site.readers:
        product = products.get(id(node))
        array = plan.graph.array(product.weights) if product is not None else None
        if product is None or array is None:
            found.append(np.ones(channels))
            continue
        weights = np.moveaxis(np.square(np.asarray(array, np.float64)), product.axis, 0)
        if node.op == "ConvTranspose":
            # (outputs of a block, all inputs, kernel)
            gain = weights.reshape(*weights.shape[:2], -1).sum(axis=(0, 2))
        else:
            own = weights.reshape(product.group, weights.shape[0] // product.group, weights.shape[1], -1)
            gain = own.sum(axis=(1, 3)).reshape(-1)
        found.append(gain)
    return [each if each.size == channels else np.ones(channels) for each in found]
