"""Loaders of the user's own: functions that return arrays, or yield them batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vggc.data import ArrayDataset, Dataset, fit, loader
from vggc.diagnostics import Code, CompileError, render
from vggc.graph.signature import ValueType

Refused = Callable[[str], AbstractContextManager[None]]
X = np.arange(12, dtype=np.float32).reshape(6, 2)
WANTED = [ValueType("x", np.dtype(np.float32), ("N", 2))]


@loader
def whole(folder: Path, count: int = 6) -> dict[str, Any]:
    """The first rows."""
    assert folder == Path("here")
    return {"x": X[:count], "labels": list(range(count))}


@loader
def streamed(folder: Path, rows: int = 4) -> Iterator[dict[str, Any]]:
    for at in range(0, 6, rows):
        yield {"x": X[at : at + rows], "labels": np.arange(6)[at : at + rows]}


@loader
def ready(folder: Path) -> Dataset:
    return ArrayDataset({"x": X}, None, "mine")


def read(dataset: Dataset) -> np.ndarray[Any, Any]:
    return np.concatenate([each["x"] for each in dataset.batches(5)])


def test_a_dict_of_arrays() -> None:
    dataset = whole.load("calib", Path("here"), count=4)
    assert (whole.name, whole.doc) == ("whole", "The first rows.")
    assert (dataset.name, dataset.description, len(dataset)) == ("calib", "whole(count)", 4)
    assert dataset.labels is not None and dataset.labels.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(read(dataset), X[:4])


@pytest.mark.parametrize("rows", [1, 4, 6])
def test_batches_that_are_yielded(rows: int) -> None:
    dataset = streamed.load("calib", Path("here"), rows=rows)
    assert (len(dataset), dataset.inputs) == (6, ("x",))
    assert dataset.labels is not None and dataset.labels.tolist() == [0, 1, 2, 3, 4, 5]
    for _ in range(2):
        np.testing.assert_array_equal(read(dataset), X)
    np.testing.assert_array_equal(read(fit(dataset, WANTED)), X)
    assert dataset.sha256 == streamed.load("other", Path("here"), rows=2).sha256


def test_a_data_set() -> None:
    dataset = ready.load("calib", Path("here"))
    assert (dataset.name, dataset.description) == ("calib", "mine")


def test_an_exception_in_a_loader() -> None:
    @loader
    def wrong(folder: Path) -> dict[str, Any]:
        return {"x": X[folder.no]}  # type: ignore[attr-defined]

    @loader
    def late(folder: Path) -> Iterator[dict[str, Any]]:
        yield {"x": X}
        raise OSError("the disk is gone")

    for each, message in (
        (wrong, "AttributeError: 'PosixPath' object has no attribute 'no'"),
        (late, "OSError: the disk is gone"),
    ):
        with pytest.raises(CompileError) as caught:
            each.load("calib", Path("here"))
        first, second = render(caught.value.diagnostics[0]).splitlines()
        assert caught.value.diagnostics[0].code is Code.LOADER
        assert first == f"error: loader `{each.name}` raised {message}"
        path, line = second.removeprefix(" = at: ").split(":")
        assert path == __file__ and line.isdigit()


def give(value: Any) -> Dataset:
    @loader
    def mine(folder: Path) -> Any:
        return value

    return mine.load("calib", Path("here"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            X,
            "loader `mine` returned ndarray\nhelp: return a dict of arrays with samples along their first axis, "
            "or yield such dicts batch by batch",
        ),
        ({}, "loader `mine` has no arrays of samples"),
        ({"x": X[:0]}, "loader `mine` has no samples"),
        ({0: X}, "loader `mine` returned a dict with a key that is not a name: 0"),
        ({"x": 3.0}, "array `x` of loader `mine` is a single number, not an array of samples"),
        ({"x": [None]}, "array `x` of loader `mine` is Python objects, not an array of samples"),
        ({"x": X, "z": X[:2]}, "the arrays of loader `mine` have different lengths: `x` 6, `z` 2"),
        ({"x": X, "labels": [1]}, "array `labels` of loader `mine` has 1 labels for 6 samples"),
        (
            {"x": [[1], [1, 2]]},
            "`x` of loader `mine` is not an array: setting an array element with a sequence. The requested array "
            "has an inhomogeneous shape after 1 dimensions. The detected shape was (2,) + inhomogeneous part.",
        ),
    ],
)
def test_what_a_loader_may_not_return(refused: Refused, value: Any, message: str) -> None:
    with refused(f"error: {message}"):
        give(value)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "loader `mine` yielded no samples"),
        ([X], "loader `mine` yielded ndarray\nhelp: yield a dict of arrays"),
        ([{"x": X}, {"z": X}], "loader `mine`, batch 1 differs from batch 0: array `x` is in one of them only"),
        (
            [{"x": X}, {"x": X[:, :1]}],
            "loader `mine`, batch 1 differs from batch 0: `x` was float32 [samples, 2] and is float32 [samples, 1]",
        ),
        ([{"x": X, "labels": range(6)}, {"x": X}], "loader `mine` yields labels with some batches only"),
    ],
)
def test_what_a_loader_may_not_yield(refused: Refused, batches: list[Any], message: str) -> None:
    with refused(f"error: {message}"):
        give(iter(batches))


def test_a_loader_that_yields_less_the_second_time(refused: Refused) -> None:
    runs = []

    @loader
    def tired(folder: Path) -> Iterator[dict[str, Any]]:
        runs.append(1)
        yield {"x": X[: 6 // len(runs)]}

    dataset = tired.load("calib", Path("here"))
    with refused(
        "error: loader `tired` yielded 6 samples at first, but 3 now\n"
        "help: it is run several times, and has to yield the same samples each time"
    ):
        list(dataset.batches(4))


def test_nan_in_batches_that_are_yielded(refused: Refused) -> None:
    @loader
    def bad(folder: Path) -> Iterator[dict[str, Any]]:
        yield {"x": X}
        yield {"x": X * np.nan}

    dataset = fit(bad.load("calib", Path("here")), WANTED)
    with refused(
        "error: array `x` of data `calib` has NaN in sample 6\nhelp: remove that sample, or repair what wrote it"
    ):
        list(dataset.batches(4))
