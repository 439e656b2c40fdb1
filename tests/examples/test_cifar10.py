"""examples/cifar10 on data of CIFAR's shape: reading the batches, training, and the way to an engine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from vggc.binding.modules import import_file
from vggc.cli.main import run

FOLDER = Path(__file__).parents[2] / "examples" / "cifar10"
BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
IMAGES = 32


class Python2(pickle._Pickler):
    """Writes what Python 2 wrote: texts of bytes, and numpy under its old names."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_text(self, text: bytes | str) -> None:
        content = text.encode("latin1") if isinstance(text, str) else text
        short = len(content) < 256
        head = b"U" + bytes([len(content)]) if short else b"T" + len(content).to_bytes(4, "little")
        self.write(head + content)

    dispatch[bytes] = dispatch[str] = save_text


def pickled(content: dict[bytes, Any]) -> bytes:
    file = io.BytesIO()
    Python2(file, protocol=2).dump(content)
    return file.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


def batch(seed: int) -> dict[bytes, Any]:
    """Images whose class can be seen: one plane is bright by its number."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, IMAGES)
    data = random.integers(0, 80, (IMAGES, 3, 1024))
    data[np.arange(IMAGES), labels % 3] += 17 * labels[:, None]
    return {
        b"batch_label": b"a batch",
        b"labels": [int(each) for each in labels],
        b"data": data.astype(np.uint8).reshape(IMAGES, 3072),
        b"filenames": [b"image_%d.png" % number for number in range(IMAGES)],
    }


def archive(path: Path, change: Callable[[dict[bytes, Any]], None] = lambda _: None) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for seed, name in enumerate(BATCHES):
            made = batch(seed)
            change(made)
            content = pickled(made)
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def cifar() -> Any:
    return import_file(FOLDER / "cifar.py")


def test_batches_are_read(cifar: Any, tmp_path: Path) -> None:
    train_x, train_y, test_x, test_y = cifar.load(archive(tmp_path / "cifar.tar.gz"))
    assert (train_x.shape, train_x.dtype, test_x.shape) == ((160, 3, 32, 32), np.uint8, (32, 3, 32, 32))
    expected = batch(1)
    np.testing.assert_array_equal(train_x[IMAGES : 2 * IMAGES].reshape(IMAGES, -1), expected[b"data"])
    np.testing.assert_array_equal(train_y[IMAGES : 2 * IMAGES], expected[b"labels"])
    np.testing.assert_array_equal(test_y, batch(5)[b"labels"])
    with tarfile.open(tmp_path / "cifar.tar.gz") as file:
        file.extractall(tmp_path, filter="data")
    for first, second in zip(
        cifar.load(tmp_path / "cifar-10-batches-py"), (train_x, train_y, test_x, test_y), strict=True
    ):
        np.testing.assert_array_equal(first, second)


def test_images_are_normalised(cifar: Any) -> None:
    grey = cifar.normalised(np.full((2, 3, 32, 32), 128, np.uint8))
    assert grey.dtype == np.float32
    np.testing.assert_allclose(grey[0, :, 0, 0] * cifar.STD.ravel() + cifar.MEAN.ravel(), 128 / 255, rtol=1e-6)


def test_a_pickle_runs_nothing(cifar: Any, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "made"),)

    def change(made: dict[bytes, Any]) -> None:
        made[b"more"] = Evil()

    with pytest.raises(pickle.UnpicklingError, match=r"a batch of CIFAR-10 has no business with (posix|nt)\.mkdir"):
        cifar.load(archive(tmp_path / "evil.tar.gz", change))
    assert not (tmp_path / "made").exists()


def test_other_data_is_refused(cifar: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data_batch_1 has data uint8 \[32, 3071\] for 32 labels"):
        cifar.load(archive(tmp_path / "a.tar.gz", lambda made: made.update({b"data": made[b"data"][:, 1:].copy()})))
    with pytest.raises(ValueError, match="has a label that is no class: 0 or 10"):
        cifar.load(archive(tmp_path / "b.tar.gz", lambda made: made.update({b"labels": [0, 10] * 16})))


def test_downloading(cifar: Any, tmp_path: Path) -> None:
    made = archive(tmp_path / "cifar.tar.gz")
    md5 = hashlib.md5(made.read_bytes(), usedforsecurity=False).hexdigest()
    path = cifar.download(tmp_path / "here", made.as_uri(), md5)
    assert path.read_bytes() == made.read_bytes()
    made.unlink()
    assert cifar.download(tmp_path / "here", made.as_uri(), md5) == path
    path.write_bytes(b"half of it")
    with pytest.raises(ValueError, match="is not CIFAR-10: its MD5 is"):
        cifar.download(tmp_path / "here", made.as_uri(), md5)
    assert [each.name for each in (tmp_path / "here").iterdir()] == ["cifar.tar.gz"]


@pytest.mark.skipif(
    "VGGC_DOWNLOAD" not in os.environ, reason="downloads 170 MB from www.cs.toronto.edu; set VGGC_DOWNLOAD=1 to do it"
)
def test_the_real_data(cifar: Any, tmp_path: Path) -> None:
    train_x, train_y, test_x, test_y = cifar.load(cifar.download(tmp_path))
    assert (len(train_x), len(test_x)) == (50_000, 10_000)
    assert set(Counter(train_y.tolist()).values()) == {5000} and set(Counter(test_y.tolist()).values()) == {1000}
    images = cifar.normalised(train_x)
    np.testing.assert_allclose(images.mean((0, 2, 3)), 0, atol=2e-3)
    np.testing.assert_allclose(images.std((0, 2, 3)), 1, atol=2e-3)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The example's folder as the current one, and in it a network that has been trained for an epoch."""
    for name in ("torch", "onnxscript"):
        pytest.importorskip(name, reason=f"needs {name}: pip install torch onnxscript safetensors")
    for each in FOLDER.iterdir():
        if each.is_file():
            shutil.copy(each, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    archive(Path("cifar.tar.gz"))
    words = ("--net", "vgg16_tiny", "--data", "cifar.tar.gz", "--epochs", "1", "--batch", "16", "--rate", "0.01")
    result = subprocess.run([sys.executable, "train.py", *words], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    yield result.stdout
    sys.modules.pop("nets", None)


def test_recovery(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--weights", "build/weights.pt", "--input", "image: 1x3x32x32", "--dynamic", "batch", "-o", "build/small")
    sets = ("--set", "epochs=1", "--set", "remaining=70%", "--set", "align=2")
    status = run(["recover.opt", "nets.py:vgg16_tiny", *given, *sets])
    assert status == 0, capsys.readouterr().err
    report = json.loads(Path("build/small/report.json").read_text())
    steps = {each["name"]: each for each in report["steps"]}
    assert steps["prune_channels"]["changes"] and steps["recover"]["notes"][0].startswith("trained 1 epoch of ")
    quantized = Counter(node.op_type for node in onnx.load("build/small/model.onnx").graph.node)
    assert quantized["QuantizeLinear"] > 10 and quantized["BatchNormalization"] == 0


def test_from_training_to_an_engine(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT for RTX, which is built for x86-64 alone")
    assert "epoch   1 of 1: loss " in trained and f" of {IMAGES} images" in trained

    given = ("--weights", "build/weights.pt", "--input", "image: 1x3x32x32", "--dynamic", "batch", "-o", "build/engine")
    status = run(["cifar10.opt", "nets.py:vgg16_tiny", *given, "--set", "batch=1..2..4"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    exported, compiled = (onnx.load(f"build/{each}") for each in ("engine.exported.onnx", "engine/model.onnx"))
    operators = [Counter(node.op_type for node in each.graph.node) for each in (exported, compiled)]
    assert [each["BatchNormalization"] for each in operators] == [13, 0]
    report = json.loads(Path("build/engine/report.json").read_text())
    assert [each["name"] for each in report["steps"]] == ["simplify", "fold_batch_norm", "quantize"]
    assert report["requirements"][0]["outcome"] == "held"
    undone = report["requirements"][1]["outcome"] == "rolled back"
    assert (operators[1]["QuantizeLinear"] == 0) == undone == report["steps"][2]["undone"]
    assert Path("build/engine/model.engine").stat().st_size > 0
