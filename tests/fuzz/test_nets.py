"""The random nets of the fuzzer are valid, and what judges their compiles sees what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np
import onnx
import pytest


@pytest.fixture
def nets(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import nets

    yield nets
    del sys.modules["nets"]


@pytest.mark.parametrize("seed", range(25))
def test_random_nets_are_valid_and_run(nets: ModuleType, tmp_path: Path, seed: int) -> None:
    model, samples, recipe = nets.whole(Random(seed), lossy=seed % 2 == 1)
    onnx.checker.check_model(model, full_check=True)
    (tmp_path / "out").mkdir()
    for place in ("model.onnx", "out/model.onnx"):
        onnx.save(model, tmp_path / place)
    np.savez(tmp_path / "calib.npz", x=samples)
    assert nets.problem(tmp_path, lossy=False) == ""
    assert "target onnx" in recipe


@pytest.mark.parametrize(
    ("factor", "lossy", "words"),
    [(1.01, False, "an exact recipe moved an output"), (1.01, True, ""), (np.nan, True, "NaN or infinite")],
)
def test_what_is_wrong_is_seen(nets: ModuleType, tmp_path: Path, factor: float, lossy: bool, words: str) -> None:
    model, samples, _ = nets.whole(Random(3), lossy=False)
    (tmp_path / "out").mkdir()
    onnx.save(model, tmp_path / "model.onnx")
    name = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["inner" if each == name else each for each in node.output]
        node.input[:] = ["inner" if each == name else each for each in node.input]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(factor, np.float32), "factor"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["inner", "factor"], [name]))
    onnx.save(model, tmp_path / "out/model.onnx")
    np.savez(tmp_path / "calib.npz", x=samples)
    found = nets.problem(tmp_path, lossy=lossy)
    assert words in found and bool(found) == bool(words)
