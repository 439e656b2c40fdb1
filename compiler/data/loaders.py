"""The loaders a recipe may name. Paths are relative to the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from vggc.data.annotations import BOXES, MASKS, Annotation, Masks, mask_files, read_boxes
from vggc.data.arrays import StoredDataset, same_length
from vggc.data.dataset import Dataset, as_labels
from vggc.data.generated import RandomDataset
from vggc.data.images import ImageFolder, by_folder, by_table, image_files
from vggc.data.loader import loader
from vggc.data.preparation import Channels, Layout, Preparation
from vggc.data.stored import StoredArray, open_npy, open_npz
from vggc.diagnostics import Code, fail, spelling_help
from vggc.diagnostics.number_text import counted
from vggc.values import File, Folder, Within

Count = Annotated[int, Within(1, 1 << 40)]
Seed = Annotated[int, Within(0, 1 << 40)]
_LARGEST_MEAN = 1.5
"""Pixels from 0 to 1 have no larger mean: a larger number is one of pixels from 0 to 255."""

Pixels = Annotated[int, Within(1, 1 << 16)]


@loader(label_option="label", label_help='name the array with the class numbers: npz("test.npz", label="y")')
def npz(
    base: Path,
    path: File,
    *,
    limit: Count | None = None,
    label: str | None = None,
    inputs: dict[str, str] | None = None,
) -> Dataset:
    """Arrays of a `.npz` file, as numpy.savez writes it; uncompressed ones are mapped, not read.

    Options:
        path: the file.
        limit: take the first samples only, at most so many.
        label: the array with the class numbers.
        inputs: which array each of the model's inputs takes, for example {"input": "x"}; without it arrays are
            named like the inputs. Measures can read the other arrays with as many samples.
    """
    file = base / path
    arrays = open_npz(file)
    where = f"`{file}`"
    named = {label} if label is not None else set()
    for name in (*named, *(inputs or {}).values()):
        if name not in arrays:
            raise fail(
                f"{where} has no array `{name}`", help=spelling_help(name, arrays, "its arrays"), code=Code.DATA_ARRAYS
            )
    chosen = {name: arrays[array] for name, array in inputs.items()} if inputs else _all_but(arrays, label)
    if not chosen:
        raise fail(f"{where} has no array beside the labels `{label}`", code=Code.DATA_ARRAYS)
    advice = f'say which to take: inputs={{"input": "{next(iter(chosen))}"}}'
    for each in chosen.values():
        each.check()
    total = same_length({name: each.rows for name, each in chosen.items()}, where, "" if inputs else advice)
    count = total if limit is None else min(limit, total)
    labels = None
    if label is not None:
        arrays[label].check()
        labels = as_labels(arrays[label].first(arrays[label].rows), total, f"array `{label}` of {where}")[:count]
    taken = {label, *(inputs or {}).values()}
    beside = {name: each for name, each in arrays.items() if inputs and name not in taken and _rows(each) == total}
    for each in beside.values():
        each.check()
    return StoredDataset(chosen, count, labels, f"{count} of {total} samples of {path}", beside)


def _rows(array: StoredArray) -> int | None:
    return array.header.shape[0] if array.header.shape else None


def _all_but(arrays: Mapping[str, StoredArray], label: str | None) -> dict[str, StoredArray]:
    return {name: each for name, each in arrays.items() if name != label}


@loader(label_option="labels", label_help='name the file with the class numbers: npy("x.npy", labels="y.npy")')
def npy(base: Path, path: File, *, limit: Count | None = None, labels: File | None = None) -> Dataset:
    """One array of a `.npy` file, for a model with one input; mapped, not read.

    Options:
        path: the file.
        limit: take the first samples only, at most so many.
        labels: a `.npy` file with the class numbers.
    """
    array = open_npy(base / path)
    total = same_length({"": array.rows}, f"`{base / path}`")
    count = total if limit is None else min(limit, total)
    numbers = None
    if labels is not None:
        stored = open_npy(base / labels)
        numbers = as_labels(stored.first(stored.rows), total, stored.where)[:count]
    return StoredDataset({Path(path).stem: array}, count, numbers, f"{count} of {total} samples of {path}")


@loader(label_option="labels", label_help='say where the classes are: images("photos", labels=folders)')
def images(
    base: Path,
    folder: Folder,
    *,
    size: Pixels | list[int] | None = None,
    resize: Pixels | list[int] | None = None,
    crop: Pixels | list[int] | None = None,
    scale: float = 1 / 255,
    mean: float | list[float] = 0.0,
    std: float | list[float] = 1.0,
    layout: Layout = "nchw",
    channels: Channels = "rgb",
    labels: Literal["folders"] | File | None = None,
    limit: Count | None = None,
    every: Count = 1,
    skip_bad: bool = False,
    pad: Annotated[int, Within(0, 255)] | None = None,
    boxes: Path | None = None,
    masks: Path | None = None,
) -> Dataset:
    """Images of a folder and the folders in it, in the order of their paths, decoded batch by batch.

    What comes out is float32, (pixel * scale - mean) / std.

    Options:
        folder: the folder.
        size: height and width that come out, 224 or [224, 320]: the image is resized until it covers them, keeping
            its proportions, and the middle is taken. In place of `resize` and `crop`.
        resize: length of the shorter side, or [height, width] exactly.
        crop: height and width of the middle to take after resizing.
        scale: what pixels, 0 to 255, are multiplied by first.
        mean: subtracted then, one number or one for each channel.
        std: divided by last, one number or one for each channel.
        layout: nchw (channels first) or nhwc (channels last).
        channels: rgb, bgr or gray.
        labels: folders (the top folders, numbered in sorted order as torchvision does), or a CSV table: file, class
            number.
        limit: take the first samples only, at most so many.
        every: take one image of so many, in the order of their paths: every=10 takes a tenth of each class folder.
        skip_bad: leave out images that cannot be decoded. All images are decoded at once to find them.
        pad: with `size`: the image is resized to fit into it as a whole, and the rest is filled with this value of
            pixels (YOLO models are trained with 114).
        boxes: the objects of the images: a COCO file, or a folder of YOLO text files.
        masks: a folder with a mask for each image, of the same name: an image whose pixels are class numbers.
    """
    root = base / folder
    count = 1 if channels == "gray" else 3
    if size is not None and (resize is not None or crop is not None):
        raise fail(
            "`size` cannot be combined with `resize` or `crop`",
            help="give `size`, or `resize` and `crop`",
            code=Code.IMAGE_OPTIONS,
        )
    numbers, classes = None, list[str]()
    if labels is None or labels == "folders":
        files = image_files(root)
        if labels is not None:
            numbers, classes = by_folder(root, files)
    else:
        files, numbers = by_table(root, base / labels)
    chosen = slice(0, None if limit is None else limit * every, every)
    taken = len(files[chosen])
    cover = None if size is None else _pair(size, "size")
    prepare = Preparation(
        resize=resize if resize is None or isinstance(resize, int) else _pair(resize, "resize"),
        crop=cover or (None if crop is None else _pair(crop, "crop")),
        scale=scale,
        mean=_by_channel(mean, count, "mean"),
        std=_by_channel(std, count, "std"),
        layout=layout,
        channels=channels,
        cover=cover is not None,
        pad=pad,
    )
    if pad is not None and size is None:
        raise fail(
            "`pad` fills up the size that `size` gives, which is missing",
            help="give both: size=640, pad=114",
            code=Code.IMAGE_OPTIONS,
        )
    if scale == 1 / 255 and max(map(abs, prepare.mean)) > _LARGEST_MEAN:
        help = "divide mean and std by 255, as in mean=0.485; or write scale=1 for pixels from 0 to 255"
        message = f"`mean` is {mean}, but the pixels are scaled to 0..1 first"
        raise fail(message, help=help, code=Code.IMAGE_OPTIONS)
    if 0 in prepare.std:
        raise fail("`std` is 0 for a channel: the divisor must not be 0", code=Code.IMAGE_OPTIONS)

    def annotate(files: Sequence[Path]) -> dict[str, Annotation]:
        found: dict[str, Annotation] = {}
        if boxes is not None:
            found[BOXES] = read_boxes(boxes, root, files, prepare)
        if masks is not None:
            found[MASKS] = Masks(mask_files(masks, root, files), files[0], prepare)
        return found

    return ImageFolder(
        files[chosen],
        None if numbers is None else numbers[chosen],
        prepare,
        f"{taken} of {len(files)} images of {folder}",
        classes=classes,
        skip_bad=skip_bad,
        annotate=annotate,
    )


def _pair(given: int | Sequence[int], option: str) -> tuple[int, int]:
    both = (given, given) if isinstance(given, int) else tuple(given)
    if len(both) != 2 or min(both) < 1:
        raise fail(f"`{option}` must be one number, or [height, width]", code=Code.IMAGE_OPTIONS)
    return both[0], both[1]


def _by_channel(given: float | Sequence[float], count: int, option: str) -> tuple[float, ...]:
    values = (given,) * count if isinstance(given, int | float) else tuple(given)
    if len(values) != count:
        raise fail(f"`{option}` has {len(values)} numbers for {counted(count, 'channel')}", code=Code.IMAGE_OPTIONS)
    return values


@loader(label_option="", label_help="random samples have no classes: use real data, or another measure")
def random(base: Path, *, count: Count = 32, seed: Seed = 0, shapes: dict[str, list[int]] | None = None) -> Dataset:
    """Random samples of the model's own shapes: normal floats, small integers. They say nothing of accuracy.

    Options:
        count: how many samples.
        seed: another seed gives other samples.
        shapes: for inputs of unknown size the shape of one sample, without the batch: {"input": [3, 224, 224]}.
    """
    del base
    return RandomDataset(count, seed, shapes or {})
