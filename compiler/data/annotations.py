"""Annotations of the images of a folder: boxes of objects, and masks with a class for each pixel.

Boxes come from a COCO file (`instances_val2017.json`) or a folder of YOLO text files, masks from a folder of images
with the names of the images. They reach measures as the arrays `boxes` and `masks`, in pixels of the prepared images.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vggc.cache.keys import digest, file_hash
from vggc.data.dataset import SampleType
from vggc.data.preparation import Preparation, opened
from vggc.diagnostics import Code, fail
from vggc.diagnostics.number_text import counted
from vggc.graph.arrays import Array, Float64

BOXES, MASKS = "boxes", "masks"

NOTHING = -1
"""The class of the rows that fill up the boxes of an image."""

_COLUMNS = 6
"""left, top, right, bottom, class, crowd."""


class Annotation(ABC):
    """An array beside the images: one entry for each file."""

    type: SampleType

    @abstractmethod
    def of(self, number: int, path: Path) -> Array:
        """The entry of the image `path`, the `number`-th of the files, without the axis of samples."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """A hash over what was read."""


class Boxes(Annotation):
    """The boxes of each image, (most, 6) in float32: left, top, right, bottom, class, and 1 for a crowd.

    Rows beyond the boxes of an image have the class NOTHING.
    """

    def __init__(self, boxes: Sequence[Float64], prepare: Preparation, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._boxes = boxes
        self._prepare = prepare
        self.type = SampleType(np.dtype(np.float32), (max(1, *map(len, boxes)), _COLUMNS))

    def of(self, number: int, path: Path) -> Array:
        given = self._boxes[number]
        rows = np.full(self.type.shape, NOTHING, np.float32)
        if len(given):
            moved = self._prepare.geometry(path).boxes(given[:, :4])
            inside = (moved[:, 2] > moved[:, 0]) & (moved[:, 3] > moved[:, 1])
            kept = np.concatenate([moved, given[:, 4:]], axis=1)[inside]
            rows[: len(kept)] = kept
        return rows

    @property
    def sha256(self) -> str:
        return digest(*(each.tolist() for each in self._boxes))


class Masks(Annotation):
    """A class number for each pixel of each image, (height, width) in uint8; 255 where nothing is known."""

    def __init__(self, masks: Sequence[Path], first: Path, prepare: Preparation) -> None:
        self._masks = masks
        self._prepare = prepare
        self.type = SampleType(np.dtype(np.uint8), self.of(0, first).shape)

    def of(self, number: int, path: Path) -> Array:
        return self._prepare.mask(self._masks[number], self._prepare.geometry(path))

    @property
    def sha256(self) -> str:
        return digest(*map(file_hash, self._masks))


def read_boxes(source: Path, folder: Path, files: Sequence[Path], prepare: Preparation) -> Boxes:
    """The boxes of images from a COCO file, or from a folder with a YOLO text file for each image.

    `files` are images below `folder`. Raises CompileError when the source cannot be read or belongs to other images.
    """
    if source.is_dir():
        return Boxes([_yolo(source, each.relative_to(folder), each) for each in files], prepare, ())
    return _coco(source, folder, files, prepare)


def mask_files(source: Path, folder: Path, files: Sequence[Path]) -> list[Path]:
    """The mask of each image: the file with its path and name in another folder, in any format without losses.

    Raises CompileError for an image without a mask.
    """
    masks = []
    for each in files:
        stem = (source / each.relative_to(folder)).with_suffix("")
        found = next(
            (path for end in (".png", ".bmp", ".tif", ".tiff") if (path := stem.with_suffix(end)).is_file()), None
        )
        if found is None:
            help = f"masks have the names of the images: `{stem.name}.png`, with a class number for each pixel"
            raise fail(f"the image `{each}` has no mask in `{source}`", help=help, code=Code.ANNOTATIONS)
        masks.append(found)
    return masks


def _yolo(source: Path, name: Path, image: Path) -> Float64:
    """The boxes of a text file with lines `class x y width height`, in shares of the image; no file means no boxes."""
    path = (source / name).with_suffix(".txt")
    if not path.is_file():
        return np.zeros((0, _COLUMNS))
    with opened(image) as picture:
        width, height = picture.size
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            cells = [float(each) for each in line.split()]
        except ValueError:
            cells = []
        if line.strip() and len(cells) != 5:
            help = "each line has five numbers: class, and the middle and size of the box in shares of the image"
            raise fail(
                f"line {number} of `{path}` is not a box: `{line.strip()[:60]}`", help=help, code=Code.ANNOTATIONS
            )
        if cells:
            label, x, y, w, h = cells
            if max(x, y, w, h) > 1.001 or min(x, y, w, h) < 0 or label != int(label) or label < 0:
                help = "YOLO boxes are shares of the image, from 0 to 1, and classes are numbered from 0"
                raise fail(
                    f"line {number} of `{path}` has a box outside of the image: `{line.strip()[:60]}`",
                    help=help,
                    code=Code.ANNOTATIONS,
                )
            sides = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
            rows.append([*sides, label, 0.0])
    return np.array(rows, np.float64).reshape(-1, _COLUMNS)


def _coco(source: Path, folder: Path, files: Sequence[Path], prepare: Preparation) -> Boxes:
    try:
        content = json.loads(source.read_bytes())
        images = {each["id"]: str(each["file_name"]) for each in content["images"]}
        categories = sorted(content["categories"], key=lambda each: each["id"])
        numbers = {each["id"]: number for number, each in enumerate(categories)}
        by_name: dict[str, list[list[float]]] = {name: [] for name in images.values()}
        for each in content["annotations"]:
            x, y, width, height = map(float, each["bbox"])
            row = [x, y, x + width, y + height, numbers[each["category_id"]], float(each.get("iscrowd", 0))]
            by_name[images[each["image_id"]]].append(row)
    except (ValueError, KeyError, TypeError) as error:
        what = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else str(error)
        help = "a COCO file has the lists `images`, `annotations` and `categories`"
        raise fail(f"`{source}` is not a COCO file: {what}", help=help, code=Code.ANNOTATIONS) from None
    return Boxes([_of_image(by_name, each, folder, source) for each in files], prepare, _names(categories))


def _names(categories: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(each.get("name", each["id"])) for each in categories]


def _of_image(by_name: Mapping[str, Any], path: Path, folder: Path, source: Path) -> Float64:
    name = path.relative_to(folder).as_posix()
    rows = by_name.get(name, by_name.get(path.name))
    if rows is None:
        known = next(iter(by_name), "")
        help = f"the names must be the same; the file has {counted(len(by_name), 'image')}, such as `{known}`"
        raise fail(f"`{source}` does not have the image `{name}`", help=help, code=Code.ANNOTATIONS)
    return np.array(rows, np.float64).reshape(-1, _COLUMNS)


def pieces(annotation: Annotation, files: Sequence[Path]) -> Iterator[Array]:
    """The entries of all files, (1, ...) each."""
    for number, path in enumerate(files):
        yield annotation.of(number, path)[None]
