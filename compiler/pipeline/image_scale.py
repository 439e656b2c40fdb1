"""Warn of images whose `scale`, `mean` and `std` are not those that a model was trained with.

A batch norm keeps the variance that its input had in training. When the results of the first convolution vary many
times as much or as little on the images of a recipe, the images have the wrong scale: pixels from 0 to 255 for a model
that takes normalized ones, or the reverse. A wrong mean, or the statistics of another data set, change the deviation by
a factor of 2 to 4 only. The content of images does so too, so that these give no warning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from vggc.data import Dataset
from vggc.data.images import ImageFolder
from vggc.data.preparation import Preparation
from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.execution.batching import run
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64
from vggc.graph.signature import fixed_batch, inputs_of

_FACTOR = 8.0
"""A warning is given when values vary at least this many times as much as in training, or as little."""

_MOST_CHANNELS = 4.0
"""The least such factor for nine of ten channels, so that a few odd channels do not decide."""

_IMAGES, _BYTES = 8, 64 << 20
_NODES = 200
"""The most nodes before the batch norm; these include nodes that compute shapes."""

_FLAT = 16.0
"""Images whose pixels, 0 to 255, have a smaller standard deviation show nothing."""

_COMMON = (
    ("images(..., mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])", 1 / 255 / 0.226),
    ("images(..., mean=0.5, std=0.5)", 1 / 255 / 0.5),
    ("images(...) without scale, mean and std", 1 / 255),
    ("images(..., scale=1)", 1.0),
)
"""Preparations that are common, and what they multiply the deviation of pixels by."""


@dataclass(frozen=True)
class Norm:
    """A batch norm near an input: the node, and mean and standard deviation of its input in training, by channel."""

    node: gs.Node
    mean: Float64
    deviation: Float64

    @property
    def varying(self) -> Array:
        """Which channels varied in training, (channels,) in bool: the others say nothing."""
        found: Array = self.deviation > 0.05 * np.median(self.deviation)
        return found


def scale_warning(graph: Graph, data: Dataset) -> Diagnostic | None:
    """The warning for images of a wrong scale; None for all other data. Runs the start of the model on a few images.

    The data must fit the model.
    """
    if not isinstance(data, ImageFolder) or (norm := first_norm(graph)) is None:
        return None
    inputs = inputs_of(graph)
    fitted = data.fit(inputs)
    count = fixed_batch(inputs) or max(1, min(_IMAGES, len(data), _BYTES // fitted.sample_bytes))
    if count > len(data):
        return None
    found = norm_values(graph, norm, fitted, count)
    if found is None:
        return None
    feed = next(fitted.batches(count, count))
    pixels = _pixel_deviation(next(iter(feed.values())), data.preparation)
    ratios = _ratios(found, norm)
    if pixels < _FLAT or not len(ratios) or not _all_wrong(ratios):
        return None
    return _warning(graph, data, norm, float(np.median(ratios)))


def norm_values(graph: Graph, norm: Norm, data: Dataset, most: int) -> Array | None:
    """What a batch norm reads on the first samples of fitted data, at most `most`: (samples, channels, ...).

    None when the model does not run on them.
    """
    feed = next(data.batches(most, most))
    name = norm.node.inputs[0].name
    if graph.producer(norm.node.inputs[0]) is None:
        # The batch norm is the first node, which reads the input itself.
        return feed[name]
    try:
        values: Array = run(Session(graph, [name]), feed)[name]
    except CompileError:
        # A model that does not run is reported where all of it is run.
        return None
    return values


def first_norm(graph: Graph) -> Norm | None:
    """The first batch norm with trained statistics, when few nodes are before it."""
    node = next((each for each in graph.nodes if each.op == "BatchNormalization"), None)
    if node is None or node.attrs.get("training_mode", 0) or not node.inputs[0].name:
        return None
    mean, variance = (graph.array(value) for value in node.inputs[3:5])
    if mean is None or variance is None or len(_before(graph, node)) > _NODES:
        return None
    untrained = not mean.any() and bool((variance == 1).all())
    return None if untrained else Norm(node, mean.astype(np.float64), np.sqrt(variance.astype(np.float64)))


def _before(graph: Graph, node: gs.Node) -> set[int]:
    """The ids of the nodes that a node needs, and perhaps of one more than `_NODES` of them."""
    seen: set[int] = set()
    waiting = [node]
    while waiting and len(seen) <= _NODES:
        for value in waiting.pop().inputs:
            producer = graph.producer(value)
            if producer is not None and id(producer) not in seen:
                seen.add(id(producer))
                waiting.append(producer)
    return seen


def _ratios(values: Array, norm: Norm) -> Float64:
    """The deviation of values (samples, channels, ...) divided by that in training, for channels that varied there."""
    axes = (0, *range(2, values.ndim))
    deviation: Float64 = values.astype(np.float64).std(axis=axes)
    return deviation[norm.varying] / norm.deviation[norm.varying]


def _all_wrong(ratios: Float64) -> bool:
    low, middle, high = np.quantile(ratios, [0.1, 0.5, 0.9])
    return bool((middle > _FACTOR and low > _MOST_CHANNELS) or (middle < 1 / _FACTOR and high < 1 / _MOST_CHANNELS))


def _pixel_deviation(images: Array, preparation: Preparation) -> float:
    """The standard deviation of the pixels, 0 to 255, that prepared images (samples, ...) were made of."""
    return float(images.std()) / _gain(preparation)


def _gain(preparation: Preparation) -> float:
    """What the preparation multiplies deviations of pixels by, in the mean of the channels."""
    return abs(preparation.scale) * float(np.mean([1 / abs(each) for each in preparation.std]))


def _warning(graph: Graph, data: ImageFolder, norm: Norm, ratio: float) -> Diagnostic:
    per_gain = ratio / _gain(data.preparation)
    common, _ = min(_COMMON, key=lambda each: abs(math.log(per_gain * each[1])))
    more = f"{ratio:.0f} times as much" if ratio > 1 else f"only {ratio:.2g} times as much"
    return Diagnostic(
        f"the images of data `{data.name}` do not have the scale that the model was trained with",
        facts=(("note", f"the values that {graph.label(norm.node)} reads vary {more} as in training"),),
        help=f"prepare images as in training; of the common ways, this one is nearest: {common}",
        severity="warning",
        code=Code.IMAGE_SCALE,
    )
