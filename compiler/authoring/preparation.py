"""Guess how the images of a folder are to be prepared for a model.

The model's input shows the size, the layout and the number of channels. Its first batch norm shows the scale and the
mean: it keeps the statistics that its input had in training, and the first convolutions are run on some images with
each of the common preparations to see which one comes nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vggc.authoring.guess import Guess
from vggc.data.images import ImageFolder, image_files
from vggc.data.preparation import Channels, Layout, Preparation, opened
from vggc.diagnostics import Code, fail
from vggc.diagnostics.number_text import counted
from vggc.graph import Graph
from vggc.graph.signature import ValueType, inputs_of, outputs_of
from vggc.pipeline.image_scale import Norm, first_norm, norm_values

_IMAGES = 16
"""The most images that the preparations are compared on."""

_SIZE = 224
"""The size for a model that takes any, when the images are not of one size."""

_LARGEST_OWN_SIZE = 1024
_PLACES = 300
"""The least number of places at which a detector looks."""

_ENOUGH = 512
"""As many images are enough to calibrate and to measure agreement."""

_CLEAR = 1.5
"""The nearest preparation counts as known when the next one is so many times as far from the training's statistics."""


@dataclass(frozen=True)
class _ImageInput:
    """The input of a model that takes images."""

    type: ValueType
    layout: Layout
    channels: Channels

    @property
    def planes(self) -> int:
        """The number of channels."""
        return 1 if self.channels == "gray" else 3


@dataclass(frozen=True)
class _Common:
    """A common preparation: its options, and what it is usual for."""

    words: str
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def options(self) -> dict[str, Any]:
        given = {"scale": self.scale, "mean": self.mean, "std": self.std}
        return {name: list(each) if isinstance(each, tuple) else each for name, each in given.items() if each}


