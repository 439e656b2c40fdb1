"""Folders of images: what is decoded, in which order, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vggc.data.loaders import images
from vggc.diagnostics import Code, CompileError

Refused = Callable[[str], AbstractContextManager[None]]
REMOVE = "remove it or copy it again, or leave out all bad images: images(..., skip_bad=true)"
NOISE = np.random.default_rng(0).integers(0, 256, (6, 8, 10, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, pixels in enumerate(NOISE):
        path = tmp_path / "set" / "ba"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (tmp_path / "set" / "notes.txt").write_text("not an image")
    (tmp_path / "set" / ".hidden").mkdir()
    Image.fromarray(NOISE[0]).save(tmp_path / "set" / ".hidden" / "thumb.png")
    return tmp_path


ORDER = [1, 3, 5, 0, 2, 4]


def pixels(base: Path, **options: Any) -> np.ndarray[Any, Any]:
    return np.concatenate([each["images"] for each in images.load("test", base, **options).batches(4)])


def test_images_come_by_path_and_scaled(folder: Path) -> None:
    dataset = images.load("test", folder, folder="set", labels="folders")
    assert dataset.description == "6 of 6 images of set"
    assert (len(dataset), dataset.arrays["images"].shape) == (6, (3, 8, 10))
    assert dataset.labels is not None and dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]
    found = pixels(folder, folder="set")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, NOISE[ORDER].transpose(0, 3, 1, 2) / 255, rtol=1e-6)


def test_scale_mean_std_and_channels(folder: Path) -> None:
    options = {"folder": "set", "scale": 1.0, "mean": [1.0, 2.0, 3.0], "std": [2.0, 4.0, 8.0], "layout": "nhwc"}
    expected = (NOISE[ORDER].astype(np.float32) - [1, 2, 3]) / [2, 4, 8]
    np.testing.assert_allclose(pixels(folder, **options), expected, rtol=1e-6)
    expected = (NOISE[ORDER][..., ::-1].astype(np.float32) - [1, 2, 3]) / [2, 4, 8]
    np.testing.assert_allclose(pixels(folder, channels="bgr", **options), expected, rtol=1e-6)


def test_gray(folder: Path) -> None:
    found = pixels(folder, folder="set", channels="gray", scale=1.0, mean=0.5)
    assert found.shape == (6, 1, 8, 10)
    expected = np.asarray(Image.fromarray(NOISE[1]).convert("L"), np.float32) - 0.5
    np.testing.assert_array_equal(found[0, 0], expected)


def test_crop_takes_the_middle(folder: Path) -> None:
    found = pixels(folder, folder="set", crop=[4, 6], scale=1.0)
    np.testing.assert_array_equal(found, NOISE[ORDER][:, 2:6, 2:8].transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"resize": 16}, (16, 20)),
        ({"resize": [12, 7]}, (12, 7)),
        ({"resize": 16, "crop": 12}, (12, 12)),
        ({"size": 32}, (32, 32)),
        ({"size": [5, 3]}, (5, 3)),
    ],
)
def test_sizes(folder: Path, options: dict[str, Any], shape: tuple[int, int]) -> None:
    assert pixels(folder, folder="set", **options).shape == (6, 3, *shape)


def test_resizing_is_pillows_bilinear(folder: Path) -> None:
    expected = np.asarray(Image.fromarray(NOISE[1]).resize((20, 16), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(pixels(folder, folder="set", resize=16, scale=1.0)[0], expected.transpose(2, 0, 1))


def test_limit_decodes_no_more(folder: Path) -> None:
    (folder / "set" / "z.png").write_bytes(b"not an image")
    dataset = images.load("test", folder, folder="set", limit=2)
    assert len(dataset) == 2 and len(list(dataset.batches(1))) == 2


def test_labels_of_a_table(folder: Path) -> None:
    (folder / "labels.csv").write_text("file,class\na/1.png,7\nb/0.png,3\n")
    dataset = images.load("test", folder, folder="set", labels="labels.csv")
    assert dataset.labels is not None and dataset.labels.tolist() == [7, 3]
    found = pixels(folder, folder="set", labels="labels.csv", scale=1.0)
    np.testing.assert_array_equal(found, NOISE[[1, 0]].transpose(0, 3, 1, 2))


def test_the_hash_is_of_files_and_preparation(folder: Path) -> None:
    def sha(**options: Any) -> str:
        return images.load("test", folder, folder="set", **options).sha256

    first = sha()
    assert first == sha() != sha(mean=0.5)
    assert first != sha(labels="folders")
    Image.fromarray(NOISE[0]).save(folder / "set" / "a" / "1.png")
    assert sha() != first


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("a/1.png,1,2\n", "line 1 of `{0}/labels.csv` has 3 columns instead of 2: file, class number"),
        ("file,class\na/1.png,cat\n", "line 2 of `{0}/labels.csv`: `cat` is not a class number"),
        ("a/1.png,-1\n", "line 1 of `{0}/labels.csv`: `-1` is not a class number"),
        ("a/1.png,1\na/9.png,2\n", "line 2 of `{0}/labels.csv`: there is no image `{0}/set/a/9.png`"),
        ("file,class\n", "`{0}/labels.csv` names no images"),
        ("", "`{0}/labels.csv` is empty"),
    ],
)
def test_tables_that_do_not_fit(folder: Path, refused: Refused, table: str, message: str) -> None:
    (folder / "labels.csv").write_text(table)
    with refused(f"error: {message.format(folder)}"):
        images.load("test", folder, folder="set", labels="labels.csv")


def test_folders_that_do_not_fit(folder: Path, refused: Refused) -> None:
    with refused(f"error: there is no folder `{folder}/no`\nhelp: paths are relative to the recipe"):
        images.load("test", folder, folder="no")
    with refused(f"error: `{folder}/set/notes.txt` is a file, not a folder", Code.IMAGE_FOLDER):
        images.load("test", folder, folder="set/notes.txt")
    (folder / "empty").mkdir()
    with refused(
        f"error: the folder `{folder}/empty` has no images\n"
        "help: images end in .bmp, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp"
    ):
        images.load("test", folder, folder="empty")
    Image.fromarray(NOISE[0]).save(folder / "set" / "top.png")
    with refused(
        f"error: the image `{folder}/set/top.png` is in no class folder\n"
        f"help: put it into a folder for its class below `{folder}/set`, or leave out `labels=folders`"
    ):
        images.load("test", folder, folder="set", labels="folders")


def test_images_that_cannot_be_read(folder: Path, refused: Refused) -> None:
    bad = folder / "set" / "b" / "bad.png"
    bad.write_bytes(b"not an image")
    with refused(f"error: `{bad}` is not an image that can be read\nhelp: {REMOVE}"):
        images.load("test", folder, folder="set")
    bad.write_bytes((folder / "set" / "a" / "1.png").read_bytes()[:200])
    dataset = images.load("test", folder, folder="set")
    with refused(f"error: the image `{bad}` cannot be decoded: image file is truncated\nhelp: {REMOVE}"):
        list(dataset.batches(2))
    Image.fromarray(np.zeros((8, 10), np.uint16)).save(bad)
    with refused(
        f"error: the image `{bad}` has more than 8 bits a channel (mode I;16)\n"
        "help: write a loader of your own for such images, or convert them to 8 bits"
    ):
        images.load("test", folder, folder="set")


def test_all_bad_images_are_named_at_once(folder: Path) -> None:
    good = (folder / "set" / "a" / "1.png").read_bytes()
    for name in ("c1.png", "c2.png"):
        (folder / "set" / "b" / name).write_bytes(good[:200])
    dataset = images.load("test", folder, folder="set")
    with pytest.raises(CompileError) as caught:
        list(dataset.batches(2))
    cut, other, last = caught.value.diagnostics
    assert "c1.png` cannot be decoded" in cut.message and "c2.png` cannot be decoded" in other.message
    assert last.message == "2 images cannot be used" and "skip_bad=true" in last.help
    (folder / "set" / "a" / "text.png").write_text("text")
    for number in range(30):
        (folder / "set" / "b" / f"text{number}.png").write_text("text")
    with pytest.raises(CompileError) as caught:
        images.load("test", folder, folder="set")
    assert len(caught.value.diagnostics) == 21
    assert caught.value.diagnostics[-1].message == "33 images cannot be used; 13 more are not shown"


def test_bad_images_are_left_out(folder: Path, refused: Refused) -> None:
    (folder / "set" / "a" / "1.png").write_text("text")
    (folder / "set" / "b" / "2.png").write_bytes((folder / "set" / "a" / "3.png").read_bytes()[:200])
    dataset = images.load("test", folder, folder="set", labels="folders", skip_bad=True)
    assert dataset.description == "6 of 6 images of set, 2 bad ones left out"
    assert dataset.labels is not None and dataset.labels.tolist() == [0, 0, 1, 1]
    assert len(dataset.skipped) == 2 and "2.png` cannot be decoded" in dataset.skipped[1]
    found = np.concatenate([each["images"] for each in dataset.batches(4)])
    np.testing.assert_allclose(found, NOISE[[3, 5, 0, 4]].transpose(0, 3, 1, 2) / 255, rtol=1e-6)
    for path in (folder / "set").rglob("*.png"):
        path.write_text("text")
    with pytest.raises(CompileError, match="is not an image that can be read"):
        images.load("test", folder, folder="set", skip_bad=True)


def test_pictures_are_turned_as_their_camera_says(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    path = folder / "turned" / "photo.png"
    path.parent.mkdir()
    Image.fromarray(NOISE[0]).save(path, exif=exif)
    upright = np.rot90(NOISE[0], -1)
    np.testing.assert_allclose(pixels(folder, folder="turned")[0], upright.transpose(2, 0, 1) / 255, rtol=1e-6)


def test_classes_are_numbered_by_folders(folder: Path, refused: Refused) -> None:
    (folder / "set" / "B").mkdir()
    Image.fromarray(NOISE[0]).save(folder / "set" / "B" / "0.png")
    dataset = images.load("test", folder, folder="set", labels="folders")
    # Capital letters before small ones, as torchvision and Python sort.
    assert dataset.classes == ("B", "a", "b")
    assert dataset.labels is not None and dataset.labels.tolist() == [0, 1, 1, 1, 2, 2, 2]
    (folder / "set" / "aa").mkdir()
    with refused(
        f"error: 1 class folder of `{folder}/set` has no images: `aa`\n"
        "help: classes are numbered by their folders, so each folder needs an image; remove folders of no class"
    ):
        images.load("test", folder, folder="set", labels="folders")


def test_every_so_many_th_image(folder: Path) -> None:
    dataset = images.load("test", folder, folder="set", labels="folders", every=2, limit=2)
    assert dataset.labels is not None and dataset.labels.tolist() == [0, 0]
    assert dataset.description == "2 of 6 images of set"
    np.testing.assert_allclose(
        pixels(folder, folder="set", every=2), NOISE[[1, 5, 2]].transpose(0, 3, 1, 2) / 255, rtol=1e-6
    )


def test_images_of_different_sizes(folder: Path, refused: Refused) -> None:
    odd = folder / "set" / "b" / "odd.png"
    Image.fromarray(NOISE[0][:5]).save(odd)
    dataset = images.load("test", folder, folder="set")
    with refused(
        f"error: the image `{odd}` gives [3, 5, 10] and `{folder}/set/a/1.png` [3, 8, 10]\n"
        "help: bring them to one size: images(..., size=224)"
    ):
        list(dataset.batches(2))
    with refused(
        f"error: the image `{odd}` is 5 x 10 after resizing: too small to crop 6 x 8\nhelp: resize first: resize=8"
    ):
        pixels(folder, folder="set", crop=[6, 8])


def test_images_too_large_to_decode(folder: Path, refused: Refused) -> None:
    huge = folder / "set" / "a" / "0.pgm"
    huge.write_bytes(b"P5\n100000 100000\n255\n0")
    with refused(f"error: the image `{huge}` is too large: 100000 x 100000 pixels", Code.IMAGES):
        images.load("test", folder, folder="set")
    Image.fromarray(np.zeros((1, 4000, 3), np.uint8)).save(folder / "set" / "a" / "1.png")
    huge.unlink()
    long = folder / "set" / "a" / "1.png"
    with refused(f"error: the image `{long}` would have 400 x 1600000 pixels after resizing"):
        images.load("test", folder, folder="set", size=400)


def test_options_that_do_not_fit(folder: Path, refused: Refused) -> None:
    with refused("error: `size` cannot be combined with `resize` or `crop`\nhelp: give `size`, or `resize` and `crop`"):
        images.load("test", folder, folder="set", size=4, crop=4)
    with refused("error: `crop` must be one number, or [height, width]"):
        images.load("test", folder, folder="set", crop=[1, 2, 3])
    with refused("error: `mean` has 3 numbers for 1 channel"):
        images.load("test", folder, folder="set", channels="gray", mean=[1.0, 2.0, 3.0])
    with refused("error: `std` is 0 for a channel: the divisor must not be 0", Code.IMAGE_OPTIONS):
        images.load("test", folder, folder="set", std=[1.0, 0.0, 1.0])


def test_links_that_lead_outside_of_the_folder(folder: Path, refused: Refused) -> None:
    Image.fromarray(NOISE[0]).save(folder / "outside.png")
    link = folder / "set" / "a" / "link.png"
    link.symlink_to(folder / "set" / "b" / "0.png")
    assert len(pixels(folder, folder="set")) == 7
    link.unlink()
    link.symlink_to(folder / "outside.png")
    message = f"error: the image `{link}` is outside the folder `{folder}/set`\nhelp: copy the image into the folder"
    with refused(message):
        images.load("test", folder, folder="set")
    (folder / "table.csv").write_text("a/link.png,1\n")
    with refused(message):
        images.load("test", folder, folder="set", labels="table.csv")
    link.unlink()
    link.symlink_to(link)
    with refused(f"error: cannot read `{link}`: Too many levels of symbolic links"):
        images.load("test", folder, folder="set")


@pytest.mark.parametrize("path", ["../outside.png", "{folder}/outside.png"])
def test_tables_that_lead_outside_of_the_folder(folder: Path, path: str) -> None:
    Image.fromarray(NOISE[0]).save(folder / "outside.png")
    (folder / "table.csv").write_text(f"{path.format(folder=folder)},1\n")
    with pytest.raises(CompileError, match=r"outside\.png` is outside the folder"):
        images.load("test", folder, folder="set", labels="table.csv")


def test_other_formats_behind_the_name_of_an_image(folder: Path, refused: Refused) -> None:
    bad = folder / "set" / "b" / "bad.png"
    Image.fromarray(NOISE[0]).save(bad, "GIF")
    with refused(f"error: `{bad}` is not an image that can be read\nhelp: {REMOVE}"):
        images.load("test", folder, folder="set")
