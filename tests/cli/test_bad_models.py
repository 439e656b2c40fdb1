"""Files that are no models, or models that cannot be compiled: one clear message, exit status 1, nothing written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

Write = Callable[[str], str]


def damage(path: Path, how: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(path)
    how(model)
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "error: the model `model.onnx` is empty [VGGC401]\n"),
        (
            b"\x00\x01garbage" * 50,
            "error: `model.onnx` is not an ONNX model [VGGC402]\n"
            "help: vggc reads the .onnx files that exporters write\n",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "error: `model.onnx` is not an ONNX model but a Git LFS pointer [VGGC402]\n"
            "help: fetch the file itself: git lfs pull\n",
        ),
        (
            b"PK\x03\x04torch",
            "error: `model.onnx` is not an ONNX model but a zip archive, as torch.save writes [VGGC402]\n"
            "help: export the module first: `vggc export FILE.py:FUNCTION --weights FILE`\n",
        ),
        (
            b"PK\x03\x04\x14\x00" + b"\x00" * 24 + b"image.npy",
            "error: `model.onnx` is not an ONNX model but numpy arrays (.npz) [VGGC402]\n"
            "help: give the model first and data in the recipe\n",
        ),
        (
            b"vtrt\x00\x00\x00\x00\x02",
            "error: `model.onnx` is not an ONNX model but a TensorRT for RTX engine [VGGC402]\n"
            "help: give the ONNX model that the engine was built from\n",
        ),
        (
            b"\x89PNG\r\n\x1a\n",
            "error: `model.onnx` is not an ONNX model but an image [VGGC402]\n"
            "help: give the model first and data in the recipe\n",
        ),
    ],
)
def test_what_is_no_model(vggc: Any, recipe: Write, content: bytes, message: str) -> None:
    Path("model.onnx").write_bytes(content)
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (1, message)
    assert not Path("out").exists()


def test_a_missing_model(vggc: Any, recipe: Write) -> None:
    ran = vggc(recipe("simplify"), "absent.onnx")
    assert (ran.status, ran.err) == (
        1,
        "error: cannot read the model `absent.onnx`: No such file or directory [VGGC401]\n",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in the file system")
def test_a_pipe_for_a_model_is_not_waited_for(vggc: Any) -> None:
    os.mkfifo("pipe.onnx")
    ran = vggc("inspect", "pipe.onnx")
    assert (ran.status, ran.err) == (
        1,
        "error: the model `pipe.onnx` is not a regular file [VGGC401]\nhelp: write it to a file first\n",
    )


def test_a_folder_for_a_model(vggc: Any, recipe: Write) -> None:
    Path("folder.onnx").mkdir()
    ran = vggc(recipe("simplify"), "folder.onnx")
    assert (ran.status, ran.err) == (1, "error: cannot read the model `folder.onnx`: Is a directory [VGGC401]\n")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_model_cut_short(vggc: Any, recipe: Write, share: float) -> None:
    content = Path("model.onnx").read_bytes()
    cut = content[: int(len(content) * share)]
    Path("model.onnx").write_bytes(cut)
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert ran.err == (
        f"error: the model `model.onnx` is cut short: its last part is missing after {len(cut)} bytes [VGGC402]\n"
        "help: copy or export it again\n"
    )


def test_an_invalid_graph(vggc: Any, recipe: Write) -> None:
    damage(Path("model.onnx"), lambda model: model.graph.node[2].input.append("c"))
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert ran.status == 1
    # The reason is the onnx checker's own sentence.
    assert ran.err.startswith("error: the model is not valid ONNX: ")
    assert "relu" in ran.err and "input size 2" in ran.err
    assert "Traceback" not in ran.err


def test_an_unknown_operator(vggc: Any, recipe: Write) -> None:
    def rename(model: onnx.ModelProto) -> None:
        model.graph.node[2].op_type = "Rellu"

    damage(Path("model.onnx"), rename)
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert (
        ran.err.splitlines()[0]
        == "error: the model is not valid ONNX: No Op registered for Rellu with domain_version of 17 [VGGC403]"
    )


def test_an_opset_nobody_knows(vggc: Any, recipe: Write) -> None:
    def raise_opset(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 999

    damage(Path("model.onnx"), raise_opset)
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert "opset" in ran.err.splitlines()[0] or "domain_version of 999" in ran.err.splitlines()[0]
    assert "Traceback" not in ran.err


def test_weights_that_are_no_numbers(vggc: Any, recipe: Write) -> None:
    def poison(model: onnx.ModelProto) -> None:
        weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
        weights[1, 2, 0, 1] = np.nan
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))

    damage(Path("model.onnx"), poison)
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (
        1,
        "error: the weights of the model are not numbers: initializer `w` is NaN at [1, 2, 0, 1] [VGGC405]\n"
        "help: the training diverged or the file is damaged: export the model from a healthy checkpoint\n",
    )


def external(location: str, *, write: bool = True) -> None:
    """Move the weights of model.onnx into the file `weights.bin`, then say that they are at `location`."""
    model = onnx.load("model.onnx")
    onnx.save(model, "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = onnx.load("model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    Path("model.onnx").write_bytes(model.SerializeToString())
    if not write:
        Path("weights.bin").unlink()


def test_external_data_is_read(vggc: Any, recipe: Write) -> None:
    external("weights.bin")
    ran = vggc(recipe("simplify\nfold_batch_norm"), "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (0, "")
    assert not onnx.load("out/model.onnx", load_external_data=False).graph.initializer[0].external_data


def test_missing_external_data(vggc: Any, recipe: Write, tmp_path: Path) -> None:
    external("weights.bin", write=False)
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (
        1,
        "error: the external data of initializer `w` is missing: "
        f"there is no file `{tmp_path / 'weights.bin'}` [VGGC404]\n"
        "help: put `weights.bin` beside the model\n",
    )


@pytest.mark.parametrize("location", ["/etc/hostname", "../weights.bin", "a/../../weights.bin", ""])
def test_external_data_outside_the_folder(vggc: Any, recipe: Write, location: str) -> None:
    external(location)
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (
        1,
        f"error: the external data of initializer `w` is outside the model's folder: `{location}` [VGGC404]\n"
        "help: keep the data file beside the model and save the model again\n",
    )


@pytest.mark.parametrize(
    ("location", "reason"), [("a" * 5000, "File name too long"), ("a\0b", "no file can have this name")]
)
def test_external_data_of_a_name_that_no_file_can_have(vggc: Any, recipe: Write, location: str, reason: str) -> None:
    external(location)
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (
        1,
        f"error: the external data of initializer `w` cannot be read: {reason} [VGGC404]\nhelp: save the model again\n",
    )


def test_external_data_behind_a_link_out_of_the_folder(vggc: Any, recipe: Write) -> None:
    external("link.bin")
    Path("link.bin").symlink_to("/etc/hostname")
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert "is outside the model's folder: `link.bin`" in ran.err


def test_an_engine_of_an_opset_tensorrt_does_not_know(vggc: Any, recipe: Write) -> None:
    def lower(model: onnx.ModelProto) -> None:
        del model.graph.node[:]
        model.graph.node.append(helper.make_node("Relu", ["x"], ["logits"], "relu"))
        model.graph.output[0].type.tensor_type.shape.CopyFrom(model.graph.input[0].type.tensor_type.shape)
        model.opset_import[0].version = 6

    damage(Path("model.onnx"), lower)
    ran = vggc(recipe("simplify\ntarget tensorrt_rtx(batch=1..2..4)"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert ran.err.startswith("error: the model uses opset 6, but TensorRT RTX ")
    assert " --> recipe.opt:2:8\n" in ran.err
    assert not Path("out").exists()
