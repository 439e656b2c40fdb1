"""`vggc export`, and a compile that begins at a module."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from vggc.cli.main import run

NETS = Path(__file__).with_name("nets.py")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def vggc(folder: Path, capsys: Capture) -> Callable[..., tuple[int, str, str]]:
    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run(list(words))
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def needs_torch() -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install torch onnxscript safetensors")
    pytest.importorskip("onnxscript", reason="needs onnxscript: pip install torch onnxscript safetensors")


def test_export(vggc: Callable[..., tuple[int, str, str]]) -> None:
    needs_torch()
    words = ("export", f"{NETS}:vgg11", "--input", "x: 1x3x32x32", "--dynamic", "batch")
    status, out, err = vggc(*words)
    assert (status, err) == (0, "")
    first, second = out.splitlines()
    assert first.startswith("vgg11.onnx: 34 nodes (9 Relu, 8 Conv, 8 BatchNormalization, 5 MaxPool), opset ")
    assert second.startswith("compared with PyTorch in 4 runs on random inputs: largest relative error ")
    assert second.endswith(" (1e-05 allowed)")
    assert vggc(*words, "-o", "other.onnx", "--tolerance", "0")[0] == 1
    assert sorted(each.name for each in Path().iterdir()) == ["vgg11.onnx"]


def test_outputs_that_say_nothing_are_warned_of(vggc: Callable[..., tuple[int, str, str]]) -> None:
    """A comparison of outputs that do not depend on the inputs would hold for a wrong model, too."""
    needs_torch()
    status, _, err = vggc("export", f"{NETS}:deaf", "--input", "x: 1x3x8x8")
    assert status == 0
    assert err.startswith("warning: the module's outputs hardly depend on its inputs (0.0e+00 of the largest)")


def test_a_compile_exports_first(vggc: Callable[..., tuple[int, str, str]]) -> None:
    needs_torch()
    Path("fold.opt").write_text("simplify\nfold_batch_norm\ntarget onnx\n")
    status, out, err = vggc("fold.opt", f"{NETS}:resnet", "--input", "x: 1x3x32x32", "--dynamic", "batch")
    assert (status, err) == (0, "")
    assert out.startswith("build/resnet-fold.exported.onnx: ")
    exported, folded = (
        [node.op_type for node in onnx.load(f"build/resnet-fold{rest}").graph.node]
        for rest in (".exported.onnx", "/model.onnx")
    )
    assert (exported.count("BatchNormalization"), folded.count("BatchNormalization")) == (11, 0)
    report = json.loads(Path("build/resnet-fold/report.json").read_text())
    assert report["model"]["path"] == "build/resnet-fold.exported.onnx"
    assert report["verification"][0]["error"] <= 1e-5


def test_options_of_modules_beside_a_model(vggc: Callable[..., tuple[int, str, str]]) -> None:
    Path("fold.opt").write_text("simplify\ntarget onnx\n")
    status, _, err = vggc("fold.opt", "model.onnx", "--dynamic", "batch")
    assert status == 1
    assert err.startswith(
        "error: --weights, --input and --dynamic are for PyTorch modules, but `model.onnx` is not one [VGGC901]"
    )


def test_a_wrong_input_is_told_before_anything_is_built(vggc: Callable[..., tuple[int, str, str]]) -> None:
    status, _, err = vggc("export", "nowhere.at.all:net", "--input", "x=1x3")
    assert (status, err.splitlines()[0]) == (1, "error: `x=1x3` is not an input specification [VGGC702]")
    status, _, err = vggc("export", "nowhere.at.all:net")
    assert (status, err.splitlines()[0]) == (1, "error: a PyTorch module does not declare its inputs [VGGC702]")
