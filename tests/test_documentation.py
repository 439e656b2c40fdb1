"""The documents tell the truth: their links lead somewhere, their make targets exist, their recipes parse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vggc.grammar.parser import parse
from vggc.source import Source

ROOT = Path(__file__).parents[1]
FOLDERS = (".", "docs", "examples", "recipes", "benchmarks")
DOCUMENTS = sorted(
    {each for folder in FOLDERS for each in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")}
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"\bmake ([a-z]+)\b")
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)

EACH_DOCUMENT = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(path: Path, language: str) -> list[str]:
    """The fenced code blocks of a document that are marked with this language."""
    return [body for marked, body in FENCE.findall(path.read_text(encoding="utf-8")) if marked == language]


@EACH_DOCUMENT
def test_links_lead_to_files(path: Path) -> None:
    links = [each for each in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in each]
    broken = [each for each in links if not (path.parent / each.partition("#")[0]).exists()]
    assert not broken


@EACH_DOCUMENT
def test_make_targets_exist(path: Path) -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    named = {target for block in blocks(path, "sh") for target in MAKE.findall(block)}
    assert named <= targets


def test_readme_names_its_two_commands() -> None:
    commands = [line.split("#")[0].strip() for line in blocks(ROOT / "README.md", "sh")[0].splitlines()]
    assert commands == ["make demo", "make test"]


@pytest.mark.parametrize("recipe", blocks(ROOT / "README.md", "opt"))
def test_readme_recipes_parse(recipe: str) -> None:
    assert parse(Source("README.md", recipe)).statements


def test_readme_shows_the_recipe_of_the_example() -> None:
    shipped = (ROOT / "examples" / "digits" / "digits.opt").read_text(encoding="utf-8")
    assert blocks(ROOT / "README.md", "opt")[0] == shipped


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.opt")), ids=lambda path: path.name)
def test_recipe_says_what_it_buys_and_costs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert parse(Source(path.name, text)).statements
    opening = text.split("\n\n")[0]
    assert all(line.startswith("#") for line in opening.splitlines())
    assert re.search(r"^# Buys ", opening, re.MULTILINE)
    assert re.search(r"^# Costs ", opening, re.MULTILINE)
