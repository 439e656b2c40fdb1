"""`vggc fmt`: recipes formatted in place, or only looked at."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Write = Callable[[str], str]
UNTIDY = "simplify   # first\n\n\n\n  fold_batch_norm\ntarget   onnx( )\n"


def test_a_recipe_is_laid_out_in_place(vggc: Any, recipe: Write) -> None:
    path = recipe(UNTIDY)
    ran = vggc("fmt", path)
    assert (ran.status, ran.out) == (0, "formatted recipe.opt\n")
    text = Path(path).read_text()
    assert "simplify  # first\n" in text
    assert vggc("fmt", path).out == ""
    assert Path(path).read_text() == text


def test_check_changes_nothing(vggc: Any, recipe: Write) -> None:
    path = recipe(UNTIDY)
    ran = vggc("fmt", "--check", path)
    assert (ran.status, ran.out) == (1, "would format recipe.opt\n")
    assert Path(path).read_text() == UNTIDY


def test_a_wrong_recipe_is_left_alone(vggc: Any, recipe: Write) -> None:
    path = recipe("simplify(\ntarget onnx\n")
    assert vggc("fmt", path).status == 1
    assert Path(path).read_text() == "simplify(\ntarget onnx\n"


@pytest.mark.parametrize("name", ["fold.opt", "onnx.opt"])
def test_shipped_recipes_are_laid_out(vggc: Any, name: str) -> None:
    shipped = Path(__file__).parents[2] / "recipes" / name
    assert vggc("fmt", "--check", str(shipped)).status == 0


def test_diff_shows_what_would_change(vggc: Any, recipe: Write) -> None:
    ran = vggc("fmt", "--diff", recipe(UNTIDY))
    assert ran.status == 1
    lines = ran.out.splitlines()
    assert lines[:2] == ["--- recipe.opt", "+++ recipe.opt formatted"]
    assert "-simplify   # first" in lines and "+simplify  # first" in lines
    assert Path("recipe.opt").read_text() == UNTIDY
    Path("tidy.opt").write_text("simplify\ntarget onnx\n")
    tidy = vggc("fmt", "--diff", "tidy.opt")
    assert (tidy.status, tidy.out) == (0, "")


def piped(text: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vggc", *words], input=text, capture_output=True, text=True, check=False
    )


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tidy = piped(UNTIDY, "fmt", "-")
    assert (tidy.returncode, tidy.stderr) == (0, "")
    assert tidy.stdout.startswith("simplify  # first\n")
    assert piped(UNTIDY, "fmt", "-", "--check").returncode == 1
    right = piped("simplify\ntarget onnx\n", "check", "-", "--set", "keep=3")
    assert right.returncode == 1 and "error: the recipe has no parameter `keep` [VGGC152]\n" in right.stderr
    wrong = piped("simplfy\n", "check", "-")
    assert wrong.returncode == 1
    assert "error: unknown pass `simplfy` [VGGC121]\n --> <stdin>:1:1\n" in wrong.stderr
