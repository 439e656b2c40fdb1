"""`recover(student=...)` trains a PyTorch module towards the model as read, and puts its graph in the place of it."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from vggc.cli.main import run
from vggc.data import ArrayDataset
from vggc.diagnostics import CompileError
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.passes.recover import recover
from vggc.rewrite import Context

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("onnxscript") is None,
    reason="needs PyTorch: pip install torch onnxscript safetensors",
)

SMALL = """
from torch import nn

def small(classes=5):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))

def other():
    return small(7)
"""
RECIPE = """
data calib = npz("calib.npz")
recover(data=calib, student="small_nets.py:small", epochs=20, rate=3e-2, statistics=learn, batch=32)
fold_batch_norm
target onnx
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, networks):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "small_nets.py").write_text(SMALL)
    networks.residual_blocks_with_projection(2).save(tmp_path / "model.onnx")
    np.savez(tmp_path / "calib.npz", x=np.random.default_rng(0).standard_normal((256, 3, 8, 8), np.float32))
    yield tmp_path
    sys.modules.pop("small_nets", None)


def test_a_student_takes_the_place(folder, capsys):
    (folder / "recipe.opt").write_text(RECIPE)
    assert run(["recipe.opt", "model.onnx", "-o", "out", "-q", "--no-cache"]) == 0, capsys.readouterr().err
    step = json.loads((folder / "out/report.json").read_text())["steps"][0]
    assert step["changes"]["put the student in the graph's place"] == 1
    original, student = Graph.load(folder / "model.onnx"), Graph.load(folder / "out/model.onnx")
    assert [value.name for value in student.outputs] == [value.name for value in original.outputs]
    assert [node.op for node in student.nodes].count("Conv") == 2
    x = np.random.default_rng(1).standard_normal((64, 3, 8, 8), np.float32)
    wanted, found = (next(iter(Session(each).run({"x": x}).values())) for each in (original, student))
    assert np.square(wanted - found).mean() < 0.1 * wanted.var()


def test_a_student_with_other_outputs(folder):
    from vggc.pytorch.student import student_graph

    original = Graph.load(folder / "model.onnx")
    data = ArrayDataset({"x": np.zeros((64, 3, 8, 8), np.float32)}, None, "zeros")
    context = Context(original=original.copy, cache=lambda: None, student=student_graph)
    with pytest.raises(CompileError, match=r"the outputs of `small_nets\.py:other` are not those of the model as read"):
        recover(original.copy(), data=data, student="small_nets.py:other", context=context)
    with pytest.raises(CompileError, match="`student` works in recipes"):
        recover(original.copy(), data=data, student="small_nets.py:small", context=Context(original=original.copy))
