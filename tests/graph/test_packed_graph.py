"""A packed graph is made again exactly: what a pass sees in it, and what is written of it."""

from __future__ import annotations

from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from vggc.binding.modules import import_file
from vggc.diagnostics import CompileError
from vggc.graph import Graph
from vggc.graph.packed_graph import pack, unpack
from vggc.graph.snapshot import Snapshot
from vggc.passes.simplify import simplify
from vggc.rewrite import Declined

TESTS = Path(__file__).parents[1]
cases = import_file(TESTS / "cases.py")
LIMIT = 1 << 30
fixtures = import_file(TESTS / "passes" / "test_fixtures.py")


def again(graph: Graph, model: Path = Path("absent.onnx")) -> Graph:
    """The graph after packing. Fails when it cannot be packed."""
    parts = pack(graph, model, LIMIT)
    assert parts is not None
    return unpack(memoryview(b"".join(parts)), model)


def written(graph: Graph, path: Path) -> bytes:
    graph.save(path)
    return path.read_bytes()


@pytest.mark.parametrize("file", sorted((TESTS / "passes").glob("*.txt")), ids=lambda file: file.stem)
def test_every_graph_of_the_fixtures(file: Path, tmp_path: Path) -> None:
    for case in cases.read_cases(file):
        graph = Graph.from_model(cases.parse(case))
        graph.infer_shapes()
        for step in (False, True):
            if step:
                try:
                    with graph.stamping({"vggc.line": "r.opt:3", "vggc.pass": case.name}):
                        fixtures.apply(case, graph)
                except (CompileError, Declined):
                    break
            copy = again(graph)
            assert Snapshot(copy) == Snapshot(graph), case.title
            assert written(copy, tmp_path / "copy.onnx") == written(graph, tmp_path / "net.onnx"), case.title
            assert copy.fresh_name("x") == graph.fresh_name("x")
            assert copy._taken == graph._taken


def test_every_kind_of_network(networks: Any, tmp_path: Path) -> None:
    makers = [each for each in vars(networks).values() if isinstance(each, FunctionType) and each.__defaults__ == (1,)]
    assert len(makers) >= 10
    for make in makers:
        graph = make()
        simplify(graph)
        graph.tidy()
        assert written(again(graph), tmp_path / "copy.onnx") == written(graph, tmp_path / "net.onnx"), make.__name__


TEXT = """
<ir_version: 8, opset_import: ["": 17]> g (float[N,8] x) => (float[M,8] y) <float[8,256] w, float[256,8] u>
{
   a = MatMul (x, w)
   b = MatMul (a, u)
   c = Elu <alpha = 0.1> (b)
   n = NonZero (c)
   y = Gather (c, n)
}
"""


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A model in a file, with two large weights."""
    model = onnx.parser.parse_model(TEXT)
    for name, shape in (("w", (8, 256)), ("u", (256, 8))):
        values = np.random.default_rng(0).standard_normal(shape, np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    onnx.save(model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


@pytest.mark.parametrize("external", [False, True])
def test_weights_that_nobody_changed_stay_in_the_model(stored: Path, external: bool, tmp_path: Path) -> None:
    Graph.load(stored).save(tmp_path / "other.onnx", external=external)
    graph = Graph.load(tmp_path / "other.onnx")
    graph.infer_shapes()
    parts = pack(graph, tmp_path / "other.onnx", LIMIT)
    assert parts is not None
    assert sum(map(len, parts)) < 8 * 256 * 4
    graph.set_input(graph.nodes[0], 1, graph.constant(np.ones((8, 256), np.float32)))
    graph.tidy()
    changed = pack(graph, tmp_path / "other.onnx", LIMIT)
    assert changed is not None
    assert 8 * 256 * 4 < sum(map(len, changed)) < 2 * 8 * 256 * 4
    copy = unpack(memoryview(b"".join(changed)), tmp_path / "other.onnx")
    assert written(copy, tmp_path / "copy.onnx") == written(graph, tmp_path / "net2.onnx")


def test_what_onnx_does_not_hold(stored: Path) -> None:
    graph = Graph.load(stored)
    graph.infer_shapes()
    graph.nodes[2].attrs["alpha"] = 0.1
    invented = [value.shape for node in graph.nodes for value in node.outputs]
    assert any(str(size).startswith("unk__") for shape in invented for size in shape or ())
    graph.fresh_name("gone")
    copy = again(graph, stored)
    assert copy.nodes[2].attrs["alpha"] == 0.1 != float(np.float32(0.1))
    assert [value.shape for node in copy.nodes for value in node.outputs] == invented
    assert copy.fresh_name("gone") == "gone_1"


def test_a_graph_that_would_come_back_otherwise_is_not_packed(stored: Path) -> None:
    graph = Graph.load(stored)
    graph.nodes[2].attrs["alpha"] = np.float32(0.1)
    assert pack(graph, stored, LIMIT) is None


def test_a_graph_beyond_the_limit_is_not_packed(stored: Path) -> None:
    graph = Graph.load(stored)
    graph.set_input(graph.nodes[0], 1, graph.constant(np.ones((8, 256), np.float32)))
    graph.tidy()
    assert pack(graph, stored, 8 * 256 * 4) is not None
    assert pack(graph, stored, 8 * 256 * 4 - 1) is None
