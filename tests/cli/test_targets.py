"""`vggc targets`, and docs/targets.md, whose option tables are the targets' own docstrings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vggc.binding import bind
from vggc.binding.modules import import_file
from vggc.binding.registry import shipped
from vggc.cli.target_pages import option_tables
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse

documents = import_file(Path(__file__).parents[1] / "docs" / "documents.py")
DOCUMENT = Path(__file__).parents[2] / "docs/targets.md"
MARK = "--bless -->\n\n"


def test_the_option_tables_are_what_the_docstrings_say(bless: bool) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    head = text.partition(MARK)[0] + MARK
    if bless:
        DOCUMENT.write_text(head + option_tables(), encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == head + option_tables()


@pytest.mark.parametrize("recipe", documents.blocks(DOCUMENT, "opt"))
def test_the_recipes_of_the_document_can_be_bound(recipe: str) -> None:
    assert bind(parse(Source("targets.opt", recipe))).targets


def test_targets_are_listed(vggc: Any) -> None:
    lines = vggc("targets").out.splitlines()
    assert [line.split()[0] for line in lines[1:] if not line.startswith(" ")] == list(shipped().targets)


def test_a_target_shows_its_options(vggc: Any) -> None:
    out = vggc("targets", "triton").out
    assert out.startswith("target triton\nWrite a model repository for Triton Inference Server")
    assert "max_batch" in out.split("meaning", 1)[1]


def test_a_misspelt_target(vggc: Any) -> None:
    ran = vggc("targets", "tritn")
    assert (ran.status, ran.err) == (
        1,
        "error: unknown target `tritn` [VGGC122]\nhelp: a similar name exists: `triton`\n",
    )
