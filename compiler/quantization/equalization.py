"""Cross-layer equalization: channels multiplied so that all of a value make use of its one scale.

A channel whose numbers are a tenth of its neighbours' gets a tenth of the steps. Multiplied by ten it has them all,
and the nodes that read it divide by the same number. After Nagel et al., Data-free quantization through weight
equalization and bias correction (2019). Values gain what weights lose: the channels that are read with large weights
set the step of all weights of an output. So each group takes the power of the full factors (0 for none) that has the
least estimated error of the nodes that read it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vggc.graph.arrays import Floats
from vggc.quantization.observation import Observation
from vggc.quantization.output_error import by_input
from vggc.quantization.plan import Plan
from vggc.quantization.products import all_products
from vggc.quantization.sampled import Sampled
from vggc.quantization.scaling_groups import ScalingGroup, multiply, scaling_groups
from vggc.rewrite import Context

_SMALLEST = 1e-3
"""Channels are assumed to be no smaller than this share of the largest: dead channels stay dead."""

_POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)

_CLIPPED = 0.5
"""Of the ceiling of a Clip: channels are multiplied up to it, because other inputs have larger numbers than samples."""


def equalize(plan: Plan, context: Context, seen: Observation) -> None:
    """Equalize the channels of a plan's sites, in its graph and in what is known of its values."""
    graph = plan.graph
    sites = {id(site.value) for site in plan.sites}
    for group in scaling_groups(graph, all_products(graph)):
        names = [value.name for value in group.values if id(value) in sites]
        if group.size < 2 or not names:
            continue
        extents, sampled = seen.extents, seen.sampled
        factors = _factors(plan, group, {name: _by_channel(group, extents[name].magnitudes) for name in names}, sampled)
        if (factors == 1.0).all():
            continue
        multiply(graph, group, factors)
        for name in names:
            spread = np.repeat(factors, len(extents[name].lows) // group.size)
            extents[name] = extents[name].scaled(spread)
            sampled.scale(name, spread)
        for product in group.writers:
            sampled.scale_rows(product.node.outputs[0].name, np.repeat(factors, product.outputs // group.size))
        context.record("equalize channels")


def _by_channel(group: ScalingGroup, numbers: Floats) -> Floats:
    """The largest number of each channel of a group; a flattened value has several numbers for each."""
    return np.asarray(numbers.reshape(group.size, -1).max(axis=1))


def _factors(plan: Plan, group: ScalingGroup, largest: Mapping[str, Floats], sampled: Sampled) -> Floats:
    """What to multiply each channel by, (size,)."""
    shares = [each / max(float(each.max()), 1e-30) for each in largest.values()]
    share = np.maximum(np.max(shares, axis=0), _SMALLEST).astype(np.float64)
    top = np.maximum(np.max(list(largest.values()), axis=0), 1e-30).astype(np.float64)
    energy = {name: _energy(group, sampled, name) for name in largest}
    tried = []
    for power in _POWERS:
        factors = share**-power
        if group.ceiling is not None:
            # A Clip would cut off a channel that is multiplied beyond it, and let through more of one that shrinks.
            factors = np.clip(factors, 1.0, np.maximum(_CLIPPED * group.ceiling / top, 1.0))
        tried.append(factors)
    errors = [_error(plan, group, largest, energy, factors) for factors in tried]
    best: Floats = tried[int(np.argmin(errors))]
    return best


def _energy(group: ScalingGroup, sampled: Sampled, name: str) -> Floats:
    """The mean square of each channel, (size,)."""
    total = np.zeros(group.size)
    windows = sampled.windows(name)
    for values in windows:
        squares = np.square(values, dtype=np.float64).mean(axis=(0, *range(2, values.ndim)))
        total += squares.reshape(group.size, -1).mean(axis=1)
    return total / max(1, len(windows))


def _error(
    plan: Plan, group: ScalingGroup, largest: Mapping[str, Floats], energy: Mapping[str, Floats], factors: Floats
) -> float:
    """The estimated squared error of the nodes that read the channels, each as a share of its result."""
    total = 0.0
    for product in group.readers:
        name = product.node.inputs[product.data].name
        if name not in largest:
            continue
        weights = np.asarray(plan.graph.array(product.weights), np.float64)
        own = np.abs(by_input(product, weights))
        repeats = own.shape[0] * own.shape[2] // group.size
        by = np.repeat(factors, repeats).reshape(own.shape[0], 1, own.shape[2], 1)
        squares = np.repeat(energy[name], repeats).reshape(by.shape)
        power = np.square(own).sum(axis=(1, 3), keepdims=True)
        signal = float((power * squares).sum())
        step = float((largest[name] * factors).max()) / plan.grid.high
        of_values = float((power / np.square(by)).sum()) * step**2 / 12
        steps = (own.max(axis=3, keepdims=True) / by).max(axis=2, keepdims=True) / plan.weight_grid.high
        of_weights = float((np.square(steps) / 12 * squares * np.square(by)).sum()) * own.shape[3]
        total += (of_values + of_weights) / max(signal, 1e-30)
    return total
