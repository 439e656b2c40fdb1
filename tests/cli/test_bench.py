"""`vggc bench`: a table, a file, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree


def test_models_and_folders_side_by_side(vggc: Any, recipe: Callable[[str], str], tmp_path: Path) -> None:
    assert vggc(recipe("fold_batch_norm"), "model.onnx", "-o", "out").status == 0
    ran = vggc(
        "bench",
        "model.onnx",
        "out",
        "--batch",
        "1,2",
        "--seconds",
        "0.02",
        "--threads",
        "1",
        "--json",
        "b.json",
        "--plot",
        "b.svg",
    )
    assert ran.status == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].split() == ["model", "on", "batch", "p50", "p90", "p99", "samples/s", "memory", "error", "ratio"]
    rows = [line.split() for line in lines[1:5]]
    assert [(row[0], row[3]) for row in rows] == [
        ("model.onnx", "1"),
        ("out/model.onnx", "1"),
        ("model.onnx", "2"),
        ("out/model.onnx", "2"),
    ]
    picture = ElementTree.parse(tmp_path / "b.svg").getroot()
    assert len(picture.findall(".//{*}circle")) == 4
    assert any("batch 2" in (each.text or "") for each in picture.findall(".//{*}text"))
    assert [row[-1] for row in rows[::2]] == ["1.00x", "1.00x"]
    told = json.loads((tmp_path / "b.json").read_text())
    assert [(row["model"], row["batch"]) for row in told["rows"]] == [(row[0], int(row[3])) for row in rows]


def test_what_is_wrong_is_told_before_anything_runs(vggc: Any, tmp_path: Path) -> None:
    assert vggc("bench", "model.onnx", "--batch", "1,x").status == 2
    assert vggc("bench", "model.onnx", "--batch", "0").status == 2
    assert vggc("bench").status == 2
    ran = vggc("bench", "nowhere.onnx")
    assert (ran.status, ran.err) == (
        1,
        "error: cannot read the model `nowhere.onnx`: No such file or directory [VGGC401]\n",
    )
    (tmp_path / "empty").mkdir()
    ran = vggc("bench", "model.onnx", "empty")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("error: the folder `empty` contains neither a model nor an engine [VGGC902]\n")
    shutil.rmtree("empty")
