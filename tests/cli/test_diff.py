"""`vggc diff`: two models side by side in the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper


def plant(node: str, weight: str, factor: float) -> None:
    """Write other.onnx: model.onnx with a weight scaled."""
    model = onnx.load("model.onnx")
    (tensor,) = [each for each in model.graph.initializer if each.name == weight]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), weight))
    onnx.save(model, "other.onnx")


def test_it_names_the_first_node_that_diverges(vggc: Any) -> None:
    vggc("passes")
    plant("conv", "w", 2)
    ran = vggc("diff", "model.onnx", "other.onnx")
    assert ran.status == 0
    *_, verdict, reason = ran.out.splitlines()
    assert verdict.startswith("first to diverge: `c` of Conv `conv`: relative error 1: ")
    assert reason.startswith("  input 1 `w`: relative error 1: ")
    assert "7 intermediate values compared, 7 diverge" in ran.out


def test_a_model_beside_itself(vggc: Any) -> None:
    ran = vggc("diff", "model.onnx", "model.onnx")
    assert ran.status == 0
    assert "structure: the same\n" in ran.out
    assert ran.out.endswith("\nboth models compute the same\n")


def test_a_compiled_model_tells_what_its_steps_made(vggc: Any, recipe: Callable[[str], str]) -> None:
    assert vggc(recipe("fold_batch_norm"), "model.onnx", "-o", "out").status == 0
    ran = vggc("diff", "model.onnx", "out/model.onnx")
    rows = [line.split() for line in ran.out.splitlines()]
    assert ["BatchNormalization", "1", "0"] in rows
    assert ["from", "recipe.opt:1", "fold_batch_norm", "0", "1"] in rows
    assert ran.out.endswith("both models compute the same\n")


def test_it_runs_on_samples(vggc: Any, tmp_path: Path) -> None:
    vggc("passes")
    plant("head", "fw", 2)
    np.savez("test.npz", x=np.ones((20, 3, 8, 8), np.float32))
    for given in ("test.npz", 'npz("test.npz")'):
        ran = vggc("diff", "model.onnx", "other.onnx", "--data", given, "--samples", "5")
        assert "output, on the first 5 samples " in ran.out
        assert "first to diverge: `logits` of Gemm `head`" in ran.out


def test_json_has_every_value(vggc: Any) -> None:
    told = json.loads(vggc("diff", "model.onnx", "model.onnx", "--json").out)
    assert (told["a"], told["b"]) == ("model.onnx", "model.onnx")
    assert [each["before"] for each in told["numbers"]["values"]] == ["c", "n", "r", "i", "p", "f", "logits"]
    assert told["numbers"]["first"] is None


def test_what_cannot_be_read_is_told(vggc: Any) -> None:
    ran = vggc("diff", "model.onnx", "nowhere.onnx")
    assert (ran.status, ran.err) == (
        1,
        "error: cannot read the model `nowhere.onnx`: No such file or directory [VGGC401]\n",
    )
    ran = vggc("diff", "model.onnx", "model.onnx", "--data", "nowhere.npz")
    assert ran.status == 1
    assert "nowhere.npz" in ran.err and "--data:1" in ran.err
    assert vggc("diff", "model.onnx", "model.onnx", "--data", "simplify").status == 1
