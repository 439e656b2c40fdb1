"""The example model and its data are what examples/digits/README.md says they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

FOLDER = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load(FOLDER / "digits_vgg.onnx")


def arrays(name: str) -> dict[str, NDArray[np.generic]]:
    with np.load(FOLDER / name) as stored:
        return dict(stored)


def rows(images: NDArray[np.generic]) -> Counter[bytes]:
    """How often each image occurs."""
    return Counter(image.tobytes() for image in images)


def test_model_keeps_its_batch_norms(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert {each.domain: each.version for each in model.opset_import} == {"": 17}
    operators = Counter(node.op_type for node in model.graph.node)
    assert operators["BatchNormalization"] == operators["Conv"] == 6
    training = [
        attribute.i
        for node in model.graph.node
        if node.op_type == "BatchNormalization"
        for attribute in node.attribute
        if attribute.name == "training_mode"
    ]
    assert training == [0] * 6


def test_model_has_a_dynamic_batch(model: onnx.ModelProto) -> None:
    ((image,), (logits,)) = model.graph.input, model.graph.output
    for value, name, sizes in ((image, "image", [1, 8, 8]), (logits, "logits", [10])):
        batch, *rest = value.type.tensor_type.shape.dim
        assert value.name == name
        assert batch.dim_param == "batch"
        assert [each.dim_value for each in rest] == sizes
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_model_reads_the_held_out_digits() -> None:
    test = arrays("test.npz")
    session = onnxruntime.InferenceSession(FOLDER / "digits_vgg.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": test["image"]})
    # Other releases of onnxruntime round differently: one digit more or less is no matter.
    assert 358 <= (logits.argmax(axis=1) == test["y"]).sum() <= 360


def test_data_are_the_real_digits_split_in_two() -> None:
    calib, test = arrays("calib.npz"), arrays("test.npz")
    assert set(calib) == {"image"}, "calibration data carry no labels"
    assert set(test) == {"image", "y"}
    assert calib["image"].shape == (512, 1, 8, 8)
    assert test["image"].shape == (360, 1, 8, 8)
    assert calib["image"].dtype == test["image"].dtype == np.float32

    pixels, labels = load_digits(return_X_y=True)
    originals = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    # Counted as a multiset: were an image in both parts, the sum would hold it more often than the original does.
    assert rows(calib["image"]) + rows(test["image"]) <= rows(originals)
    label_of = {image.tobytes(): label for image, label in zip(originals, labels, strict=True)}
    assert [label_of[image.tobytes()] for image in test["image"]] == test["y"].tolist()
