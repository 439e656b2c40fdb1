"""Variations of images, so that what is solved on a few hundred of them holds for others.

Least squares learns what its samples have in common: a few backgrounds, an object in the middle, one light. It solves
for what the original model computes, so any input will do that the model could see, labelled or not. A variation is a
part of the image, enlarged, perhaps mirrored or turned; its colours are exchanged, paler or stronger; another image
covers a part of it or shines through (Cutmix, Yun et al. 2019; mixup, Zhang et al. 2018).
"""

from __future__ import annotations

import numpy as np

from vggc.graph.arrays import Array, Floats
from vggc.graph.signature import ValueType

SMALLEST = 96
"""Images of fewer pixels a side are left as they are: what is solved on them did not get better on any net measured."""

_REMEMBERED = 32
"""Images that another one may be mixed with: the last ones."""

_ZOOM = (0.35, 1.0)
_BLEND = (0.3, 0.7)
_CONTRAST = (0.6, 1.4)
_SATURATION = (0.0, 1.6)
_BRIGHTNESS = 0.4
_GAIN = (0.7, 1.3)

_SHIFT, _NUDGE = 16, 32
"""Images are shifted by up to one of so many parts of their sides, and or by one pixel when that is more."""


SMALLEST_MOVED = 8
"""Images of fewer pixels a side are not even shifted."""


def is_image(value: ValueType, shape: tuple[int, ...], smallest: int = SMALLEST) -> bool:
    """Whether samples of this input, (channels, height, width), are images of `smallest` pixels a side or more."""
    return value.dtype.kind == "f" and len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= smallest


def moved(images: Array, random: np.random.Generator) -> Array:
    """Images, (samples, channels, height, width), each shifted and half of them mirrored.

    What an image is shifted by, up to a sixteenth of its sides, its border fills.
    """
    result = np.array(images, np.float32)
    for image in result:
        if random.random() < 0.5:
            image[:] = image[:, :, ::-1].copy()
        image[:] = _shifted(image, random, _SHIFT)
    return result.astype(images.dtype)


def nudged(images: Array, random: np.random.Generator) -> Array:
    """Images, (samples, channels, height, width), each shifted by up to a thirty-second of its sides."""
    result = np.array(images, np.float32)
    for image in result:
        image[:] = _shifted(image, random, _NUDGE)
    return result.astype(images.dtype)


def mixtures(images: Array, random: np.random.Generator) -> Array:
    """Images, (samples, channels, height, width), each moved, and half of them mixed with another one of the batch.

    For a training: what is further from the samples than this, such as exchanged colours, made a pruned EfficientNet
    worse on pictures that were held back.
    """
    result = moved(images, random)
    others = result[random.permutation(len(result))]
    for image, other in zip(result, others, strict=True):
        if random.random() < 0.5:
            image[:] = _mixed(image.copy(), other, random)
    return result


def _shifted(image: Floats, random: np.random.Generator, part: int) -> Floats:
    sides = [max(1, size // part) for size in image.shape[1:]]
    wide = np.pad(image, ((0, 0), *((side, side) for side in sides)), mode="edge")
    top, left = (int(random.integers(2 * side + 1)) for side in sides)
    return wide[:, top : top + image.shape[1], left : left + image.shape[2]]


class Variations:
    """Variations of the images of batches that are given one after another, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0
        self._last: list[Floats] = []

    def __call__(self, images: Array) -> Array:
        """A variation of each image of the next batch, (samples, channels, height, width), of the same type."""
        result = np.array(images, np.float32)
        low, high = float(result.min()), float(result.max())
        for image in result:
            self._last = [*self._last[1 - _REMEMBERED :], image.copy()]
            self._count += 1
            random = np.random.default_rng((self._seed, self._count))
            other = self._last[int(random.integers(len(self._last)))]
            image[:] = np.clip(_varied(image, other, random), low, high)
        return result.astype(images.dtype)


def _varied(image: Floats, other: Floats, random: np.random.Generator) -> Floats:
    image = _enlarged(image, random)
    if random.random() < 0.5:
        image = image[:, :, ::-1]
    if image.shape[1] == image.shape[2]:
        image = np.rot90(image, int(random.integers(4)), (1, 2))
    image = _mixed(np.ascontiguousarray(image), other, random)
    return _recoloured(image[random.permutation(len(image))], random)


def _enlarged(image: Floats, random: np.random.Generator) -> Floats:
    """A part of the image in its former size, by linear interpolation."""
    share = random.uniform(*_ZOOM)
    for axis in (1, 2):
        size = image.shape[axis]
        part = max(2, round(share * size))
        places = random.integers(size - part + 1) + np.linspace(0, part - 1, size)
        below = np.minimum(places.astype(np.int64), size - 2)
        weight = (places - below).astype(np.float32).reshape((-1, 1) if axis == 1 else (1, -1))
        image = np.take(image, below, axis) * (1 - weight) + np.take(image, below + 1, axis) * weight
    return image


def _mixed(image: Floats, other: Floats, random: np.random.Generator) -> Floats:
    if random.random() < 0.5:
        share = np.float32(random.uniform(*_BLEND))
        return share * image + (1 - share) * other
    axis = int(random.integers(1, 3))
    edge = int(image.shape[axis] * random.uniform(*_BLEND))
    image = np.moveaxis(image, axis, 0).copy()
    image[edge:] = np.moveaxis(other, axis, 0)[edge:]
    return np.moveaxis(image, 0, axis)


def _recoloured(image: Floats, random: np.random.Generator) -> Floats:
    """Other contrast, brightness and saturation, in units of the image's own standard deviation."""
    centre, spread = image.mean(), image.std()
    image = centre + (image - centre) * random.uniform(*_CONTRAST)
    grey = image.mean(axis=0, keepdims=True)
    image = grey + (image - grey) * random.uniform(*_SATURATION)
    gains = random.uniform(*_GAIN, (len(image), 1, 1))
    shift = spread * random.uniform(-_BRIGHTNESS, _BRIGHTNESS)
    return np.asarray(centre + (image - centre) * gains + shift, np.float32)
