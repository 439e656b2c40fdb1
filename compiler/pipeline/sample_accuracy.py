"""Measure on which samples the compiled model differs from the model as read, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vggc.data import Dataset
from vggc.data.pictures import Picture, pictured
from vggc.execution.array_distance import has_fractions
from vggc.execution.batching import run
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64, Int64
from vggc.graph.signature import inputs_of
from vggc.report.measured import Disagreement

_BATCH = 8
_MOST_CLASSES = 50
_WORST = 12


@dataclass(frozen=True)
class SampleAccuracy:
    """The first output that is compared, the confusion of its classes, and the worst samples.

    `rows` are the places of the worst samples among those that were compared.
    """

    output: str = ""
    confusion: tuple[tuple[int, ...], ...] = ()
    worst: tuple[Disagreement, ...] = ()
    rows: tuple[int, ...] = ()


def sample_accuracy(before: Graph, after: Graph, data: Dataset) -> SampleAccuracy:
    """Compare the first output of floats, sample by sample. Raises CompileError when a model does not run."""
    sessions = [Session(graph) for graph in (before, after)]
    fitted = [data.fit(inputs_of(graph)) for graph in (before, after)]
    output = ""
    differences: list[Float64] = []
    classes: list[tuple[Int64, Int64]] = []
    for feeds in zip(*(each.batches(_BATCH) for each in fitted), strict=True):
        first, second = (run(session, feed) for session, feed in zip(sessions, feeds, strict=True))
        output = output or next((name for name, each in first.items() if _comparable(each, second.get(name))), "")
        if not output or not _comparable(first[output], second[output]):
            return SampleAccuracy()
        differences.append(_differences(first[output], second[output]))
        if first[output].ndim == 2 and first[output].shape[1] > 1:
            classes.append((first[output].argmax(axis=1), second[output].argmax(axis=1)))
    if not differences:
        return SampleAccuracy()
    difference = np.concatenate(differences)
    chosen = tuple(np.concatenate(each) for each in zip(*classes, strict=True)) if classes else None
    order = _worst(difference, chosen)
    worst = [
        Disagreement(
            sample=fitted[0].number(int(number)),
            difference=float(difference[number]),
            before=None if chosen is None else int(chosen[0][number]),
            after=None if chosen is None else int(chosen[1][number]),
        )
        for number in order
    ]
    return SampleAccuracy(output, _confusion(chosen), tuple(worst), tuple(order))


def sample_pictures(before: Graph, data: Dataset, rows: Sequence[int]) -> tuple[Picture | None, ...]:
    """The pictures of samples as the model as read gets them; None for those that are not images."""
    fitted = data.fit(inputs_of(before))
    return tuple(_picture(fitted, number) for number in rows)


def _comparable(first: object, second: object) -> bool:
    return (
        isinstance(first, np.ndarray)
        and isinstance(second, np.ndarray)
        and first.ndim > 0
        and first.shape == second.shape
        and has_fractions(first.dtype)
    )


def _differences(first: Array, second: Array) -> Float64:
    """||a - b|| / ||a|| of each sample."""
    one, other = (each.reshape(len(each), -1).astype(np.float64) for each in (first, second))
    length = np.linalg.norm(one, axis=1)
    with np.errstate(invalid="ignore"):
        found: Float64 = np.linalg.norm(one - other, axis=1) / np.where(length > 0, length, 1.0)
    return np.nan_to_num(found, nan=0.0, posinf=np.finfo(np.float64).max)


def _worst(difference: Float64, chosen: Sequence[Int64] | None) -> list[int]:
    """The samples that changed their class first, then by difference; those that do not differ at all are left out."""
    changed = np.zeros(len(difference), bool) if chosen is None else chosen[0] != chosen[1]
    order = np.lexsort((-difference, ~changed))[:_WORST]
    return [int(each) for each in order if difference[each] > 0]


def _confusion(chosen: Sequence[Int64] | None) -> tuple[tuple[int, ...], ...]:
    if chosen is None:
        return ()
    count = int(max(each.max() for each in chosen)) + 1
    if count > _MOST_CLASSES:
        return ()
    table = np.zeros((count, count), np.int64)
    np.add.at(table, (chosen[0], chosen[1]), 1)
    return tuple(tuple(map(int, row)) for row in table)


def _picture(data: Dataset, number: int) -> Picture | None:
    first = number // _BATCH * _BATCH
    for index, batch in enumerate(data.batches(_BATCH, first + _BATCH)):
        if index * _BATCH == first:
            return pictured(data, batch, number, first)
    return None
