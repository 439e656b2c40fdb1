"""`vggc data`: the tables, the contact sheet, and everything wrong with the samples in one run."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from vggc.authoring.data_facts import data_facts
from vggc.binding.modules import import_file
from vggc.data import ArrayDataset
from vggc.data.loaders import images
from vggc.data.pictures import pictured

new = import_file(Path(__file__).parent / "test_new.py")
vggc = new.vggc

RECIPE = 'data calib = images("photos", size=8, {options}labels=folders)\nsimplify\ntarget onnx\n'


@pytest.fixture
def folder(vggc: Any) -> Path:
    """The current folder with photos, a model that takes them as they are from 0 to 1, and a recipe."""
    onnx.save(new.classifier(new.photos(Path("photos")), new.prepared()), "model.onnx")
    Path("r.opt").write_text(RECIPE.format(options=""))
    return Path()


def test_the_tables_and_the_contact_sheet(vggc: Any, folder: Path) -> None:
    ran = vggc("data", "r.opt", "model.onnx")
    assert ran.status == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0] == "calib: 24 of 24 images of photos"
    assert re.search(r"^images +float32 \[24, 3, 8, 8\] +0 +0\.\d+ +0\.\d+ ", ran.out, re.MULTILINE)
    assert re.search(r"BatchNormalization `norm` reads (0\.9|1\.0)\d times", ran.out)
    assert "this suits the model" in ran.out.replace("\n", " ")
    assert re.search(r"^accuracy of the model as read: \d+\.\d+%$", ran.out, re.MULTILINE)
    assert re.search(r"^0 class0 +6  #{40}", ran.out, re.MULTILINE)
    page = Path("build/r-data.html").read_text()
    assert page.count("data:image/png;base64,") == 24 and "0: 000.jpg: class 0, class0" in page
    assert "http" not in page


def test_without_a_model(vggc: Any, folder: Path) -> None:
    ran = vggc("data", "r.opt", "-o", "sheet.html")
    assert ran.status == 0 and "BatchNormalization" not in ran.out and "accuracy" not in ran.out
    assert Path("sheet.html").is_file() and ran.out.endswith("contact sheet: sheet.html\n")


def test_a_preparation_that_does_not_suit(vggc: Any, folder: Path) -> None:
    Path("r.opt").write_text(RECIPE.format(options="mean=0.9, "))
    ran = vggc("data", "r.opt", "model.onnx")
    assert ran.status == 0 and "compare scale, mean and std with those of training" in ran.out.replace("\n", " ")
    Path("r.opt").write_text(RECIPE.format(options="scale=1, "))
    ran = vggc("data", "r.opt", "model.onnx")
    assert "warning: the images of data `calib` do not have the scale" in ran.err


def test_class_folders_that_are_not_as_many_as_the_classes(vggc: Any, folder: Path) -> None:
    onnx.save(new.classifier(Path("photos"), new.prepared(), classes=5), "model.onnx")
    ran = vggc("data", "r.opt", "model.onnx")
    assert ran.status == 0 and "accuracy" not in ran.out
    assert "warning: data `calib` has 4 class folders (`class0`, `class1`, `class2`, ...), but output" in ran.err
    assert " --> r.opt:1:1" in ran.err


def test_all_that_is_wrong_in_one_run(vggc: Any, folder: Path) -> None:
    text = RECIPE.format(options="") + 'data other = npz("bad.npz")\n'
    Path("r.opt").write_text(text.replace("simplify\ntarget onnx\n", "") + "simplify\ntarget onnx\n")
    good = Path("photos/class0/000.jpg").read_bytes()
    Path("photos/class0/cut.jpg").write_bytes(good[: len(good) // 2])
    Path("photos/class1/text.jpg").write_text("text")
    Path("bad.npz").write_text("text")
    ran = vggc("data", "r.opt", "model.onnx")
    assert ran.status == 1
    for message in ("cut.jpg` cannot be", "text.jpg` is not an image", "2 images cannot be used", "`bad.npz` is not"):
        assert message in ran.err
    Path("r.opt").write_text(RECIPE.format(options="skip_bad=true, "))
    ran = vggc("data", "r.opt", "model.onnx")
    assert ran.status == 0 and "24 of 26 images" not in ran.out
    assert "calib: 26 of 26 images of photos, 2 bad ones left out" in ran.out and "left out: 2 images" in ran.out


def test_many_classes_are_summed_up(vggc: Any, folder: Path) -> None:
    labels = np.repeat(np.arange(40), np.arange(1, 41))
    np.savez("many.npz", x=np.zeros((len(labels), 3), np.float32), y=labels, texts=np.array(["a"] * len(labels)))
    Path("r.opt").write_text('data d = npz("many.npz", label="y", inputs={"x": "x"})\nsimplify\n')
    ran = vggc("data", "r.opt")
    assert "40 classes:" in ran.out and re.search(r"^39 +40 ", ran.out, re.MULTILINE)
    assert "\n20 " not in ran.out and "for measures" in ran.out and "contact sheet" not in ran.out


def test_a_recipe_without_data(vggc: Any, folder: Path) -> None:
    Path("r.opt").write_text("simplify\n")
    ran = vggc("data", "r.opt")
    assert ran.status == 1 and "error: `r.opt` has no data" in ran.err


def test_random_data_and_texts(vggc: Any, folder: Path) -> None:
    Path("r.opt").write_text("data noise = random(count=8)\nsimplify\n")
    ran = vggc("data", "r.opt", "model.onnx")
    assert ran.status == 0 and "noise: 8 random samples" in ran.out and "float32 [8, 3, 8, 8]" in ran.out
    texts = ArrayDataset({"t": np.array(["a", "b"])}, None, "texts")
    (array,) = data_facts(texts, None).arrays
    assert array.channels == ()


def test_statistics_by_channel() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3, 5, 4)).astype(np.float32) * np.array([[[[1]], [[2]], [[3]]]])
    (array,) = data_facts(ArrayDataset({"x": values.astype(np.float32)}, None, "x"), None).arrays
    for number, each in enumerate(array.channels):
        channel = values[:, number]
        found = (each.mean, each.deviation, each.least, each.largest)
        assert found == pytest.approx((channel.mean(), channel.std(), channel.min(), channel.max()), rel=1e-4)
    (array,) = data_facts(ArrayDataset({"x": values.transpose(0, 2, 3, 1)}, None, "x"), None).arrays
    assert len(array.channels) == 3
    (array,) = data_facts(ArrayDataset({"x": values.reshape(50, -1)}, None, "x"), None).arrays
    assert len(array.channels) == 1


def test_pictures_show_the_pixels_again(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    (tmp_path / "p").mkdir()
    Image.fromarray(pixels).save(tmp_path / "p/0.png")
    data = images.load("d", tmp_path, folder="p", mean=[0.4, 0.5, 0.6], std=[0.1, 0.2, 0.3], channels="bgr")
    picture = pictured(data, next(data.batches(1)), 0, 0)
    assert picture is not None
    (tmp_path / "picture.png").write_bytes(picture.png)
    shown = np.asarray(Image.open(tmp_path / "picture.png"))
    assert shown.shape == (160, 160, 3) and np.array_equal(shown[::5, ::5], pixels)


def test_boxes_are_drawn(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/0.txt").write_text("0 0.5 0.5 0.5 0.5")
    Image.new("RGB", (32, 32)).save(tmp_path / "p/0.png")
    data = images.load("d", tmp_path, folder="p", boxes=tmp_path / "p")
    picture = pictured(data, next(data.batches(1)), 0, 0)
    assert picture is not None
    shown = np.asarray(Image.open(io.BytesIO(picture.png)))
    red = np.argwhere(shown[:, :, 0] == 255)
    assert red.min() == 40 and red.max() == 120
