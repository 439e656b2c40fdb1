"""Data as the inputs of a model: what is accepted, what is converted, and each reason to refuse."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from vggc.data import ArrayDataset, Dataset, fit, need_samples
from vggc.data.loaders import random
from vggc.diagnostics import Code
from vggc.graph.signature import ValueType

Refused = Callable[[str], AbstractContextManager[None]]
F32 = np.dtype(np.float32)
IMAGE = ValueType("image", F32, ("N", 3, 4, 5))
X = np.random.default_rng(0).standard_normal((6, 3, 4, 5)).astype(np.float32)


def data(**arrays: Any) -> Dataset:
    dataset = ArrayDataset(arrays, None, "arrays")
    dataset.name = "calib"
    return dataset


def value(dataset: Dataset, name: str) -> np.ndarray[Any, Any]:
    return np.concatenate([each[name] for each in dataset.batches(4)])


def test_arrays_are_taken_by_name_and_others_left() -> None:
    fitted = fit(data(image=X, extra=X), [IMAGE])
    assert (fitted.inputs, len(fitted), fitted.name) == (("image",), 6, "calib")
    np.testing.assert_array_equal(value(fitted, "image"), X)


def test_one_array_fits_one_input_whatever_its_name() -> None:
    np.testing.assert_array_equal(value(fit(data(x=X), [IMAGE]), "image"), X)


def test_fitting_again_starts_from_the_data_itself() -> None:
    once = fit(data(x=X), [IMAGE])
    again = fit(once, [IMAGE._replace(name="other", dtype=np.dtype(np.float16))])
    np.testing.assert_array_equal(value(again, "other"), X.astype(np.float16))


@pytest.mark.parametrize("shape", [None, (1, 3, 4, 5), (8, 3, None, "W"), ("N", 3, 4, 5)])
def test_shapes_that_fit(shape: tuple[int | str | None, ...] | None) -> None:
    assert len(fit(data(image=X), [ValueType("image", F32, shape)])) == 6


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (np.float64, np.float32),
        (np.float32, np.float16),
        (np.float32, ml_dtypes.bfloat16),
        (np.float16, np.float32),
        (np.int64, np.int32),
        (np.uint8, np.int64),
        (np.float32, np.uint8),
        (np.dtype(">f4"), np.float32),
    ],
)
def test_types_that_are_converted(given: Any, wanted: Any) -> None:
    numbers = np.arange(24).reshape(6, 4).astype(given)
    found = value(fit(data(x=numbers), [ValueType("x", np.dtype(wanted), ("N", 4))]), "x")
    assert found.dtype == wanted
    np.testing.assert_array_equal(found.astype(np.float64), np.arange(24).reshape(6, 4))


def test_text() -> None:
    found = value(fit(data(x=np.array(["a", "bc"])), [ValueType("x", np.dtype(object), ("N",))]), "x")
    assert found.dtype == object and found.tolist() == ["a", "bc"]


def test_a_missing_name(refused: Refused) -> None:
    with refused(
        "error: data `calib` has no array for the model's input `image`\n"
        " = data: `imagse` float32 [samples, 3, 4, 5], `y` int64 [samples]\n"
        " = model: `image` float32 [N, 3, 4, 5]\n"
        'help: name the arrays like the inputs, or map the names: inputs={"image": "imagse"}'
    ):
        fit(data(imagse=X, y=np.arange(6)), [IMAGE])
    with refused(
        "error: data `calib` has no array for the model's input `mask`\n"
        " = data: `image` float32 [samples, 3, 4, 5]\n"
        " = model: `image` float32 [N, 3, 4, 5], `mask` bool [N]\n"
        'help: name the arrays like the inputs, or map the names: inputs={"mask": "image"}'
    ):
        fit(data(image=X), [IMAGE, ValueType("mask", np.dtype(bool), ("N",))])
    with refused("error: the model has no inputs, so no data fits it"):
        fit(data(image=X), [])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            X[:, 0],
            "3 dimensions for 4\n = data: `x` float32 [samples, 4, 5]\n = model: `image` float32 [N, 3, 4, 5]",
        ),
        (
            X[0],
            "3 dimensions for 4\n = data: `x` float32 [samples, 4, 5]\n = model: `image` float32 [N, 3, 4, 5]\n"
            "help: the first axis counts the samples: x[None] makes one sample of one array",
        ),
        (
            X[:, None],
            "5 dimensions for 4\n = data: `x` float32 [samples, 1, 3, 4, 5]\n = model: `image` float32 [N, 3, 4, 5]\n"
            "help: each sample is a batch of one: x[:, 0]",
        ),
        (
            X.transpose(0, 2, 3, 1),
            "4 along axis 1 for 3\n = data: `x` float32 [samples, 4, 5, 3]\n = model: `image` float32 [N, 3, 4, 5]\n"
            "help: the model takes channels first: numpy.transpose(x, (0, 3, 1, 2))",
        ),
        (
            X[:, :2],
            "2 along axis 1 for 3\n = data: `x` float32 [samples, 2, 4, 5]\n = model: `image` float32 [N, 3, 4, 5]",
        ),
        (
            X[:, 0, 0, 0],
            "1 dimension for 4\n = data: `x` float32 [samples]\n = model: `image` float32 [N, 3, 4, 5]",
        ),
    ],
)
def test_shapes_that_do_not_fit(refused: Refused, array: np.ndarray[Any, Any], message: str) -> None:
    with refused(f"error: array `x` of data `calib` does not fit the model's input `image`: {message}"):
        fit(data(x=array), [IMAGE])


def test_a_missing_axis_of_length_one(refused: Refused) -> None:
    with refused(
        "error: array `x` of data `calib` does not fit the model's input `image`: 3 dimensions for 4\n"
        " = data: `x` float32 [samples, 4, 5]\n = model: `image` float32 [N, 1, 4, 5]\n"
        "help: the axis of length 1 is missing: numpy.expand_dims(x, 1)"
    ):
        fit(data(x=X[:, 0]), [ValueType("image", F32, ("N", 1, 4, 5))])


def test_a_symbol_has_one_size(refused: Refused) -> None:
    sides = [ValueType("a", F32, ("N", "L")), ValueType("b", F32, ("N", "L"))]
    fit(data(a=np.zeros((2, 4), F32), b=np.zeros((2, 4), F32)), sides)
    with refused(
        "error: array `b` of data `calib` does not fit the model's input `b`: `L` is 4 in another input and 5 here\n"
        " = data: `b` float32 [samples, 5]\n = model: `b` float32 [N, L]"
    ):
        fit(data(a=np.zeros((2, 4), F32), b=np.zeros((2, 5), F32)), sides)


def test_an_input_without_a_batch(refused: Refused) -> None:
    with refused(
        "error: the model's input `scale` is a single number, but data gives one value for each sample\n"
        " = data: `x` float32 [samples]\n = model: `scale` float32 []"
    ):
        fit(data(x=np.zeros(3, F32)), [ValueType("scale", F32, ())])


def test_types_that_do_not_fit(refused: Refused) -> None:
    with refused(
        "error: array `x` of data `calib` is uint8, but the model's input `image` is float32\n"
        "help: scale it as in training and save it as float32; x.astype(numpy.float32) alone is right only for a "
        "model that takes the numbers as they are"
    ):
        fit(data(x=X.astype(np.uint8)), [IMAGE])
    with refused(
        "error: array `x` of data `calib` is string, but the model's input `image` is float32\nhelp: save it as float32"
    ):
        fit(data(x=np.full((2, 3, 4, 5), "a")), [IMAGE])
    with refused(
        "error: array `x` of data `calib` is complex64, but the model's input `image` is float32\n"
        "help: save it as float32"
    ):
        fit(data(x=X.astype(np.complex64)), [IMAGE])


@pytest.mark.parametrize(
    ("number", "dtype", "message"),
    [
        (1.5, np.int64, "1.5 in sample 4 does not fit int64"),
        (300.0, np.uint8, "300.0 in sample 4 does not fit uint8"),
        (-1.0, np.uint8, "-1.0 in sample 4 does not fit uint8"),
        (70000.0, np.float16, "70000.0 in sample 4 does not fit float16"),
    ],
)
def test_numbers_that_do_not_fit(refused: Refused, number: float, dtype: Any, message: str) -> None:
    numbers = np.ones((6, 2))
    numbers[4, 1] = number
    with refused(f"error: array `x` of data `calib`: {message}"):
        fit(data(x=numbers), [ValueType("x", np.dtype(dtype), ("N", 2))])


@pytest.mark.parametrize(("given", "wanted"), [(np.int64, np.uint64), (np.uint64, np.int64)])
def test_integers_that_would_change_their_sign(refused: Refused, given: Any, wanted: Any) -> None:
    numbers = np.array([[1], [np.iinfo(given).max if given is np.uint64 else -5]], given)
    with refused(
        f"error: array `x` of data `calib`: {numbers[1, 0]} in sample 1 does not fit {np.dtype(wanted)}",
        Code.NOT_FINITE_DATA,
    ):
        fit(data(x=numbers), [ValueType("x", np.dtype(wanted), ("N", 1))])


@pytest.mark.parametrize(("number", "name"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_nan_and_infinity(refused: Refused, number: float, name: str) -> None:
    bad = X.copy()
    bad[5, 2, 3, 4] = number
    with refused(
        f"error: array `x` of data `calib` has {name} in sample 5\nhelp: remove that sample, or repair what wrote it"
    ):
        fit(data(x=bad), [IMAGE])


def test_the_number_of_a_bad_sample_counts_from_the_first(monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
    monkeypatch.setattr("vggc.data.dataset.CHUNK_BYTES", 1)
    test_nan_and_infinity(refused, np.nan, "NaN")


def test_random_data_takes_the_shapes_of_the_model(refused: Refused) -> None:
    source = random.load("noise", None, count=5, seed=3)  # type: ignore[arg-type]
    one, again = fit(source, [IMAGE]), fit(source, [IMAGE])
    assert one.arrays["image"].shape == (3, 4, 5) and len(one) == 5
    np.testing.assert_array_equal(value(one, "image"), np.concatenate([b["image"] for b in again.batches(1)]))
    assert source.sha256 != random.load("noise", None, count=5, seed=4).sha256  # type: ignore[arg-type]
    assert one.sha256 == again.sha256 != fit(random.load("noise", None, count=5, seed=4), [IMAGE]).sha256  # type: ignore[arg-type]
    with refused(
        "error: random data needs to know the size of the model's input `image` float32 [N, 3, H, W]\n"
        'help: give the shape of one sample: random(shapes={"image": [3, 224, 224]})'
    ):
        fit(source, [ValueType("image", F32, ("N", 3, "H", "W"))])
    shaped = random.load("noise", None, shapes={"image": [3, 8, 9]})  # type: ignore[arg-type]
    assert fit(shaped, [ValueType("image", F32, ("N", 3, "H", "W"))]).arrays["image"].shape == (3, 8, 9)
    with refused(
        "error: data `noise` gives samples of shape [3, 8, 9] for the model's input `image` float32 [N, 3, 4, 5]"
    ):
        fit(shaped, [IMAGE])
    with refused("error: data `noise` gives a shape for `image`, but the model has no such input", Code.RANDOM_DATA):
        fit(shaped, [IMAGE._replace(name="x")])
    with refused("error: data `noise` is random: it has samples for the inputs of a model only"):
        list(source.batches(2))


def test_too_few_samples(refused: Refused) -> None:
    need_samples(data(x=X), 6, "calibration")
    with refused("error: calibration needs at least 7 samples, but data `calib` has 6", Code.TOO_FEW_SAMPLES):
        need_samples(data(x=X), 7, "calibration")
