"""What the page says of the numbers of a weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from vggc.graph import Graph
from vggc.graph.weights import StoredWeights
from vggc.report.weight_statistics import weight_statistics


def test_few_numbers_are_shown() -> None:
    found = weight_statistics(gs.Constant("axes", np.array([0, 2, 3])))
    assert found is not None
    assert (found.kind, found.numbers, found.summary) == ("int64 [3]", "[0, 2, 3]", ())


def test_many_numbers_are_summarized() -> None:
    found = weight_statistics(gs.Constant("w", np.array([[-1.0, 0.0, 0.0, 3.0]] * 5, np.float32)))
    assert found is not None
    assert found.summary == pytest.approx((-1.0, 3.0, 0.5, 1.5, 0.5))
    assert found.read == found.size == 20


def test_of_a_large_weight_a_part_is_read() -> None:
    found = weight_statistics(gs.Constant("w", np.ones(200_000, np.float16)))
    assert found is not None
    assert (found.read, found.size, found.summary[:3]) == (65_536, 200_000, (1.0, 1.0, 1.0))


def test_numbers_that_are_not_finite_have_no_summary() -> None:
    found = weight_statistics(gs.Constant("mask", np.full(9, -np.inf, np.float32)))
    assert found is not None
    assert found.summary == ()


def test_weights_stay_on_disk(net: object, tmp_path: Path) -> None:
    made = net()  # type: ignore[operator]
    made.graph(made.conv("x", 3, 4)).save(tmp_path / "net.onnx")
    weight = Graph.load(tmp_path / "net.onnx").nodes[0].inputs[1]
    assert weight_statistics(weight) is not None
    assert isinstance(weight._values, StoredWeights)
