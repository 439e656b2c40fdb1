"""Folders of images, decoded batch by batch."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from vggc.cache.keys import file_hash
from vggc.data.annotations import Annotation, pieces
from vggc.data.dataset import Batch, Dataset, SampleType
from vggc.data.preparation import Preparation, opened
from vggc.data.stored import readable
from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.diagnostics.number_text import counted
from vggc.graph.arrays import Array, Int64
from vggc.graph.signature import ValueType

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
Annotate = Callable[[Sequence[Path]], Mapping[str, Annotation]]
"""Reads the arrays beside the images, for the files that are left."""

_SHOWN = 20
"""The most bad images that are listed."""


def _read_header(path: Path) -> None:
    with opened(path):
        pass


def _problem(read: Callable[[Path], object], path: Path) -> Diagnostic | None:
    """What is wrong with an image, or None."""
    try:
        read(path)
    except CompileError as error:
        return error.diagnostics[0]
    return None


def _all_problems(read: Callable[[Path], object], files: Sequence[Path]) -> list[Diagnostic]:
    return _listed([problem for each in files if (problem := _problem(read, each))])


def _listed(problems: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The messages about bad images, at most `_SHOWN` of them. Those of several end with how to leave them out."""
    if len(problems) == 1:
        return list(problems)
    left = len(problems) - _SHOWN
    message = f"{counted(len(problems), 'image')} cannot be used" + (f"; {left} more are not shown" if left > 0 else "")
    last = Diagnostic(
        message, help="repair or remove them, or leave them out: images(..., skip_bad=true)", code=Code.IMAGES
    )
    return [*(replace(each, help="") for each in problems[:_SHOWN]), last]


class ImageFolder(Dataset):
    """Images of one size. Headers are read at once, pixels batch by batch.

    skipped  why images were left out, one message each
    paths    the images
    """

    def __init__(
        self,
        files: Sequence[Path],
        labels: Int64 | None,
        prepare: Preparation,
        description: str,
        *,
        classes: Sequence[str] = (),
        skip_bad: bool = False,
        annotate: Annotate = lambda files: {},
    ) -> None:
        self.name = "data"
        self.preparation = prepare
        # A file that can be opened may still be cut short, which only decoding shows.
        read = prepare.apply if skip_bad else _read_header
        problems = {path: problem for path in files if (problem := _problem(read, path))}
        if problems and (not skip_bad or len(problems) == len(files)):
            raise CompileError(*_all_problems(prepare.apply, files))
        self.skipped = tuple(each.message for each in problems.values())
        self.paths = tuple(path for path in files if path not in problems)
        good = np.array([path not in problems for path in files])
        self.labels = labels if labels is None else labels[good]
        self.classes = tuple(classes)
        self.description = f"{description}, {len(problems)} bad ones left out" if problems else description
        try:
            self._shape = prepare.apply(self.paths[0]).shape
        except CompileError:
            raise CompileError(*_all_problems(prepare.apply, self.paths)) from None
        self.arrays = {"images": SampleType(np.dtype(np.float32), self._shape)}
        self._annotations = annotate(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def checked_on_reading(self) -> bool:
        return True

    @property
    def repeatable(self) -> bool:
        return True

    def parts(self) -> Iterator[Batch]:
        for number, path in enumerate(self.paths):
            try:
                image = self._image(path)
            except CompileError:
                # The user learns of all bad files at once.
                raise CompileError(*_all_problems(self._image, self.paths[number:])) from None
            yield {"images": image[None]}

    @property
    def extras(self) -> Mapping[str, SampleType]:
        return {name: each.type for name, each in self._annotations.items()}

    def extra(self, name: str) -> Iterator[Array]:
        if name not in self._annotations:
            help = 'images(..., boxes="instances.json") reads boxes, and masks="FOLDER" masks'
            raise fail(f"data `{self.name}` has no {name}", help=help, code=Code.NEEDS_ARRAY)
        yield from pieces(self._annotations[name], self.paths)

    def advice(self, wanted: ValueType) -> str:
        shape = wanted.shape
        if shape is None or len(shape) != 4 or not {shape[1], shape[3]} & {1, 3}:
            return ""
        first = shape[1] in (1, 3)
        planes, size = (shape[1], list(shape[2:])) if first else (shape[3], list(shape[1:3]))
        given = self._shape[1:] if self.preparation.layout == "nchw" else self._shape[:2]
        options = []
        if (self.preparation.layout == "nchw") != first:
            options.append(f"layout={'nchw' if first else 'nhwc'}")
        if (self.preparation.channels == "gray") != (planes == 1):
            options.append(f"channels={'gray' if planes == 1 else 'rgb'}")
        if any(isinstance(want, int) and got != want for got, want in zip(given, size, strict=True)):
            options.append(f"size={size[0]}" if size[0] == size[1] else f"size={size}")
        return f"prepare the images for this input: images(..., {', '.join(options)})" if options else ""

    def annotation(self, name: str, number: int) -> Array:
        """What an array beside the images has for one of them, without the axis of samples."""
        return self._annotations[name].of(number, self.paths[number])

    def _image(self, path: Path) -> Array:
        image = self.preparation.apply(path)
        if image.shape != self._shape:
            raise fail(
                f"the image `{path}` gives {list(image.shape)} and `{self.paths[0]}` {list(self._shape)}",
                help="bring them to one size: images(..., size=224)",
                code=Code.IMAGES,
            )
        return image

    @property
    def files(self) -> Mapping[str, str]:
        folder = Path(os.path.commonpath([each.parent for each in self.paths]))
        return {path.relative_to(folder).as_posix(): text for path, text in zip(self.paths, self._hashes, strict=True)}

    @cached_property
    def _hashes(self) -> list[str]:
        """The SHA-256 of each file, in hexadecimal."""
        return [file_hash(path) for path in self.paths]

    @cached_property
    def sha256(self) -> str:
        """A hash over the files and their preparation; rounding in the decoder is not part of it."""
        # "upright" since images are turned as their EXIF data says.
        digest = hashlib.sha256(f"upright {self.preparation!r}".encode())
        for each in self._hashes:
            digest.update(bytes.fromhex(each))
        if self.labels is not None:
            digest.update(b"labels" + self.labels.astype("<i8").tobytes())
        for name, annotation in self._annotations.items():
            digest.update(f"{name} {annotation.sha256}".encode())
        return digest.hexdigest()


def image_files(folder: Path) -> list[Path]:
    """All images below a folder, sorted by path.

    Raises CompileError when there is no such folder, no image in it, or a link in it leads outside.
    """
    if not folder.exists():
        raise fail(f"there is no folder `{folder}`", help="paths are relative to the recipe", code=Code.IMAGE_FOLDER)
    if not folder.is_dir():
        raise fail(f"`{folder}` is a file, not a folder", code=Code.IMAGE_FOLDER)
    files = [
        each
        for each in folder.rglob("*")
        if each.suffix.lower() in SUFFIXES and not any(p.startswith(".") for p in each.relative_to(folder).parts)
    ]
    if not files:
        raise fail(
            f"the folder `{folder}` has no images",
            help=f"images end in {', '.join(sorted(SUFFIXES))}",
            code=Code.IMAGE_FOLDER,
        )
    for each in files:
        _check_inside(each, folder)
    return sorted(files, key=lambda each: each.relative_to(folder).as_posix())


def by_folder(folder: Path, files: Sequence[Path]) -> tuple[Int64, list[str]]:
    """The class of each image, (files,), and the names of the classes: the top folders in sorted order.

    This is how `torchvision.datasets.ImageFolder` numbers them. Raises CompileError for an image outside of all class
    folders, and for a class folder without images: its number would be missing in one place and not in the other.
    """
    tops = [each.relative_to(folder).parts for each in files]
    for path, parts in zip(files, tops, strict=True):
        if len(parts) < 2:
            raise fail(
                f"the image `{path}` is in no class folder",
                help=f"put it into a folder for its class below `{folder}`, or leave out `labels=folders`",
                code=Code.IMAGE_FOLDER,
            )
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    filled = {parts[0] for parts in tops}
    if empty := [name for name in names if name not in filled]:
        listed = ", ".join(f"`{name}`" for name in empty[:10])
        raise fail(
            f"{counted(len(empty), 'class folder')} of `{folder}` {'has' if len(empty) == 1 else 'have'} no images: "
            + listed,
            help="classes are numbered by their folders, so each folder needs an image; remove folders of no class",
            code=Code.IMAGE_FOLDER,
        )
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[parts[0]] for parts in tops], np.int64), names