_HALF = _Common("-1 to 1", mean=(0.5,), std=(0.5,))
_UNIT = _Common("0 to 1")
_PIXELS = _Common("pixels from 0 to 255", scale=1.0)
_IMAGENET = _Common("the statistics of ImageNet", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
_CAFFE = _Common("pixels less the mean of ImageNet", scale=1.0, mean=(123.675, 116.28, 103.53))
_MNIST = _Common("the statistics of MNIST", mean=(0.1307,), std=(0.3081,))


def guessed_images(graph: Graph, folder: Path) -> tuple[Guess, ...]:
    """The options of `images` for a folder, each with the reason for its value.

    Raises CompileError when the model does not take images, or the folder has none.
    """
    wanted = _image_input(graph)
    files = image_files(folder)
    guesses = [size := _size(wanted, files)]
    if wanted.layout == "nhwc":
        guesses.append(Guess("layout", "nhwc", f"the last axis of the input {wanted.type} has the channels"))
    if wanted.channels == "gray":
        guesses.append(Guess("channels", "gray", f"the input {wanted.type} has one channel"))
    guesses += _by_type(wanted) or _by_norm(graph, files, size, wanted) or _by_outputs(graph, wanted)
    if _finds_objects(graph):
        reason = "the output has the form of YOLO, which takes whole images on a gray ground"
        guesses.append(Guess("pad", 114, f"{reason}; compare with your training code", False))
    if labels := _labels(graph, folder, files):
        guesses.append(labels)
    if len(files) > _ENOUGH:
        every = len(files) // _ENOUGH
        reason = f"{_ENOUGH} images are enough; the folder has {len(files)}"
        if every > 1:
            guesses.append(Guess("every", every, f"one image of {every}, so that all parts of the folder are used"))
        guesses.append(Guess("limit", _ENOUGH, reason))
    return tuple(guesses)


def _image_input(graph: Graph) -> _ImageInput:
    inputs = inputs_of(graph)
    if len(inputs) != 1:
        listed = ", ".join(str(each) for each in inputs) or "none"
        help = "save arrays with the names of the inputs as a .npz file, or write a loader (docs/data.md)"
        raise fail(
            f"a folder of images fits a model with one input, but this one has: {listed}", help=help, code=Code.DATA_FIT
        )
    (wanted,) = inputs
    shape = wanted.shape
    if shape is not None and len(shape) == 4:
        layouts: tuple[tuple[Layout, int], ...] = (("nchw", 1), ("nhwc", 3))
        for layout, axis in layouts:
            if shape[axis] in (1, 3):
                return _ImageInput(wanted, layout, "gray" if shape[axis] == 1 else "rgb")
    raise fail(
        f"the model's input {wanted} does not look like images: four axes, with 1 or 3 channels",
        help="save samples as a .npz file with numpy.savez, or write a loader (docs/data.md)",
        code=Code.DATA_FIT,
    )


def _size(wanted: _ImageInput, files: Sequence[Path]) -> Guess:
    shape = wanted.type.shape
    assert shape is not None
    height, width = shape[2:] if wanted.layout == "nchw" else shape[1:3]
    if isinstance(height, int) and isinstance(width, int):
        value = height if height == width else [height, width]
        return Guess("size", value, f"the model's input is {wanted.type}")
    sizes = set()
    for path in files[:: max(1, len(files) // _IMAGES)]:
        with opened(path) as image:
            sizes.add(image.size)
    own = sizes.pop() if len(sizes) == 1 else None
    if own is not None and max(own) <= _LARGEST_OWN_SIZE:
        value = own[1] if own[0] == own[1] else [own[1], own[0]]
        return Guess("size", value, f"the model takes any size ({wanted.type}), and the images have this one")
    reason = f"the model takes any size ({wanted.type}), and the images differ: write the size of training here"
    return Guess("size", _SIZE, reason, certain=False)


def _by_type(wanted: _ImageInput) -> list[Guess]:
    if wanted.type.dtype.kind not in "iu":
        return []
    return [Guess("scale", 1.0, f"the model's input {wanted.type} takes whole pixels")]


def _by_norm(graph: Graph, files: Sequence[Path], size: Guess, wanted: _ImageInput) -> list[Guess]:
    """The common preparation whose values come nearest to those that the first batch norm saw in training."""
    norm = first_norm(graph)
    if norm is None:
        return []
    some = files[:: max(1, len(files) // _IMAGES)][:_IMAGES]
    candidates = [_IMAGENET, _CAFFE, _HALF, _UNIT, _PIXELS] if wanted.planes == 3 else [_MNIST, _HALF, _UNIT, _PIXELS]
    distances: dict[str, float] = {}
    for each in candidates:
        distance = _distance(graph, norm, some, _preparation(each, size, wanted))
        if distance is None:
            return []
        distances[each.words] = distance
    nearest, second = sorted(candidates, key=lambda each: distances[each.words])[:2]
    far = distances[second.words] / max(distances[nearest.words], 1e-9)
    certain = far >= _CLEAR
    reason = (
        f"{nearest.words}: with it, what {graph.label(norm.node)} reads is nearest to its statistics of training"
        f" ({second.words}: {far:.1f} times as far)" + ("" if certain else ": compare with your training code")
    )
    return _guesses(nearest, reason, certain)


def _distance(graph: Graph, norm: Norm, files: Sequence[Path], prepare: Preparation) -> float | None:
    """How far the values before a batch norm are from those of training, in the mean of the channels.

    None when the model does not run on them.
    """
    data = ImageFolder(files, None, prepare, "some images")
    found = norm_values(graph, norm, data.fit(inputs_of(graph)), len(data))
    if found is None:
        return None
    values = found.astype(np.float64)
    axes = (0, *range(2, values.ndim))
    mean, deviation = values.mean(axis=axes), values.std(axis=axes)
    shift = np.abs(mean - norm.mean) / np.maximum(norm.deviation, 1e-12)
    gain = np.abs(np.log(np.maximum(deviation, 1e-12) / np.maximum(norm.deviation, 1e-12)))
    return float((shift + gain)[norm.varying].mean())


def _preparation(common: _Common, size: Guess, wanted: _ImageInput) -> Preparation:
    crop = (size.value, size.value) if isinstance(size.value, int) else (size.value[0], size.value[1])
    mean, std = common.mean or (0.0,), common.std or (1.0,)
    return Preparation(
        resize=None,
        crop=crop,
        scale=1 / 255 if common.scale is None else common.scale,
        mean=mean if len(mean) == wanted.planes else mean * wanted.planes,
        std=std if len(std) == wanted.planes else std * wanted.planes,
        layout=wanted.layout,
        channels=wanted.channels,
        cover=True,
    )


def _by_outputs(graph: Graph, wanted: _ImageInput) -> list[Guess]:
    """A preparation for a model without a batch norm that could show it: by its kind."""
    shape = outputs_of(graph)[0].shape
    if wanted.planes == 3 and shape is not None and len(shape) == 2:
        reason = "nothing in the model shows it: most classifiers of photos take the statistics of ImageNet"
        return _guesses(_IMAGENET, f"{reason}; compare with your training code", False)
    return [Guess("scale", "1 / 255", "nothing in the model shows it: 0 to 1; compare with your training code", False)]


def _guesses(common: _Common, reason: str, certain: bool) -> list[Guess]:
    options = common.options() or {"scale": "1 / 255"}
    if {*options} == {"mean"}:
        options["std"] = 1.0
    return [
        Guess(
            name, value[0] if isinstance(value, list) and len(value) == 1 else value, reason if not at else "", certain
        )
        for at, (name, value) in enumerate(options.items())
    ]


def _finds_objects(graph: Graph) -> bool:
    """Whether the output is [samples, 4 + classes, places], as that of YOLO."""
    shape = outputs_of(graph)[0].shape
    if shape is None or len(shape) != 3:
        return False
    _, rows, places = shape
    return isinstance(rows, int) and isinstance(places, int) and 4 < rows < places and places >= _PLACES


def _labels(graph: Graph, folder: Path, files: Sequence[Path]) -> Guess | None:
    """`labels=folders` when every image is in a class folder, and the model has as many classes."""
    tops = {each.relative_to(folder).parts[0] for each in files if len(each.relative_to(folder).parts) > 1}
    everywhere = all(len(each.relative_to(folder).parts) > 1 for each in files)
    shape = outputs_of(graph)[0].shape
    if not everywhere or len(tops) < 2 or shape is None or len(shape) != 2 or shape[1] != len(tops):
        return None
    name = outputs_of(graph)[0].name
    return Guess("labels", "folders", f"{counted(len(tops), 'class folder')}, as many as output `{name}` has classes")
