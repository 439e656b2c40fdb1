"""One recipe over many models."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from vggc.binding.modules import import_file
from vggc.cli.main import run

small_model = import_file(Path(__file__).parents[1] / "cli" / "conftest.py").small_model

RECIPE = "fold_batch_norm\nrequire nodes <= 6\nminimize size\ntarget onnx\n"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three models, two of which have the same name."""
    monkeypatch.chdir(tmp_path)
    Path("sweep.opt").write_text(RECIPE)
    names = ["a.onnx", "b.onnx", "deeper/a.onnx"]
    Path("deeper").mkdir()
    for seed, name in enumerate(names):
        onnx.save(small_model(seed), name)
    return names


@pytest.mark.parametrize("on", ["here", "processes=2"])
def test_each_model_has_a_folder_and_a_row(models: list[str], on: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", "sweep.opt", *models, "--on", on]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[1:4]] == models
    assert all(word in out.splitlines()[0] for word in ("nodes <= 6", "size", "outcome"))
    folders = ["a", "b", "a-2"]
    assert all(Path("build/sweep-sweep", each, "model.onnx").is_file() for each in folders)
    rows = json.loads(Path("build/sweep-sweep/sweep.json").read_text())["models"]
    assert [each["model"] for each in rows] == models
    assert [Path(each["folder"]).name for each in rows] == folders


def test_a_model_that_fails_does_not_end_the_others(models: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("b.onnx").write_bytes(b"no model")
    assert run(["sweep", "sweep.opt", *models]) == 1
    shown = capsys.readouterr()
    assert "1 of 3 models failed" in shown.err and "b.onnx" in shown.err
    assert [line.split()[-1] for line in shown.out.splitlines()[1:4]] == ["done", "failed", "done"]
    Path("sweep.opt").write_text(RECIPE.replace("<= 6", "<= 1"))
    assert run(["sweep", "sweep.opt", "a.onnx", "deeper/a.onnx"]) == 3
    assert "requirement not met: nodes <= 1" in capsys.readouterr().err


def test_wrong_input_ends_before_anything_runs(models: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", "sweep.opt", "a.onnx", "missing.onnx"]) == 1
    assert "there is no file `missing.onnx`" in capsys.readouterr().err
    Path("sweep.opt").write_text("fold_batchnorm\n")
    assert run(["sweep", "sweep.opt", *models]) == 1
    assert capsys.readouterr().err.count("unknown pass") == 1
    assert not Path("build").exists()
