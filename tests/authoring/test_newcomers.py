"""Typical mistakes of somebody who uses vggc for the first time: each gets words that say what to do instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import vggc as api
from vggc.binding.modules import import_file

new = import_file(Path(__file__).parent / "test_new.py")
vggc = new.vggc


@pytest.fixture
def folder(vggc: Any) -> Path:
    """The current folder with a model for RGB images of 8 x 8, class folders, a flat folder, arrays, and a recipe."""
    onnx.save(new.classifier(new.photos(Path("photos")), new.prepared()), "model.onnx")
    Path("flat").mkdir()
    for path in Path("photos").rglob("*.jpg"):
        (Path("flat") / path.name).write_bytes(path.read_bytes())
    Path("empty").mkdir()
    Path("notes.txt").write_text("text")
    np.savez("a.npz", x=np.zeros((16, 3, 8, 8), np.float32))
    Path("my.opt").write_text("simplify\ntarget onnx\n")
    return Path()


SET = "--set samples=FOLDER"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (
            "model.onnx",
            2,
            "`vggc RECIPE model.onnx`. `vggc new int8 model.onnx --data FOLDER` writes",
        ),
        ("model.onnx my.opt", 2, "The recipe comes first: `vggc my.opt model.onnx`"),
        ("my.opt", 2, "Missing argument 'MODEL'"),
        ("my.opt modle.onnx", 1, "a similar name exists: `model.onnx`"),
        ("int8_cpu.opt model.onnx", 1, "a recipe with this name comes with vggc: `vggc:int8_cpu.opt`"),
        ("int8_cpu model.onnx", 2, "Did you mean `vggc vggc:int8_cpu.opt`?"),
        ("vggc:int8 model.onnx", 1, "a similar name exists: `vggc:int8_cpu.opt`"),
        ("vggc:int8_cpu.opt model.onnx", 1, "name yours, a folder of images or a file of arrays: --set samples="),
        ("vggc:int8_cpu.opt model.onnx --set sample=photos", 1, "a similar name exists: `samples`"),
        ("vggc:int8_cpu.opt model.onnx --set samples photos", 2, "--set takes NAME=VALUE, not `samples`"),
        ("vggc:int8_cpu.opt model.onnx --samples photos", 2, SET),
        ("vggc:int8_cpu.opt model.onnx --data photos", 2, SET),
        ("new model.onnx --data photos", 2, "a goal comes before it: `vggc new int8 model.onnx`"),
        ("new int8 model.onnx", 1, "--data FOLDER of images"),
        ("new int8 --data fotos", 1, "there is no file or folder `fotos`"),
        ("new int8 --data empty", 1, "the folder `empty` has no images"),
        ("new int8 --data notes.txt", 1, "name a folder of images, a .npz file"),
        ("new int8 --data flat/000.jpg", 1, "one image is not enough: name its folder, `flat`"),
        ("new int8 --data photos -o my.opt", 1, "name another file: -o FILE"),
        ("optimize model.onnx --int8", 1, "give a few hundred samples"),
        ("my.opt model.onnx -o photos", 1, "contains files that vggc did not write"),
        ("data photos", 1, "`photos` is a folder"),
        ("data model.onnx", 1, "`model.onnx` is a model, not a recipe"),
        ("measures mIoU", 1, "a similar name exists: `mean_iou`"),
        ("loaders image", 1, "a similar name exists: `images`"),
    ],
)
def test_on_the_command_line(vggc: Any, folder: Path, words: str, status: int, said: str) -> None:
    ran = vggc(*words.split())
    assert ran.status == status, ran.err
    assert said in ran.err


@pytest.mark.parametrize(
    ("data", "require", "said"),
    [
        (
            'images("flat", size=32)',
            "agreement(c) >= 9%",
            "prepare the images for this input: images(..., size=8)",
        ),
        ('images("flat", size=8, channels=gray)', "agreement(c) >= 9%", "images(..., channels=rgb)"),
        ('images("flat", size=8, layout=nhwc)', "agreement(c) >= 9%", "images(..., layout=nchw)"),
        ('images("flat", size=8, labels=folders)', "accuracy(c) >= 9%", "a folder for its class below `flat`"),
        ('images("photos", size=8, labels="folders")', "accuracy(c) >= 9%", "write the word without quotes: folders"),
        ('images("photos", size=8)', "accuracy(c) >= 9%", 'images("photos", labels=folders)'),
        ('images("flat", size=8, mean=123.7)', "agreement(c) >= 9%", "write scale=1 for pixels from 0 to 255"),
        (
            'images("flat", size=8, scale=1)',
            "agreement(c) >= 9%",
            "do not have the scale that the model was",
        ),
        ("images(flat, size=8)", "agreement(c) >= 9%", 'write it in quotes: "flat"'),
        ('images("a.npz")', "agreement(c) >= 9%", 'read a file of arrays with npz("a.npz")'),
        ('npz("flat")', "agreement(c) >= 9%", 'read a folder of images with images("flat")'),
        ('"flat"', "agreement(c) >= 9%", "`data` needs a loader around the file name"),
        ('images("flat", size=8)', "accuracy >= 9%", "`accuracy` needs `data`"),
        ('images("photos", size=8, labels=folders)', "accuracy(c) >= 90", "write `90%`"),
        ('images("photos", size=8, labels=folders)', "accuracy(c) = 90%", "write `==`"),
        ('images("flat", size=8)', "mAP(c) >= 9%", "a similar name exists: `map50`"),
        ('images("flat", size=8)', "map50(c) >= 9%", 'images("FOLDER", boxes="instances.json")'),
        ('images("flat", size=8)', "latency <= 5", "add a unit: s, ms or us"),
    ],
)
def test_in_a_recipe(vggc: Any, folder: Path, data: str, require: str, said: str) -> None:
    Path("r.opt").write_text(f"data c = {data}\nsimplify\nrequire {require}\ntarget onnx\n")
    assert said in vggc("check", "r.opt", "model.onnx").err


def test_quantize_without_data(vggc: Any, folder: Path) -> None:
    Path("r.opt").write_text("quantize(int8)\ntarget onnx\n")
    assert "give it some: quantize(..., data=calib)" in vggc("check", "r.opt", "model.onnx").err


IMAGES = np.zeros((32, 3, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"recipe": "model.onnx", "model": "my.opt"}, "`model.onnx` is a model, not a recipe"),
        ({"recipe": "simplify"}, "a text has a line break in it"),
        ({"data": IMAGES}, 'write, for example, data={"calib": images}'),
        ({"data": {"samples": IMAGES}}, "`samples` is a parameter of the recipe, not data"),
        ({"data": {"calib": IMAGES.astype(np.uint8)}}, "scale it as in training and save it as float32"),
        ({"set": "samples=photos"}, 'write, for example, set={"samples": "photos"}'),
        ({"recipe": "vggc:onnx.opt", "model": b"bytes"}, "an object of type `bytes` is not a model"),
        ({"recipe": "vggc:onnx.opt", "inputs": ["x: 1x3x8x8"]}, "`inputs` and `dynamic` are for PyTorch modules"),
    ],
)
def test_in_python(folder: Path, arguments: dict[str, Any], said: str) -> None:
    given = {"recipe": "vggc:int8_cpu.opt", "model": "model.onnx", **arguments}
    with pytest.raises(api.CompileError) as caught:
        api.check(given.pop("recipe"), given.pop("model"), **given)
    assert said in "\n".join(caught.value.__notes__)


def test_folders_may_be_paths_in_python(folder: Path) -> None:
    assert api.check("vggc:int8_cpu.opt", "model.onnx", set={"samples": Path("photos")}).steps == 3


def test_a_module_without_inputs(folder: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    pytest.importorskip("onnxscript", reason="the exporter of PyTorch needs onnxscript")
    with pytest.raises(api.CompileError) as caught:
        api.check("vggc:onnx.opt", torch.nn.Conv2d(3, 8, 3))
    assert "inputs=[torch.zeros(1, 3, 32, 32)]" in caught.value.__notes__[0]
    # One input need not be in a list.
    assert api.check("vggc:onnx.opt", torch.nn.Conv2d(3, 8, 3), inputs=torch.zeros(1, 3, 8, 8)).steps == 2
