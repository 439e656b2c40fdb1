"""A newcomer's first screen: a wheel, a model and a folder of images, and the three commands of the README."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vggc.binding.modules import import_file

ROOT = Path(__file__).parents[1]
documents = import_file(ROOT / "tests" / "docs" / "documents.py")
DIGITS = ROOT / "examples" / "digits"
SOURCES = (
    "compiler",
    "passes",
    "grammar",
    "recipes",
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
)
IMAGES = 120

needs_tensorrt_rtx = pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has wheels for Linux and Windows on x86-64 only"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, and nothing else of this project."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source, copy = ROOT / name, folder / "source" / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(source, copy)
    build = "from setuptools.build_meta import build_wheel; build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=folder / "source", check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """An empty folder with a model and photographs of digits, in a folder for each class."""
    shutil.copy(DIGITS / "digits_vgg.onnx", tmp_path / "model.onnx")
    with np.load(DIGITS / "test.npz") as arrays:
        pixels = (arrays["image"][:IMAGES, 0] * 255).round().astype(np.uint8)
        labels = arrays["y"][:IMAGES]
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        path = tmp_path / "images" / str(label) / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, quality=95)
    return tmp_path


def commands() -> list[str]:
    """The three commands of the README's first block."""
    return [line.partition("  #")[0].strip() for line in documents.blocks(ROOT / "README.md", "sh")[0].splitlines()]


@needs_tensorrt_rtx
def test_three_commands_make_an_engine_and_a_report(installed: Path, start: Path) -> None:
    new, data, compile_ = commands()
    environment = os.environ | {"PYTHONPATH": str(installed)}

    def vggc(words: str) -> subprocess.CompletedProcess[str]:
        command, *arguments = shlex.split(words)
        assert command == "vggc"
        return subprocess.run(
            [sys.executable, "-m", "vggc", *arguments],
            cwd=start,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    where = [sys.executable, "-c", "import vggc; print(vggc.__file__)"]
    found = subprocess.run(where, cwd=start, env=environment, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).is_relative_to(installed)

    # The help names the first command, and each command the next one.
    assert "vggc new int8 MODEL --data FOLDER" in vggc("vggc --help").stdout
    written = vggc(new)
    assert written.returncode == 0, written.stderr
    assert [line.partition(": ")[2].strip() for line in written.stderr.splitlines()[-2:]] == [data, compile_]
    recipe = (start / "my.opt").read_text(encoding="utf-8")
    assert "size=8" in recipe and "channels=gray" in recipe and "labels=folders" in recipe

    shown = vggc(data)
    assert shown.returncode == 0, shown.stderr
    assert "this suits the model" in shown.stdout.replace("\n", " ")
    accuracy = re.search(r"accuracy of the model as read: ([0-9.]+)%", shown.stdout)
    assert accuracy is not None and float(accuracy[1]) > 98

    compiled = vggc(compile_)
    assert compiled.returncode == 0, compiled.stderr
    out = start / "build" / "model-my"
    assert {"model.onnx", "model.engine", "report.html"} <= {each.name for each in out.iterdir()}
    assert "agreement(calib) >= 97%" in compiled.stdout and compiled.stdout.rstrip().endswith("report.html")