def by_table(folder: Path, table: Path) -> tuple[list[Path], Int64]:
    """Files and their classes, (files,), from a CSV table: in each row a file, relative to the folder, and a number."""
    readable(table)
    files: list[Path] = []
    labels: list[int] = []
    try:
        with table.open(newline="", encoding="utf-8-sig") as text:
            rows = [(number, row) for number, row in enumerate(csv.reader(text), 1) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise fail(
            f"cannot read the labels in `{table}`: {error}", help="save it as UTF-8 text", code=Code.IMAGE_FOLDER
        ) from None
    for position, (number, row) in enumerate(rows):
        if len(row) != 2:
            raise fail(
                f"line {number} of `{table}` has {len(row)} columns instead of 2: file, class number",
                code=Code.IMAGE_FOLDER,
            )
        if position == 0 and not row[1].strip().lstrip("-").isdigit():
            continue
        labels.append(_class_number(row[1], table, number))
        files.append(folder / row[0].strip())
        _check_inside(files[-1], folder)
        if not files[-1].is_file():
            raise fail(f"line {number} of `{table}`: there is no image `{files[-1]}`", code=Code.IMAGE_FOLDER)
    if not files:
        raise fail(f"`{table}` names no images", code=Code.IMAGE_FOLDER)
    return files, np.array(labels, np.int64)


def _check_inside(path: Path, folder: Path) -> None:
    """Raise CompileError for a path that leaves its folder, by a link or by its own text.

    Data of others must not be able to read any file of the machine.
    """
    # realpath also takes links that lead to each other.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise fail(
            f"the image `{path}` is outside the folder `{folder}`",
            help="copy the image into the folder",
            code=Code.IMAGE_FOLDER,
        )


def _class_number(text: str, table: Path, number: int) -> int:
    try:
        class_number = int(text)
    except ValueError:
        class_number = -1
    if class_number < 0:
        raise fail(f"line {number} of `{table}`: `{text.strip()}` is not a class number", code=Code.IMAGE_FOLDER)
    return class_number
