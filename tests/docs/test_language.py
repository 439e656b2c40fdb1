"""docs/language.md tells the truth: its recipes parse, and its lists are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vggc.binding.modules import import_file
from vggc.diagnostics.source import Source
from vggc.grammar.brackets import MAX_NESTED
from vggc.grammar.keywords import KEYWORDS
from vggc.grammar.outline import MAX_STATEMENTS
from vggc.grammar.parser import MAX_STATEMENT, parse
from vggc.grammar.tree import ACTIONS, MAX_DIGITS, UNITS

DOCUMENT = Path(__file__).parents[2] / "docs" / "language.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
documents = import_file(Path(__file__).parent / "documents.py")
RECIPES = documents.blocks(DOCUMENT, "opt")


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 8


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.splitlines()[0][:40])
def test_recipe_parses(recipe: str) -> None:
    assert parse(Source("language.md", recipe)).statements


def test_keywords_are_listed() -> None:
    listed = re.search(r"Keywords are `([a-z ]+)`", TEXT)
    assert listed
    assert set(listed[1].split()) == KEYWORDS


def test_units_and_actions_are_listed() -> None:
    assert " | ".join(f'"{each}"' for each in UNITS) in TEXT
    assert all(f"`{each}`" in TEXT for each in ACTIONS)


def test_limits_are_true() -> None:
    limits = re.search(r"Limits: .*\Z", TEXT, re.DOTALL)
    assert limits
    numbers = {int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*\d", limits[0])}
    assert numbers == {MAX_STATEMENTS, MAX_STATEMENT, MAX_DIGITS, MAX_NESTED}
