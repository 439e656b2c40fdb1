"""docs/pruning.md: its recipes bind, one of them prunes the example, its table is that of the passes' options."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from vggc.binding import bind
from vggc.binding.modules import import_file
from vggc.cli.main import run
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.pruning.selection import Importance

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pruning.md").read_text(encoding="utf-8")
documents = import_file(Path(__file__).parent / "documents.py")
DIGITS = ROOT / "examples" / "digits"


@pytest.mark.parametrize(
    "text", documents.blocks(ROOT / "docs/pruning.md", "opt"), ids=lambda text: text.splitlines()[0]
)
def test_its_recipes_bind(tmp_path: Path, text: str) -> None:
    for name in ("calib.npz", "test.npz"):
        (tmp_path / name).touch()
    assert bind(parse(Source(str(tmp_path / "page.opt"), text))).targets


def test_the_ready_recipe_prunes_the_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.load(DIGITS / "calib.npz")["image"][:96]
    np.savez(tmp_path / "few.npz", image=images)
    assert "vggc:prune.opt model.onnx --set samples=/path/to/images --set remaining=25%" in PAGE
    given = ["--set", f"samples={tmp_path / 'few.npz'}", "--set", "remaining=25%"]
    out = tmp_path / "out"
    status = run([str(ROOT / "recipes" / "prune.opt"), str(DIGITS / "digits_vgg.onnx"), "-o", str(out), *given])
    assert status == 0, capsys.readouterr().err
    steps = json.loads((out / "report.json").read_text())["steps"]
    assert 0.2 < steps[-1]["after"]["macs"] / steps[0]["before"]["macs"] <= 0.25


def test_every_importance_is_on_the_page() -> None:
    listed = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|.*\| [^|]* \|$", PAGE.split("## Importance")[1], re.MULTILINE)
    assert {name.strip("`") for row in listed for name in row.split(", ")} == set(get_args(Importance))
