"""The documents hold together: their links lead somewhere, the verbs they name exist, recipes say what they do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vggc.binding import bind
from vggc.binding.modules import import_file
from vggc.cli.main import run
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse

ROOT = Path(__file__).parents[2]
documents = import_file(Path(__file__).parent / "documents.py")
make = import_file(ROOT / "make.py")
FOLDERS = (".", "docs", "examples", "recipes", "benchmarks")
DOCUMENTS = sorted(
    {each for folder in FOLDERS for each in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")}
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MAKE = re.compile(r"\bmake ([a-z-]+)\b")

EACH_DOCUMENT = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@EACH_DOCUMENT
def test_links_lead_to_files(path: Path) -> None:
    links = [each for each in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in each]
    broken = [each for each in links if not (path.parent / each.partition("#")[0]).exists()]
    assert not broken


@EACH_DOCUMENT
def test_verbs_exist(path: Path) -> None:
    named = {target for block in documents.blocks(path, "sh") for target in MAKE.findall(block)}
    assert named <= set(make.VERBS)


@EACH_DOCUMENT
def test_commands_have_the_options_shown(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    names = set(re.findall(r"^  ([a-z]+) ", capsys.readouterr().out.partition("Commands:")[2], re.MULTILINE))
    for block in documents.blocks(path, "sh"):
        for line in re.findall(r"^vggc (.+?)(?:  +#.*)?$", block.replace("\\\n", " "), re.MULTILINE):
            first = line.split()[0]
            run([first if first in names else "compile", "--help"])
            shown = set(re.findall(r"(?<=\s)--?[a-z][a-z0-9]*", re.sub(r"'[^']*'|\"[^\"]*\"", "", line)))
            assert shown <= set(re.findall(r"--?[a-z][a-z0-9]*\b", capsys.readouterr().out)), line


@pytest.mark.parametrize("name", ["index", "quantization"])
def test_recipes_that_no_other_test_reads_bind(name: str, tmp_path: Path) -> None:
    for file in ("calib.npz", "test.npz"):
        (tmp_path / file).touch()
    recipes = documents.blocks(ROOT / "docs" / f"{name}.md", "opt")
    assert recipes
    for recipe in recipes:
        assert bind(parse(Source(str(tmp_path / "page.opt"), recipe))).targets


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.opt")), ids=lambda path: path.name)
def test_recipe_says_what_it_buys_and_costs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert parse(Source(path.name, text)).statements
    opening = text.split("\n\n")[0]
    assert all(line.startswith("#") for line in opening.splitlines())
    assert re.search(r"^# Gain ", opening, re.MULTILINE)
    assert re.search(r"^# Cost ", opening, re.MULTILINE)
