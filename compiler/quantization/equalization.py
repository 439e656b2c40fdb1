"""Cross-layer equalization: channels multiplied so that all of a value make use of its one scale.

A channel whose numbers are a tenth of its neighbours' is left a tenth of the steps. Multiplied by up to ten it has them
all, and what reads it divides by the same number. After Nagel et al., Data-free quantization through weight
equalization and bias correction (2019); but the ranges are those of the values on samples, of each channel the one with
the least pooled error, and half of the way is gone (the square root), for what values gain, weights lose.
"""

from __future__ import annotations

import numpy as np

from vggc.calibration.samples import Samples
from vggc.calibration.streams import Ration, stream
from vggc.graph.arrays import Floats
from vggc.quantization.plan import Plan
from vggc.quantization.pooled_error import pooled_error
from vggc.quantization.products import all_products
from vggc.quantization.scaling_groups import ScalingGroup, multiply, scaling_groups
from vggc.rewrite import Context

_SHARES = np.geomspace(0.55, 1.25, 14)
"""Of a channel's largest number: the ranges tried for it."""

_SMALLEST = 1e-3
"""Channels are taken to be no smaller than this share of the largest: what is dead stays dead."""

_POWER = 0.5


def equalize(plan: Plan, context: Context, samples: Samples) -> None:
    """Equalize the sites of a plan, in its graph."""
    graph = plan.graph
    sites = {id(site.value) for site in plan.sites}
    groups = []
    for group in scaling_groups(graph, all_products(graph)):
        seen = [value for value in group.values if id(value) in sites]
        if seen and group.size > 1:
            groups.append((group, _Watched(group, [value.name for value in seen])))
    if not groups:
        return
    values = [value for group, _ in groups for value in group.values if id(value) in sites]
    for found in stream(graph, values, samples):
        for _, watched in groups:
            watched.look(found)
    ration = Ration()
    for found in stream(graph, values, samples):
        for _, watched in groups:
            watched.measure(found, ration, plan.grid.high if plan.grid.signed else plan.grid.high / 2)
    for group, watched in groups:
        multiply(graph, group, watched.factors())
        context.record("equalize channels")


class _Watched:
    """What the channels of a group are like, in all sites that have them."""

    def __init__(self, group: ScalingGroup, names: list[str]) -> None:
        self.group = group
        self.names = names
        self.largest: dict[str, Floats] = {}
        self.errors: Floats = np.zeros((len(_SHARES), group.size))

    def _channels(self, values: Floats) -> Floats:
        """(samples, size, ...), the numbers of a flattened value along a third axis."""
        if values.ndim == 2 and values.shape[1] != self.group.size:
            return values.reshape(len(values), self.group.size, -1)
        return values

    def look(self, found: dict[str, Floats]) -> None:
        for name in self.names:
            values = self._channels(found[name])
            largest = np.abs(values).max(axis=(0, *range(2, values.ndim)))
            self.largest[name] = np.maximum(self.largest.get(name, 0.0), largest)

    @property
    def share(self) -> Floats:
        """Of each channel, its largest number as a share of its value's: in the value where that is most."""
        shares = [each / max(float(each.max()), 1e-30) for each in self.largest.values()]
        return np.asarray(np.maximum(np.max(shares, axis=0), _SMALLEST))

    def measure(self, found: dict[str, Floats], ration: Ration, steps: float) -> None:
        """The pooled error of each channel under each range, as if it had a scale of its own."""
        for name in self.names:
            if not ration.allows(name, found[name]):
                continue
            # In units of the range, for squares of large numbers overflow.
            values = self._channels(found[name]) / np.float32(self.largest[name].max() or 1.0)
            energy = max(float(np.square(values).mean()), 1e-30)
            shape = (1, -1, *[1] * (values.ndim - 2))
            for index, share in enumerate(_SHARES):
                scale = (self.share * share / steps).astype(np.float32).reshape(shape)
                rounded = values / scale
                np.rint(rounded, out=rounded)
                np.clip(rounded, -steps, steps, out=rounded)
                rounded *= scale
                rounded -= values
                self.errors[index] += pooled_error(rounded) / energy

    def factors(self) -> Floats:
        """What to multiply each channel by."""
        best = _SHARES[np.argmin(self.errors, axis=0)]
        factors = (1.0 / (self.share * best)) ** _POWER
        if self.group.ceiling is not None:
            # A Clip would cut off a channel that is multiplied beyond it, and let through more of one that shrinks.
            largest = np.maximum(np.max(list(self.largest.values()), axis=0), 1e-30)
            room = self.group.ceiling / largest
            factors = np.clip(factors, 1.0, np.maximum(room, 1.0))
        return np.asarray(factors)
