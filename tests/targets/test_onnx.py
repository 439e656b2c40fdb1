"""The target `onnx`: one file, or two where the weights stand apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from vggc.diagnostics import CompileError
from vggc.graph import Graph, writer
from vggc.pipeline.output_folder import output_folder
from vggc.targets.contract import Lowering
from vggc.targets.onnx import onnx as onnx_target

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]
WEIGHTS = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)


@pytest.fixture
def product(make_graph: GraphMaker, tmp_path: Path) -> Graph:
    """A product with weights that are still in the model's file."""
    graph = make_graph("g (float[2,64] x) => (float[2,64] y) { y = MatMul(x, w) }", w=WEIGHTS)
    graph.save(tmp_path / "source.onnx")
    return Graph.load(tmp_path / "source.onnx")


def weights(path: Path) -> np.ndarray:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    return onnx.numpy_helper.to_array(model.graph.initializer[0])


def test_one_file(product: Graph, lower: LoweringMaker) -> None:
    lowering = lower(product)
    [artifact] = onnx_target(lowering)
    data = (lowering.directory / "model.onnx").read_bytes()
    assert (artifact.path, artifact.target, artifact.bytes) == ("model.onnx", "onnx", len(data))
    assert artifact.sha256 == hashlib.sha256(data).hexdigest()
    np.testing.assert_array_equal(weights(lowering.directory / "model.onnx"), WEIGHTS)


def test_external_data(product: Graph, lower: LoweringMaker) -> None:
    lowering = lower(product)
    model, data = onnx_target(lowering, external=True, name="net.onnx")
    assert (model.path, data.path) == ("net.onnx", "net.onnx.data")
    assert data.bytes >= WEIGHTS.nbytes > model.bytes
    for each in (model, data):
        assert each.sha256 == hashlib.sha256((lowering.directory / each.path).read_bytes()).hexdigest()
    np.testing.assert_array_equal(weights(lowering.directory / "net.onnx"), WEIGHTS)


def test_what_no_message_can_hold_stands_apart(
    product: Graph, lower: LoweringMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PROTOBUF_LIMIT", WEIGHTS.nbytes)
    lowering = lower(product)
    assert [each.path for each in onnx_target(lowering)] == ["model.onnx", "model.onnx.data"]
    np.testing.assert_array_equal(weights(lowering.directory / "model.onnx"), WEIGHTS)


def test_two_onnx_targets_need_two_names(product: Graph, lower: LoweringMaker) -> None:
    lowering = lower(product)
    onnx_target(lowering)
    with pytest.raises(CompileError, match=r"two targets write the file `model\.onnx`"):
        onnx_target(lowering, external=True)
    assert onnx_target.files({}) == ("model.onnx", "model.onnx.data")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk(product: Graph, tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="no space left on the disk"), output_folder(tmp_path / "net") as folder:
        (folder / "model.onnx").symlink_to("/dev/full")
        product.save(folder / "model.onnx")
    assert not (tmp_path / "net").exists()
