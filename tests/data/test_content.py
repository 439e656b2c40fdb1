"""Samples divided by what is in them."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.data import ArrayDataset
from vggc.data.content import apart_by_content
from vggc.data.selected import hold_back

SCENES = 16


def scenes(count: int, channels_last: bool = False) -> tuple[ArrayDataset, np.ndarray]:
    """Images of a few backgrounds, each with noise, in turn; and which background each has."""
    random = np.random.default_rng(0)
    backgrounds = random.random((SCENES, 3, 1, 1)) * np.linspace(1, 3, 96)
    which = np.arange(count) % SCENES
    images = (backgrounds[which] + 0.05 * random.random((count, 3, 96, 96))).astype(np.float32)
    return ArrayDataset({"x": np.moveaxis(images, 1, -1) if channels_last else images}, None, "calib"), which


@pytest.mark.parametrize("channels_last", [False, True])
def test_no_content_on_both_sides(channels_last: bool) -> None:
    data, which = scenes(240, channels_last)
    parts = apart_by_content(data, 60)
    assert parts is not None
    assert 40 <= len(parts.judge) <= 60
    assert not set(which[parts.judge]) & set(which[parts.learn])
    assert len(parts.judge) + len(parts.learn) <= 240


def test_samples_that_are_no_images() -> None:
    vectors = np.random.default_rng(0).random((200, 8), np.float32)
    assert apart_by_content(ArrayDataset({"x": vectors}, None, "calib"), 50) is None


def test_small_images_are_not_divided() -> None:
    small = np.random.default_rng(0).random((200, 3, 95, 200), np.float32)
    assert apart_by_content(ArrayDataset({"x": small}, None, "calib"), 50) is None


def test_too_few_images_and_images_that_are_all_alike() -> None:
    assert apart_by_content(scenes(40)[0], 10) is None
    alike = ArrayDataset({"x": np.ones((200, 3, 96, 96), np.float32)}, None, "calib")
    assert apart_by_content(alike, 50) is None


def test_images_are_held_back_with_their_content() -> None:
    data, which = scenes(240)
    parts = hold_back(data, 30)
    assert parts is not None
    learn, judge = (np.concatenate([batch["x"] for batch in part.parts()]) for part in parts)
    images = np.concatenate([batch["x"] for batch in data.parts()])
    numbers = {image.tobytes(): index for index, image in enumerate(images)}
    assert not {which[numbers[each.tobytes()]] for each in learn} & {which[numbers[each.tobytes()]] for each in judge}
