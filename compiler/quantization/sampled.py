"""What is kept of the model's values on a few samples: windows of the sites, and rows of the products' results.

One run of the model gathers both. Ranges and factors are tried on the windows, and the quantized model's results are
compared with the rows, at the same positions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from vggc.calibration.channel_extents import ExtentProbe
from vggc.calibration.matrix import AsMatrix
from vggc.calibration.samples import Samples
from vggc.calibration.spill import Spill
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Array, Floats, Int64
from vggc.quantization.pooled_error import channels_second

FEWEST = 64
MOST = 256
"""Samples on which alternatives are tried: more when the values of a sample are small. Ranges come from all samples."""

_ROWS = 4096
"""About how many rows of a product are kept, over all samples."""

_ROW_NUMBERS = 1 << 24
"""Numbers of the inputs of a product's rows, over all samples: a depthwise convolution has few, but long ones."""

_WINDOW = 8
"""Neighbouring positions that are kept along each axis; see `pooled_error`."""

_NUMBERS = 1 << 18
"""Numbers that are kept of a site."""

_ALL_NUMBERS = 1 << 25
"""Numbers that are kept of all sites."""


@dataclass(frozen=True, eq=False)
class Places:
    """Which rows of a product are kept of one batch.

    shape    of its whole result
    chosen   the rows, (rows,); see `AsMatrix.rows`
    """

    shape: tuple[int, ...]
    chosen: Int64


class Sampled:
    """Windows and rows of a model on a few samples."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._windows: dict[str, list[Floats]] = {}
        self._places: dict[str, list[Places]] = {}
        self._factors: dict[str, Floats] = {}

    def windows(self, name: str) -> list[Floats]:
        """Pieces of a site, each (samples, channels, ...) in float32, those of one shape in one array."""
        shapes: dict[tuple[int, ...], list[Floats]] = {}
        for each in self._windows[name]:
            shapes.setdefault(each.shape[1:], []).append(each)
        return [np.concatenate(group) for group in shapes.values()]

    def places(self, name: str, index: int) -> Places:
        """Which rows are kept of the product that computes the value `name`, on batch `index`."""
        return self._places[name][index]

    def results(self, name: str) -> Floats:
        """The rows of the product that computes the value `name`, of all batches: (rows, outputs) in float32."""
        pieces = [self._spill.get(name, index) for index in range(len(self._places[name]))]
        found = np.concatenate(pieces).astype(np.float32, copy=False)
        return found * self._factors[name] if name in self._factors else found

    def scale(self, name: str, factors: Floats) -> None:
        """The channels of a site have been multiplied by factors, (channels,)."""
        if name in self._windows:
            self._windows[name] = [
                np.asarray(each * factors.astype(np.float32).reshape(-1, *[1] * (each.ndim - 2)))
                for each in self._windows[name]
            ]

    def scale_rows(self, name: str, factors: Floats) -> None:
        """The results of a product have been multiplied by factors, (outputs,)."""
        self._factors[name] = np.asarray(self._factors.get(name, 1.0) * factors, np.float32)


def to_try(samples: Samples) -> tuple[Samples, Samples | None]:
    """The samples on which alternatives are tried, and the others."""
    count = min(MOST, max(FEWEST, 8 * samples.size))
    return samples.spread(count), samples.beside(count)


def sample(
    graph: Graph,
    sites: Iterable[tuple[gs.Tensor, bool]],
    products: dict[str, AsMatrix],
    samples: Samples,
    spill: Spill,
    *,
    probe: ExtentProbe,
) -> Sampled:
    """Run a graph and keep windows of sites and rows of products; the probe of this graph takes in all batches.

    `sites` says of each value whether its channels lie along the last axis; `products` are by the value they compute.
    """
    last = {value.name: along for value, along in sites}
    given = {value.name for value in graph.inputs}
    wanted = [name for name in dict.fromkeys((*last, *products)) if name not in given]
    session = Session(probe.graph, [*wanted, *probe.outputs], optimise="all")
    found = Sampled(spill)
    room = dict.fromkeys(last, min(_NUMBERS, _ALL_NUMBERS // max(1, len(last))))
    for index, batch in enumerate(samples):
        random = np.random.default_rng(index)
        results = session.run({each.name: batch[each.name] for each in session.inputs})
        probe.take(batch, results)
        values: dict[str, Array] = {**batch, **results}
        for name, along in last.items():
            if room[name] <= 0:
                continue
            window = _window(channels_second(np.asarray(values[name], np.float32), last=along), random)
            room[name] -= window.size
            found._windows.setdefault(name, []).append(window)
        for name, matrix in products.items():
            y = np.asarray(values[name])
            count = matrix.count(y.shape, y.shape)
            rows = min(_ROWS, _ROW_NUMBERS // (matrix.blocks * matrix.width))
            most = max(1, rows // samples.count) * len(y)
            chosen = np.sort(random.choice(count, most, replace=False)) if count > most else np.arange(count)
            found._places.setdefault(name, []).append(Places(y.shape, chosen))
            spill.add(name, np.ascontiguousarray(matrix.results(y, chosen)))
    return found


def _window(values: Floats, random: np.random.Generator) -> Floats:
    """A part of (samples, channels, ...): at most _WINDOW neighbouring positions along each axis behind."""
    places = [slice(None), slice(None)]
    for size in values.shape[2:]:
        start = int(random.integers(0, max(0, size - _WINDOW) + 1))
        places.append(slice(start, start + _WINDOW))
    return np.ascontiguousarray(values[tuple(places)])
