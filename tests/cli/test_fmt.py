"""`vggc fmt`: recipes formatted in place, or only looked at."""

from __future__ import annotations

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
