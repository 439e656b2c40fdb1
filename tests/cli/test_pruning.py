"""Recipes that prune, as the command runs them: reports, provenance in the model, messages at the recipe's line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest

from vggc.execution.session import Session
from vggc.graph import Graph

Write = Callable[[str], str]


@pytest.fixture
def files(vggc: Any, networks: ModuleType) -> None:
    """A residual network as `net.onnx`, and `calib.npz` with 48 samples and labels for it."""
    networks.residual_blocks_with_projection(2).save(Path("net.onnx"))
    random = np.random.default_rng(0)
    np.savez("calib.npz", x=random.standard_normal((48, 3, 8, 8), np.float32), y=random.integers(0, 5, 48))


def steps(folder: str = "out") -> list[Any]:
    found: list[Any] = json.loads(Path(folder, "report.json").read_text())["steps"]
    return found


def error(left: str, right: str) -> float:
    x = np.random.default_rng(1).standard_normal((16, 3, 8, 8), np.float32)
    one, other = (next(iter(Session(Path(each)).run({"x": x}).values())) for each in (left, right))
    return float(np.square(one - other).mean() / one.var())


def test_a_whole_pruning_recipe(vggc: Any, recipe: Write, files: None) -> None:
    text = """\
data calib = npz("calib.npz", label="y")
simplify
remove_dead_channels
prune_channels(macs=50%, data=calib, align=2)
require macs <= 50% of original
fold_batch_norm
sparsify(data=calib, smallest=8)
"""
    ran = vggc(recipe(text), "net.onnx", "-o", "out", "--verify", "each")
    assert ran.status == 0
    assert all(line.startswith("declined: sparsify: Conv") for line in ran.err.splitlines())
    _, dead, pruned, _, sparse = steps()
    assert dead["changes"] == {}
    assert pruned["changes"]["remove channels"] > 0 and pruned["changes"]["solve weights"] > 0
    assert pruned["after"]["macs"] <= 0.5 * pruned["before"]["macs"]
    assert any(each.startswith("2:4 zeros in Conv") for each in sparse["changes"])
    # The report and the nodes themselves say which of the old channels are left.
    model = onnx.load("out/model.onnx")
    onnx.checker.check_model(model, full_check=True)
    known = {each.key: each.value for node in model.graph.node for each in node.metadata_props if node.name == "Conv_3"}
    assert len(pruned["channels"]["Conv_3"]) < 12
    assert known["vggc.channels"].split(", ")[0].split("-")[0] == str(pruned["channels"]["Conv_3"][0])
    assert known["vggc.pass"] == "sparsify" or "vggc.sparsity" not in known


def test_reconstruct_knows_the_model_as_read(vggc: Any, recipe: Write, files: None) -> None:
    pruning = 'data calib = npz("calib.npz", label="y")\nprune_channels(keep=60%, importance=l2, align=1)\n'
    assert vggc(recipe(pruning), "net.onnx", "-o", "pruned").status == 0
    mended = f"{pruning}fold_batch_norm\nreconstruct(data=calib)\n"
    assert vggc(recipe(mended), "net.onnx", "-o", "out").status == 0
    assert steps()[-1]["changes"]["solve weights"] > 0
    assert error("net.onnx", "out/model.onnx") < 0.3 * error("net.onnx", "pruned/model.onnx")


def test_a_rollback_brings_the_model_as_read_back(vggc: Any, recipe: Write, files: None) -> None:
    text = """\
data calib = npz("calib.npz", label="y")
prune_channels(keep=20%, importance=l1, align=1)
require params >= 90% of original else rollback
reconstruct(data=calib)
"""
    assert vggc(recipe(text), "net.onnx", "-o", "out").status == 0
    pruned, again = steps()
    assert pruned["undone"]
    # Of the model as read, which it is again, nothing is to be mended.
    assert again["changes"] == {}
    assert error("net.onnx", "out/model.onnx") == 0


def test_a_wrong_budget_is_told_at_its_line(vggc: Any, recipe: Write, files: None) -> None:
    ran = vggc(recipe("simplify\nprune_channels(macs=5%)"), "net.onnx", "-o", "out")
    expected = """\
error: pruning cannot bring the MACs down to 5%: the least it can reach is 38.3% [VGGC509]
 --> recipe.opt:2:1
  |
2 | prune_channels(macs=5%)
  | ^^^^^^^^^^^^^^^^^^^^^^^
  = note: every group at its narrowest: 38.3% of the MACs
  = kept: Gemm `Gemm_100`, 5 channels: it is the graph output `gemm99`
help: with align=2 it can reach 3.2%
"""
    assert (ran.status, ran.err) == (1, expected)
    assert not Path("out").exists()


def test_a_plan_shows_what_pruning_would_do(vggc: Any, recipe: Write, files: None) -> None:
    ran = vggc("plan", recipe("prune_channels(params=50%, align=2)"), "net.onnx")
    assert ran.status == 0
    assert "remove channels" in ran.out


def test_dynamic_batches_come_through(vggc: Any, recipe: Write, files: None) -> None:
    assert vggc(recipe("prune_channels(params=50%, align=2)\nset_batch(dynamic)"), "net.onnx", "-o", "out").status == 0
    graph = Graph.load(Path("out/model.onnx"))
    for count in (1, 7):
        (found,) = Session(graph).run({"x": np.zeros((count, 3, 8, 8), np.float32)}).values()
        assert found.shape == (count, 5)
