"""Which framework wrote a model, and what is said of formats that cannot be converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vggc.cli.main import run
from vggc.diagnostics import Code, CompileError
from vggc.importers import convert_source, source_of
from vggc.runtimes import packages


def _file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    ("files", "given", "kind", "title"),
    [
        (["net.keras"], "net.keras", "keras", "Keras"),
        (["net.H5"], "net.H5", "keras", "Keras"),
        (["net.tflite"], "net.tflite", "tflite", "TFLite"),
        (["net.pt2"], "net.pt2", "torch", "PyTorch"),
        (["saved/saved_model.pb"], "saved", "saved_model", "TensorFlow"),
        (["pd/inference.json", "pd/inference.pdiparams"], "pd", "paddle", "Paddle"),
        (["pd/old.pdmodel", "pd/old.pdiparams"], "pd", "paddle", "Paddle"),
        (["pd/a.json", "pd/a.pdiparams", "pd/b.json"], "pd/a.json", "paddle", "Paddle"),
    ],
)
def test_the_source_is_known_by_its_files(files: list[str], given: str, kind: str, title: str, tmp_path: Path) -> None:
    for each in files:
        _file(tmp_path / each)
    found = source_of(tmp_path / given)
    assert found is not None and (found.kind, found.title) == (kind, title)


@pytest.mark.parametrize("name", ["model.onnx", "report.json", "weights.pt", "nets:vgg"])
def test_other_files_are_not_sources(name: str, tmp_path: Path) -> None:
    assert source_of(tmp_path / name) is None


@pytest.mark.parametrize(
    ("name", "what", "help"),
    [
        ("net.caffemodel", "a Caffe model", "OpenCV reads it"),
        ("net.prototxt", "a Caffe net", "give a Keras"),
        ("net-0000.params", "a file of MXNet's weights", "MXNet is archived"),
        ("net.dnn", "a CNTK model", "CNTK is archived"),
        ("yolo.weights", "a file of Darknet's weights", "load these weights into it"),
        ("frozen.pb", "a frozen TensorFlow graph", "python -m tf2onnx.convert --graphdef FILE"),
    ],
)
def test_a_format_without_a_living_converter(name: str, what: str, help: str) -> None:
    with pytest.raises(CompileError) as caught:
        source_of(Path(name))
    (found,) = caught.value.diagnostics
    assert found.message == f"`{name}` is {what}, which vggc cannot convert"
    assert help in found.help and found.code == Code.SOURCE


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["some/readme.txt"], "contains neither a SavedModel nor a Paddle inference model"),
        (["some/a.pdiparams", "some/b.pdiparams"], "contains several Paddle models"),
        (["some/a.pdiparams"], "contains neither a SavedModel nor a Paddle inference model"),
        (["some/net-symbol.json", "some/net-0000.params"], "contains an MXNet model"),
    ],
)
def test_a_folder_without_a_model(files: list[str], message: str, tmp_path: Path) -> None:
    for each in files:
        _file(tmp_path / each)
    with pytest.raises(CompileError, match=message):
        source_of(tmp_path / "some")


@pytest.mark.parametrize(
    ("name", "message", "help"),
    [
        (
            "net.keras",
            "converting a Keras model needs the Python packages `tensorflow-cpu` and `tf2onnx`, "
            "which are not installed",
            "install them for this Python: pip install tensorflow-cpu tf2onnx",
        ),
        (
            "net.pdmodel",
            "converting a Paddle model needs the Python packages `paddlepaddle` and `paddle2onnx` and `setuptools` "
            "and `packaging`, which are not installed",
            "VGGC_PYTHON_PADDLE=paddle-env",
        ),
    ],
)
def test_a_missing_package_is_named(
    name: str, message: str, help: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "python_of", lambda needed: None)
    monkeypatch.setattr(packages, "_found", lambda module: False)
    source = source_of(_file(tmp_path / name))
    assert source is not None
    with pytest.raises(CompileError) as caught:
        convert_source(source, tmp_path / "model.onnx")
    (found,) = caught.value.diagnostics
    assert found.message == message and help in found.help and found.code == Code.MISSING_PACKAGE


def test_the_command_refuses_what_needs_no_conversion(capsys: Any, tmp_path: Path) -> None:
    for given in ("model.onnx", "nets.vgg:vgg16"):
        assert run(["convert", given]) == 1
        assert f"`{given}` is not a model of another framework" in capsys.readouterr().err
