"""A small model on disk, and the command line run inside this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from vggc.cli.main import run


def small_model(seed: int = 0, classes: int = 4) -> onnx.ModelProto:
    """Conv, BatchNormalization, Relu, Identity, GlobalAveragePool, Flatten, Gemm on N x 3 x 8 x 8."""
    random = np.random.default_rng(seed)

    def weight(name: str, *shape: int, low: float = -1.0) -> onnx.TensorProto:
        return numpy_helper.from_array(random.uniform(low, 1, shape).astype(np.float32), name)

    norm = [weight(each, 8, low=0.5) for each in ("scale", "shift", "mean", "var")]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"], "norm"),
        helper.make_node("Relu", ["n"], ["r"], "relu"),
        helper.make_node("Identity", ["r"], ["i"], "copy"),
        helper.make_node("GlobalAveragePool", ["i"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "fw", "fb"], ["logits"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", classes])],
        [weight("w", 8, 3, 3, 3), *norm, weight("fw", classes, 8), weight("fb", classes)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@dataclass(frozen=True)
class Ran:
    """One run of the command: its exit status and what it printed."""

    status: int
    out: str
    err: str


Vggc = Callable[..., Ran]


@pytest.fixture
def vggc(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vggc:
    """Run the command with these words, in an empty folder that holds `model.onnx`."""
    monkeypatch.chdir(tmp_path)
    onnx.save(small_model(), "model.onnx")

    def call(*words: str) -> Ran:
        capsys.readouterr()
        status = run(list(words))
        printed = capsys.readouterr()
        return Ran(status, printed.out, printed.err)

    return call


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], str]:
    """Write the recipe `recipe.opt`, `target onnx` added when it has no target."""

    def write(text: str) -> str:
        if "target" not in text:
            text += "\ntarget onnx\n"
        (tmp_path / "recipe.opt").write_text(text)
        return "recipe.opt"

    return write


def leftovers(folder: Path) -> list[str]:
    """Everything in a folder besides the inputs of the tests."""
    given = {"model.onnx", "recipe.opt"}
    return sorted(
        each.name
        for each in folder.iterdir()
        if each.name not in given and each.suffix not in (".py", ".npz", ".pyc") and each.name != "__pycache__"
    )
