"""The warning for images of a wrong scale: what it needs to know, and when it says nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image

from vggc.data import Dataset
from vggc.data.loaders import images
from vggc.graph import Graph
from vggc.pipeline.image_scale import scale_warning

NET = """<ir_version: 8, opset_import: ["" : 17]>
net (float[N,3,8,8] image) => (float[N,4,8,8] y)
    <float[4,3,1,1] w = {W}, float[4] one = {1, 1, 1, 1}, float[4] mean = {M}, float[4] var = {V}> {
    c = Conv(image, w)
    y = BatchNormalization<training_mode = T>(c, one, one, mean, var)
}"""


def net(variance: tuple[float, ...] = (3, 3, 3, 3), mean: float = 0.0, training: int = 0) -> Graph:
    """A convolution that sums the channels, and a batch norm that expects this variance of each result."""
    text = NET.replace("{W}", f"{{{', '.join(['1'] * 12)}}}").replace("{M}", f"{{{', '.join([str(mean)] * 4)}}}")
    text = text.replace("{V}", f"{{{', '.join(map(str, variance))}}}").replace("= T>", f"= {training}>")
    graph = Graph.from_model(onnx.parser.parse_model(text))
    graph.infer_shapes()
    return graph


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Dataset]:
    """Makes images with pixels of a standard deviation, and the data set of them with options."""

    def make(deviation: float = 60.0, count: int = 8, **options: Any) -> Dataset:
        random = np.random.default_rng(0)
        for index in range(count):
            pixels = np.clip(random.normal(128, deviation, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        return images.load("photos", tmp_path, folder=".", **options)

    return make


@pytest.mark.parametrize(
    ("options", "times", "common"),
    [
        ({"scale": 1.0}, "vary 57 times as much", "images(..., mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])"),
        ({"scale": 1 / 65025}, "vary only 0.00088 times as much", "images(..., mean=[0.485, 0.456, 0.406], "),
    ],
)
def test_a_wrong_scale(folder: Callable[..., Dataset], options: dict[str, Any], times: str, common: str) -> None:
    warning = scale_warning(net(), folder(**options))
    assert warning is not None and warning.severity == "warning"
    assert times in warning.facts[0][1]
    assert common in warning.help


@pytest.mark.parametrize(
    ("model", "data"),
    [
        ({}, {"mean": 0.5, "std": 0.23}),
        ({}, {"mean": 0.5, "std": 0.5}),
        ({}, {}),
        ({}, {"scale": 1.0, "std": 60.0}),
        ({}, {"scale": 1.0, "mean": 128.0, "std": 128.0, "count": 1}),
        # An untrained batch norm, one that computes its statistics, and one whose channels do not agree.
        ({"variance": (1, 1, 1, 1)}, {"scale": 1.0}),
        ({"training": 1}, {"scale": 1.0}),
        ({"variance": (3, 3, 9000, 9000)}, {"scale": 1.0}),
        # Images that are nearly of one colour.
        ({}, {"deviation": 4.0, "scale": 1 / 65025}),
    ],
)
def test_what_gives_no_warning(folder: Callable[..., Dataset], model: dict[str, Any], data: dict[str, Any]) -> None:
    assert scale_warning(net(**model), folder(**data)) is None
