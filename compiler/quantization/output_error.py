"""Ranges by the error of what is computed from the values: `calibration=output_error`.

The histogram of a value knows how large its rounding errors are, but not which channels matter to the operators that
read it, nor that errors of neighbours add up. Here each range is tried on samples: the pooled error of each channel,
times the squared weights with which it is read, estimates the error of the operators behind.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vggc.calibration.channel_extents import ChannelExtents
from vggc.graph.arrays import Floats
from vggc.operators.roles import MATRIX_PRODUCTS
from vggc.quantization.grids import Quantizer
from vggc.quantization.plan import Plan, Product, QuantizationSite
from vggc.quantization.pooled_error import pooled_error
from vggc.quantization.sampled import Sampled
from vggc.quantization.thresholds import ceiling, narrowed

_SHARES = np.linspace(1.0, 0.5, 16)
"""Of the range seen on all samples."""


def by_output_error(plan: Plan, extents: Mapping[int, ChannelExtents], sampled: Sampled) -> dict[int, Quantizer]:
    """The quantizer of each family whose readers' results are estimated to be nearest to what they were."""
    chosen = {}
    for family, members in plan.families().items():
        seen, limit = extents[family], ceiling(members)
        tried = [narrowed(seen, plan.grid, float(share), limit) for share in _SHARES]
        # In units of the range, because squares of large numbers overflow.
        unit = np.float32(seen.bound or 1.0)
        total = np.zeros(len(_SHARES))
        for site in members:
            measured = _Measured()
            for values in sampled.windows(site.value.name):
                energy = np.square(values / unit).mean(axis=(0, *range(2, values.ndim)))
                errors = [pooled_error((each.rounded(values) - values) / unit) for each in tried]
                measured.add(np.array(errors), energy)
            for gain in gains(plan, site, measured.channels):
                total += measured.errors @ gain / max(float(measured.energy @ gain), 1e-30)
        chosen[family] = tried[int(np.argmin(total))]
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


def is_read_along_rows(plan: Plan, site: QuantizationSite) -> bool:
    """Whether a matrix product reads a value, whose last axis then has the channels."""
    products = {id(each.node) for each in plan.products if each.node.op in MATRIX_PRODUCTS}
    return any(id(node) in products for node, _ in site.readers)


def gains(plan: Plan, site: QuantizationSite, channels: int) -> list[Floats]:
    """For each reader the weight with which it reads each of the site's channels, squared: (channels,).

    Readers without weights, and those with weights for another number of channels, read all alike.
    """
    products = {id(each.node): each for each in plan.products}
    found = []
    for node, _ in site.readers:
        product = products.get(id(node))
        array = plan.graph.array(product.weights) if product is not None else None
        if product is None or array is None:
            found.append(np.ones(channels))
        else:
            found.append(np.square(by_input(product, np.asarray(array, np.float64))).sum(axis=(1, 3)).reshape(-1))
    return [each if each.size == channels else np.ones(channels) for each in found]


def by_input(product: Product, weights: Floats) -> Floats:
    """The weights of a product as (blocks, outputs of a block, inputs of a block, kernel)."""
    blocks = product.group
    if product.node.op == "ConvTranspose":
        own = weights.reshape(blocks, weights.shape[0] // blocks, weights.shape[1], -1)
        return np.asarray(own.transpose(0, 2, 1, 3))
    turned = np.moveaxis(weights, product.axis, 0)
    return turned.reshape(blocks, turned.shape[0] // blocks, turned.shape[1], -1)
