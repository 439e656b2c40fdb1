"""Graphs, lowerings and a stand-in for `tensorrt`, for the tests of targets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from vggc.graph import Graph
from vggc.targets import flavours
from vggc.targets.contract import Lowering, Provenance

PROVENANCE: Provenance = {
    "recipe": "net.opt",
    "recipe_sha256": "a" * 64,
    "parameters": {"keep": 0.5},
    "passes": ["simplify", "fold_batch_norm"],
    "source_sha256": "b" * 64,
    "calibration": {"calib": "c" * 64},
}

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]


@pytest.fixture
def make_graph() -> GraphMaker:
    """A graph from onnx.parser text: `g (float[3,4] x) => (float[3,4] y) { y = Relu(x) }`, and initializers."""

    def make(text: str, opset: int = 17, domains: str = "", **weights: Any) -> Graph:
        header = f'<ir_version: 10, opset_import: ["": {opset}{domains}]>'
        model = onnx.parser.parse_model(f"{header} {text}")
        for name, values in weights.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values), name))
        return Graph.from_model(model)

    return make


@pytest.fixture
def lower(tmp_path: Path) -> LoweringMaker:
    """A lowering of a graph into a folder of the test's own."""

    def make(graph: Graph) -> Lowering:
        folder = tmp_path / "staging"
        folder.mkdir(exist_ok=True)
        return Lowering(graph, "net", folder, PROVENANCE)

    return make


@pytest.fixture
def fake_tensorrt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """The stand-in for `tensorrt`, installed; calling the fixture says how the next build goes."""
    site = tmp_path / "site"
    information = site / "tensorrt-10.13.3.9.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorrt\nVersion: 10.13.3.9\n")
    package = Path(__file__).parent / "fake"
    for each in (site, package):
        monkeypatch.syspath_prepend(str(each))
    monkeypatch.setenv("PYTHONPATH", str(package))
    flavours.full_release.cache_clear()
    yield lambda behaviour: monkeypatch.setenv("FAKE_TENSORRT", behaviour)
    flavours.full_release.cache_clear()
    sys.modules.pop("tensorrt", None)
