"""The documents hold together: their links lead somewhere, their make targets exist, recipes say what they do."""

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


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.opt")), ids=lambda path: path.name)
def test_recipe_says_what_it_buys_and_costs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert parse(Source(path.name, text)).statements
    opening = text.split("\n\n")[0]
    assert all(line.startswith("#") for line in opening.splitlines())
    assert re.search(r"^# Buys ", opening, re.MULTILINE)
    assert re.search(r"^# Costs ", opening, re.MULTILINE)
