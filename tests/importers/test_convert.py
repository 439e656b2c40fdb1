"""Models of other frameworks, made by the frameworks where they are installed, are converted and compared."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vggc.cli.main import run
from vggc.diagnostics import Code, CompileError
from vggc.diagnostics.packages import PADDLE, TENSORFLOW, TORCH_EXPORT, Optional
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
from vggc.importers import convert_source, source_of
from vggc.runtimes.packages import python_of

KERAS = """
import keras, sys
from keras import layers
keras.utils.set_random_seed(0)
image = keras.Input((16, 16, 3), name="image")
x = layers.Conv2D(8, 3, padding="same", use_bias=False)(image)
x = layers.ReLU()(layers.BatchNormalization()(x))
x = layers.DepthwiseConv2D(3, strides=2, padding="same")(x)
maps = layers.Conv2D(4, 1, name="maps")(x)
logits = layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D()(x))
net = keras.Model(image, [logits, maps])
net.save("net.keras")
net.save("net.h5")
net.export("saved")
import tensorflow as tf
open("net.tflite", "wb").write(tf.lite.TFLiteConverter.from_saved_model("saved").convert())
"""
PADDLE_NET = """
import paddle
from paddle import nn
paddle.seed(0)
net = nn.Sequential(nn.Conv2D(3, 8, 3, bias_attr=False), nn.BatchNorm2D(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
net.eval()
spec = [paddle.static.InputSpec([None, 3, 8, 8], "float32", "image")]
paddle.jit.save(net, "pd/inference", input_spec=spec)
"""
TORCH_NET = """
import torch
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
net.eval()
batch = torch.export.Dim("batch", min=1, max=64)
torch.export.save(torch.export.export(net, (torch.ones(2, 3, 8, 8),), dynamic_shapes=({0: batch},)), "net.pt2")
"""


def _made(packages: Optional, program: str, folder: Path) -> None:
    python = python_of(packages)
    if python is None:
        pytest.skip(f"the package {packages.packages[0]} is not installed, and no variable names its Python")
    subprocess.run([python, "-c", program], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    _made(TENSORFLOW, KERAS, folder)
    return folder


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "saved", "net.tflite"])
def test_models_of_tensorflow_get_their_channels_first(name: str, keras: Path, tmp_path: Path) -> None:
    source = source_of(keras / name)
    assert source is not None
    converted = convert_source(source, tmp_path / "model.onnx")
    assert converted.error < 1e-5 and converted.nodes["Transpose"] == 0
    graph = Graph.load(tmp_path / "model.onnx")
    (image,) = inputs_of(graph)
    assert image.name == "image" and (image.shape or ())[1:] == (3, 16, 16)
    if name in ("net.keras", "net.h5"):
        assert [each.name for each in graph.outputs] == ["logits", "maps"]


def test_the_layout_of_the_source_can_stay(keras: Path, tmp_path: Path) -> None:
    source = source_of(keras / "net.keras")
    assert source is not None
    convert_source(source, tmp_path / "model.onnx", channels_first=False)
    (image,) = inputs_of(Graph.load(tmp_path / "model.onnx"))
    assert (image.shape or ())[1:] == (16, 16, 3)


def test_a_compile_begins_with_a_keras_model(keras: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.opt").write_text("simplify\ntarget onnx\n")
    assert run(["net.opt", str(keras / "net.keras")]) == 0
    assert Path("build/net-net.converted.onnx").is_file() and Path("build/net-net/model.onnx").is_file()


def test_a_file_that_keras_cannot_load(keras: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.keras").write_bytes(b"PK")
    source = source_of(tmp_path / "broken.keras")
    assert source is not None
    with pytest.raises(CompileError, match=r"broken\.keras` cannot be converted|cannot load `broken\.keras`") as caught:
        convert_source(source, tmp_path / "model.onnx")
    assert caught.value.diagnostics[0].code in (Code.SOURCE, Code.CONVERSION)


def test_a_larger_error_than_allowed_writes_nothing(keras: Path, tmp_path: Path) -> None:
    source = source_of(keras / "net.keras")
    assert source is not None
    with pytest.raises(CompileError, match="differs from Keras's") as caught:
        convert_source(source, tmp_path / "model.onnx", tolerance=0.0)
    assert caught.value.diagnostics[0].code == Code.CONVERSION_DIFFERS
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    ("packages", "program", "name"), [(PADDLE, PADDLE_NET, "pd"), (TORCH_EXPORT, TORCH_NET, "net.pt2")]
)
def test_models_of_paddle_and_torch_keep_their_batch_norms(
    packages: Optional, program: str, name: str, tmp_path: Path
) -> None:
    _made(packages, program, tmp_path)
    source = source_of(tmp_path / name)
    assert source is not None
    converted = convert_source(source, tmp_path / "model.onnx")
    assert converted.error < 1e-5 and converted.nodes["BatchNormalization"] == 1
