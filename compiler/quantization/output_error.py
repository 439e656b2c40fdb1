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
    errors: dict[str, list[Floats]] = {site.value.name: [] for site in sites}
    energy: dict[str, Floats] = {}
    axes = {site.value.name: channel_axis(plan, site) for site in sites}
    ration = Ration()
    for values in stream(plan.graph, [site.value for site in sites], samples):
        for site in sites:
            name = site.value.name
            if not ration.allows(name, values[name]):
                continue
            given = channels_second(values[name], axes[name])
            # In units of the range, for squares of large numbers overflow.
            unit = np.float32(histograms[site.family].bound or 1.0)
            energy[name] = energy.get(name, 0.0) + np.square(given / unit).mean(axis=(0, *range(2, given.ndim)))
            found = [pooled_error((each.rounded(given) - given) / unit) for each in tried[site.family]]
            errors[name].append(np.array(found))
    chosen = {}
    for family, members in families.items():
        total = np.zeros(len(_SHARES))
        for site in members:
            name = site.value.name
            for gain in gains(plan, site):
                total += np.sum(errors[name], axis=0) @ gain / max(float(energy[name] @ gain), 1e-30)
        chosen[family] = tried[family][int(np.argmin(total))]
    return chosen


def channel_axis(plan: Plan, site: QuantizationSite) -> int:
    """Along which axis of a value its channels lie: the last one where matrix products read it."""
    products = {id(each.node) for each in plan.products if each.node.op in MATRIX_PRODUCTS}
    rank = plan.graph.rank(site.value)
    last = any(id(node) in products for node, _ in site.readers) and rank is not None
    return max(1, rank - 1) if last and rank is not None else 1


def gains(plan: Plan, site: QuantizationSite) -> list[Floats]:
    """For each reader the weight with which it takes in each channel, squared: (channels,).

    Readers without weights take all alike. Where the number of channels is not known, one number stands for all: (1,).
    """
    products = {id(each.node): each for each in plan.products}
    shape = plan.graph.shape(site.value)
    count = shape[channel_axis(plan, site)] if shape else None
    found = []
    for node, _ in site.readers:
        product = products.get(id(node))
        array = plan.graph.array(product.weights) if product is not None else None
        if product is None or array is None:
            found.append(np.ones(1))
            continue
        weights = np.moveaxis(np.square(np.asarray(array, np.float64)), product.axis, 0)
        if node.op == "ConvTranspose":
            # (outputs of a block, all inputs, kernel)
            gain = weights.reshape(*weights.shape[:2], -1).sum(axis=(0, 2))
        else:
            own = weights.reshape(product.group, weights.shape[0] // product.group, weights.shape[1], -1)
            gain = own.sum(axis=(1, 3)).reshape(-1)
        found.append(gain)
    return [each if each.size == count else np.ones(count if isinstance(count, int) else 1) for each in found]
