"""Variations of images, which calibration reads beside the images."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import parser

from vggc.calibration.samples import Samples
from vggc.calibration.variations import SMALLEST, Variations
from vggc.data import ArrayDataset
from vggc.graph import Graph

RANDOM = np.random.default_rng(0)


def samples(count: int, size: int, batch: str = "N") -> Samples:
    shape = f"{batch},3,{size},{size}"
    text = f'<ir_version: 10, opset_import: ["": 17]> g (float[{shape}] x) => (float[{shape}] y) {{ y = Relu(x) }}'
    graph = Graph.from_model(parser.parse_model(text))
    return Samples(graph, ArrayDataset({"x": RANDOM.random((count, 3, size, size), np.float32)}, None, "calib"))


@pytest.mark.parametrize("shape", [(5, 3, 96, 96), (4, 1, 96, 128)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_every_image_differs_and_stays_within_the_numbers_there_are(shape: tuple[int, ...], dtype: type) -> None:
    images = RANDOM.standard_normal(shape).astype(dtype)
    found = Variations(1)(images)
    assert found.shape == shape and found.dtype == dtype
    assert all(not np.array_equal(one, other) for one, other in zip(found, images, strict=True))
    assert found.min() >= images.min() and found.max() <= images.max()


def test_they_depend_on_the_seed_and_not_on_the_sizes_of_batches() -> None:
    images = np.repeat(RANDOM.random((1, 3, 96, 96), np.float32), 6, axis=0)
    images[:, :, 0, 0] = (0, 1, 1)
    whole, pieces, others = Variations(1), Variations(1), Variations(2)
    once = whole(images)
    np.testing.assert_array_equal(once, np.concatenate([pieces(images[:2]), pieces(images[2:])]))
    assert not np.array_equal(once, others(images))


def test_they_stand_behind_each_batch() -> None:
    plain = samples(6, SMALLEST).in_batches_of(2)
    both = plain.varied(3)
    found = [batch["x"] for batch in both]
    assert len(both) == len(found) == 2 * len(plain)
    for at, batch in enumerate(plain):
        np.testing.assert_array_equal(found[2 * at], batch["x"])
        assert found[2 * at + 1].shape == batch["x"].shape
        assert not np.array_equal(found[2 * at + 1], batch["x"])


def test_small_images_are_not_varied() -> None:
    plain = samples(6, SMALLEST - 1)
    assert len(list(plain.varied(3))) == len(plain)
