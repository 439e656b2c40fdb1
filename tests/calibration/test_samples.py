"""Samples kept apart for trials."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import parser

from vggc.calibration.samples import Samples
from vggc.data import ArrayDataset
from vggc.graph import Graph
from vggc.graph.signature import ValueType, fixed_batch


def samples(count: int, batch: str = "N") -> Samples:
    text = f'<ir_version: 10, opset_import: ["": 17]> g (float[{batch},3] x) => (float[{batch},3] y) {{ y = Relu(x) }}'
    graph = Graph.from_model(parser.parse_model(text))
    array = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
    return Samples(graph, ArrayDataset({"x": array}, np.arange(count), "calib"))


def test_one_fixed_first_dimension_is_the_batch_of_all_inputs() -> None:
    dynamic, two, four, scalar = (ValueType("x", np.dtype(np.float32), shape) for shape in [("N", 3), (2, 3), (4,), ()])
    assert fixed_batch([dynamic, scalar]) is None
    assert fixed_batch([dynamic, two, scalar]) == 2
    assert fixed_batch([two, four]) is None


def firsts(found: Samples) -> list[int]:
    """Which samples these are."""
    return [int(row[0]) // 3 for batch in found for row in batch["x"]]


@pytest.mark.parametrize(
    ("count", "batch", "kept"), [(1024, "N", 256), (600, "N", 128), (300, "2", 74), (2000, "1", 256)]
)
def test_a_quarter_and_no_more_than_256_are_kept(count: int, batch: str, kept: int) -> None:
    whole = samples(count, batch)
    tried, others = whole.apart()
    assert firsts(tried) == list(range(kept))
    assert firsts(others) == list(range(kept, count))
    assert tried.labels is not None
    assert others.labels is not None
    assert [*tried.labels, *others.labels] == firsts(whole)
    assert (tried.count, others.count) == (kept, count - kept)
    assert len(others) == len(list(others))


def test_few_are_not_divided() -> None:
    whole = samples(100)
    assert whole.apart() == (whole, whole)


@pytest.mark.parametrize(
    ("count", "batch", "limit", "kept"),
    [(600, "N", 256, 256), (100, "N", 256, 100), (600, "5", 256, 255), (96, "40", 8, 40)],
)
def test_the_first_come_in_whole_batches(count: int, batch: str, limit: int, kept: int) -> None:
    first = samples(count, batch).up_to(limit)
    assert firsts(first) == list(range(kept))
    assert first.count == kept
    assert first.labels is not None and list(first.labels) == list(range(kept))


def test_whoever_reads_samples_shows_the_batch() -> None:
    shown: list[tuple[str, int, int]] = []

    def show(what: str, done: int = 0, total: int = 0) -> None:
        shown.append((what, done, total))

    batches = iter(samples(130).shown(show, "find ranges"))
    assert shown == []
    next(batches)
    assert shown == [("find ranges", 0, 3)]
    assert [len(batch["x"]) for batch in batches] == [64, 2]
    assert shown == [("find ranges", 0, 3), ("find ranges", 1, 3), ("find ranges", 2, 3)]


@pytest.mark.parametrize(("count", "batch", "few"), [(600, "N", 64), (64, "N", 64), (50, "N", 64), (300, "4", 66)])
def test_the_samples_beside_a_few(count: int, batch: str, few: int) -> None:
    whole = samples(count, batch)
    taken, others = whole.spread(few), whole.beside(few)
    left = [] if others is None else firsts(others)
    assert sorted(firsts(taken) + left) == list(range(whole.count))
    assert (others is None) == (taken.count == whole.count)
