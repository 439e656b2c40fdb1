"""Engines built again from their sidecars, with TensorRT RTX itself."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from vggc.diagnostics import CompileError
from vggc.graph import Graph
from vggc.graph.extras import annotate
from vggc.targets.contract import Lowering
from vggc.targets.engine_file import read_sidecar
from vggc.targets.onnx import onnx as onnx_target
from vggc.targets.rebuild import rebuild
from vggc.targets.tensorrt import tensorrt_rtx
from vggc.values import Bytes, Interval

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel for this platform"
)

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]
Build = Callable[..., Path]


@pytest.fixture
def build(make_graph: GraphMaker, lower: LoweringMaker) -> Build:
    """An engine beside its model; the path of its sidecar."""

    def make(size: str = "2", external: bool = False, **options: Any) -> Path:
        random = np.random.default_rng(0)
        graph = make_graph(
            f"g (float[{size},32,6,6] x) => (float[{size},32,6,6] y) {{ [conv] c = Conv(x, w) [relu] y = Relu(c) }}",
            w=random.uniform(-1, 1, (32, 32, 1, 1)).astype(np.float32),
        )
        annotate(graph.nodes[0], {"vggc.line": "net.opt:3", "vggc.pass": "fold_batch_norm", "vggc.from": "conv, bn"})
        lowering = lower(graph)
        onnx_target(lowering, external=external)
        tensorrt_rtx(lowering, **options)
        return lowering.directory / "model.engine.json"

    return make


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tf32": False, "compute": ["sm89", "sm86"], "weight_streaming": True, "workspace": Bytes(1 << 28)},
        {"external": True},
    ],
)
def test_a_fixed_model_builds_byte_for_byte_the_same(build: Build, options: dict[str, Any]) -> None:
    made = rebuild(read_sidecar(build(**options)))
    assert made.same
    assert (made.model.name, made.excuse) == ("model.onnx", "")


def test_a_model_whose_shapes_vary_may_differ(build: Build) -> None:
    made = rebuild(read_sidecar(build("N", batch=[1, Interval((1, 4, 8))])))
    assert made.excuse == "TensorRT RTX does not build the same bytes twice when shapes vary"


def test_what_was_recorded_decides(build: Build) -> None:
    path = build(compute=["sm86"])
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "compute_capabilities": ["sm89"]}))
    assert not rebuild(read_sidecar(path)).same


def refused(path: Path, model: Path | None = None) -> str:
    with pytest.raises(CompileError) as error:
        rebuild(read_sidecar(path), model)
    return error.value.diagnostics[0].message


def test_another_model(build: Build, tmp_path: Path) -> None:
    path = build()
    model = path.with_name("model.onnx")
    other = tmp_path / "other.onnx"
    proto = onnx.load(model)
    proto.doc_string = "another"
    onnx.save(proto, other)
    assert refused(path, other).startswith(f"`{other}` is not the model that the engine was built from")
    model.rename(tmp_path / "elsewhere.onnx")
    assert refused(path).startswith(f"`{path.parent}` does not contain the model that the engine was built from")
    assert rebuild(read_sidecar(path), tmp_path / "elsewhere.onnx").same


def test_other_weights(build: Build) -> None:
    path = build(external=True)
    data = path.with_name("model.onnx.data")
    data.write_bytes(b"\0" * data.stat().st_size)
    assert refused(path).startswith("the weights of ")


def test_another_engine(build: Build) -> None:
    path = build()
    path.with_name("model.engine").write_bytes(b"ftrt")
    assert "is not the one that `model.engine.json` describes" in refused(path)


def test_another_release(build: Build) -> None:
    path = build()
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "version": "1.0.0.1"}))
    assert refused(path) == f"the engine was built with TensorRT RTX 1.0.0.1, but {values['version']} is installed"


def test_profiles_without_shapes(build: Build) -> None:
    path = build()
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "profiles": [{"x": {"min": [1]}}]}))
    assert refused(path).endswith("is not the sidecar of an engine: the profile of `x` has no shapes")
