"""The model with its session: the program beside it is run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from vggc.diagnostics import CompileError
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.targets.contract import Lowering
from vggc.targets.onnxruntime import LEVELS, PROVIDERS, onnxruntime

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]


@pytest.fixture
def net(make_graph: GraphMaker) -> Graph:
    weights = np.random.default_rng(0).uniform(-1, 1, (4, 5)).astype(np.float32)
    text = (
        "g (float[N,4] x, float b) => (float[N,5] y, float[N,4] file) { m = MatMul(x, w) y = Add(m, b) file = Relu(x) }"
    )
    return make_graph(text, w=weights)


def test_the_runner_gives_what_the_model_gives(net: Graph, lower: LoweringMaker, tmp_path: Path) -> None:
    lowering = lower(net)
    artifacts = onnxruntime(lowering, threads=1, spin=False, optimization="basic")
    assert [each.path for each in artifacts] == [
        f"onnxruntime/{each}" for each in ("model.onnx", "session.json", "run.py")
    ]
    feeds = {"x": np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32), "b": np.float32(2)}
    np.savez(tmp_path / "in.npz", **feeds)
    # From another folder: the program finds what stands beside it.
    command = [sys.executable, lowering.directory / "onnxruntime/run.py", "in.npz", "out.npz"]
    subprocess.run(command, cwd=tmp_path, check=True)
    expected = Session(net).run({name: np.asarray(each) for name, each in feeds.items()})
    with np.load(tmp_path / "out.npz") as found:
        assert set(found) == {"y", "file"}
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-6)


def test_the_sessions_options(net: Graph, lower: LoweringMaker) -> None:
    lowering = lower(net)
    onnxruntime(lowering, providers=["cuda", "cpu"], threads=3, spin=False, optimization="extended", folder="serve")
    assert json.loads((lowering.directory / "serve/session.json").read_text()) == {
        "model": "model.onnx",
        "providers": ["CUDAExecutionProvider", "CPUExecutionProvider"],
        "graph_optimization_level": "ORT_ENABLE_EXTENDED",
        "intra_op_num_threads": 3,
        "config": {"session.intra_op.allow_spinning": "0"},
        "inputs": [{"name": "x", "type": "float32", "shape": ["N", 4]}, {"name": "b", "type": "float32", "shape": []}],
        "outputs": [
            {"name": "y", "type": "float32", "shape": ["N", 5]},
            {"name": "file", "type": "float32", "shape": ["N", 4]},
        ],
    }


def test_the_names_are_onnxruntimes() -> None:
    assert set(PROVIDERS.values()) <= set(ort.get_all_providers())
    assert all(hasattr(ort.GraphOptimizationLevel, each) for each in LEVELS.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"providers": []}, "providers=[] runs nowhere"),
        ({"providers": ["cpu", "cpu"]}, "`cpu` stands twice in providers"),
        ({"folder": "../up"}, "`../up` is not a file name"),
    ],
)
def test_options_that_make_no_sense(net: Graph, lower: LoweringMaker, options: dict[str, Any], message: str) -> None:
    lowering = lower(net)
    with pytest.raises(CompileError) as error:
        onnxruntime(lowering, **options)
    assert [each.message for each in error.value.diagnostics] == [message]
    assert list(lowering.directory.iterdir()) == []


def test_a_folder_that_is_taken(net: Graph, lower: LoweringMaker) -> None:
    lowering = lower(net)
    onnxruntime(lowering)
    with pytest.raises(CompileError, match="two targets write the folder `onnxruntime`"):
        onnxruntime(lowering)
