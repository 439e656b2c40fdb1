"""What can be seen of the data of a recipe before a compile: samples, statistics, classes, and how it suits a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from vggc.data import Dataset
from vggc.data.dataset import SampleType, rows_per_chunk
from vggc.data.images import ImageFolder
from vggc.data.pictures import Picture, pictured
from vggc.diagnostics import Diagnostic
from vggc.diagnostics.progress import NO_PROGRESS, Inside
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64
from vggc.graph.signature import inputs_of, outputs_of
from vggc.measures import Subject
from vggc.measures.output_checks import other_classes
from vggc.measures.outputs import accuracy
from vggc.pipeline.image_scale import first_norm, norm_values

PICTURES = 64
"""The most samples of a contact sheet."""

_SAMPLES = 16
"""The most samples that the start of a model is run on."""


@dataclass(frozen=True)
class ChannelFacts:
    """The numbers of one channel of an array, or of all of it, over all samples."""

    mean: float
    deviation: float
    least: float
    largest: float


@dataclass(frozen=True)
class ArrayFacts:
    """An array of a data set; `channels` is empty for texts."""

    name: str
    type: SampleType
    channels: tuple[ChannelFacts, ...]


@dataclass(frozen=True)
class NormFacts:
    """What the first batch norm of a model reads on the data, in the median of its channels.

    gain   the deviation, as a multiple of that in training
    shift  the distance of the mean from that of training, in deviations of training
    """

    node: str
    gain: float
    shift: float


@dataclass
class DataFacts:
    """A data set, and how it suits a model."""

    name: str
    description: str
    count: int
    arrays: list[ArrayFacts] = field(default_factory=list)
    extras: dict[str, SampleType] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    """how many samples each class has, by number and name"""
    skipped: tuple[str, ...] = ()
    norm: NormFacts | None = None
    accuracy: float | None = None
    """the top-1 accuracy of the model as read; None without labels, or when the model is not a classifier"""
    pictures: list[Picture] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)


def data_facts(data: Dataset, graph: Graph | None, progress: Inside = NO_PROGRESS.inside) -> DataFacts:
    """Read all samples of a data set, and with a model, run the start of it on some and all of it on labelled ones.

    Raises CompileError for samples that cannot be read, and for data that does not fit the model.
    """
    facts = DataFacts(data.name, data.description, len(data))
    facts.extras = {name: each for name, each in data.extras.items() if name not in data.arrays}
    facts.skipped = data.skipped if isinstance(data, ImageFolder) else ()
    facts.classes = _classes(data)
    source = data.fit(inputs_of(graph)) if graph is not None and data.random else data
    totals = {name: _Total(kind) for name, kind in source.arrays.items() if kind.dtype.kind in "biuf"}
    shown = set(np.linspace(0, len(data) - 1, min(PICTURES, len(data))).astype(int).tolist())
    at = 0
    for batch in source.batches(rows_per_chunk(source.sample_bytes)) if source.arrays else ():
        progress("reading", at, len(data))
        for name, total in totals.items():
            total.add(batch[name])
        rows = len(next(iter(batch.values())))
        for number in range(at, at + rows):
            if number in shown and (picture := pictured(source, batch, number, at)):
                facts.pictures.append(picture)
        at += rows
    facts.arrays = [
        ArrayFacts(name, kind, totals[name].channels() if name in totals else ())
        for name, kind in source.arrays.items()
    ]
    if graph is not None:
        fitted = data.fit(inputs_of(graph))
        facts.norm = _norm(graph, fitted)
        output = outputs_of(graph)[0]
        if data.labels is not None and output.shape is not None and len(output.shape) == 2:
            classes = output.shape[1]
            if data.classes and isinstance(classes, int) and len(data.classes) != classes:
                wrong = other_classes(data.name, data.classes, classes, output.name)
                facts.warnings.append(replace(wrong, severity="warning"))
            else:
                facts.accuracy = float(accuracy(Subject(graph, progress=progress), data=data))
    return facts


def _classes(data: Dataset) -> dict[str, int]:
    if data.labels is None:
        return {}
    counts = np.bincount(data.labels, minlength=len(data.classes))
    names = [f"{number} {data.classes[number]}" if data.classes else str(number) for number in range(len(counts))]
    return dict(zip(names, counts.tolist(), strict=True))


class _Total:
    """The sums of an array over samples, by channel when it looks like images."""

    def __init__(self, kind: SampleType) -> None:
        axes = range(len(kind.shape))
        # Channels are few, and stand first or last.
        channel = next(
            (axis for axis in (0, len(kind.shape) - 1) if len(kind.shape) == 3 and kind.shape[axis] <= 4), None
        )
        self._axes = (0, *(1 + axis for axis in axes if axis != channel))
        self._count = 0
        self._sums: Float64 = np.zeros(1 if channel is None else kind.shape[channel])
        self._squares = self._sums.copy()
        self._least = np.full(len(self._sums), np.inf)
        self._largest = -self._least

    def add(self, array: Array) -> None:
        values = array.astype(np.float64)
        axes = self._axes if len(self._axes) < values.ndim else None
        self._sums += values.sum(axis=axes)
        self._squares += np.square(values).sum(axis=axes)
        self._least = np.minimum(self._least, values.min(axis=axes, initial=np.inf))
        self._largest = np.maximum(self._largest, values.max(axis=axes, initial=-np.inf))
        self._count += values.size // len(self._sums)

    def channels(self) -> tuple[ChannelFacts, ...]:
        means = self._sums / max(1, self._count)
        deviations = np.sqrt(np.maximum(self._squares / max(1, self._count) - np.square(means), 0))
        rows: Iterator[tuple[float, ...]] = zip(means, deviations, self._least, self._largest, strict=True)
        return tuple(ChannelFacts(*map(float, row)) for row in rows)


def _norm(graph: Graph, fitted: Dataset) -> NormFacts | None:
    """What the first batch norm reads; None when the model has none, or does not run on the samples."""
    norm = first_norm(graph)
    found = None if norm is None else norm_values(graph, norm, fitted, _SAMPLES)
    if norm is None or found is None:
        return None
    values = found.astype(np.float64)
    axes = (0, *range(2, values.ndim))
    gain = values.std(axis=axes)[norm.varying] / norm.deviation[norm.varying]
    shift = np.abs(values.mean(axis=axes) - norm.mean)[norm.varying] / norm.deviation[norm.varying]
    return NormFacts(graph.label(norm.node), float(np.median(gain)), float(np.median(shift)))
