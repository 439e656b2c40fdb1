"""The recipes that train, on a small net."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from vggc.cli.main import run

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None, reason="needs PyTorch: pip install torch onnxscript safetensors"
)
RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(
    ("recipe", "more"), [("prune_recover", ["remaining=70%"]), ("prune_recover_int8", ["remaining=80%"]), ("qat", [])]
)
def test_recipe(tmp_path, networks, recipe, more, capsys):
    networks.residual_blocks_with_projection(4).save(tmp_path / "model.onnx")
    x = np.random.default_rng(0).standard_normal((128, 3, 8, 8), np.float32)
    np.savez(tmp_path / "calib.npz", x=x)
    given = ["epochs=2", f"samples={tmp_path / 'calib.npz'}", *more]
    options = [word for each in given for word in ("--set", each)]
    status = run(
        [str(RECIPES / f"{recipe}.opt"), str(tmp_path / "model.onnx"), "-o", str(tmp_path / "out"), "-q", *options]
    )
    assert status == 0, capsys.readouterr().err
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    (step,) = (each for each in report["steps"] if each["name"] == "recover")
    assert step["notes"][0].startswith("trained 2 epochs of ")
