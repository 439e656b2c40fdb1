"""Trees kept between runs: the same tree with and without, and never that of another text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vggc.grammar.parser
import vggc.recipes
from vggc.cache import Store
from vggc.diagnostics import CompileError
from vggc.grammar.kept_trees import read_tree
from vggc.grammar.parser import parse
from vggc.grammar.recipe_file import read_recipe

RECIPES = sorted(Path(vggc.recipes.__file__).parent.rglob("*.opt"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VGGC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "recipes"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.opt"
    path.write_text("simplify(largest=2KiB)\nrequire accuracy(test) >= 99.5%\ntarget onnx\n")
    return path


def no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: object) -> None:
        raise AssertionError("the recipe was parsed")

    monkeypatch.setattr(vggc.grammar.parser, "parse", refuse)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_kept_tree_is_the_tree(cache: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = parse(read_recipe(path))
    assert read_tree(path) == tree
    no_parser(monkeypatch)
    assert read_tree(path) == tree


def test_another_path_or_text_has_its_own_places(cache: Path, recipe: Path) -> None:
    first = read_tree(recipe)
    copy = recipe.with_name("copy.opt")
    copy.write_text(recipe.read_text())
    assert read_tree(copy).statements[0].span.place == f"{copy}:1:1"
    recipe.write_text("# a comment\n" + recipe.read_text())
    assert [each.span.line for each in read_tree(recipe).statements] == [2, 3, 4]
    assert [each.span.line for each in first.statements] == [1, 2, 3]


def test_an_error_is_not_kept(cache: Path, recipe: Path) -> None:
    recipe.write_text("simplify(\n")
    for _ in range(2):
        with pytest.raises(CompileError, match="never closed"):
            read_tree(recipe)
    assert not cache.exists()


@pytest.mark.parametrize("damage", [b"", b"[", b"\x00" * 40], ids=["empty", "half", "zeros"])
def test_a_damaged_entry_is_made_again(cache: Path, recipe: Path, damage: bytes) -> None:
    tree = read_tree(recipe)
    [entry] = cache.iterdir()
    entry.write_bytes(damage)
    assert read_tree(recipe) == tree
    assert entry.read_bytes() != damage


@pytest.mark.parametrize("content", [["Path"], ["Bool"], [], {}, ["", ["-", 0]]], ids=json.dumps)
def test_an_entry_of_another_form_is_made_again(cache: Path, recipe: Path, content: object) -> None:
    tree = read_tree(recipe)
    [entry] = cache.iterdir()
    Store(cache.parent, 1 << 20).write_json("recipes", entry.name, content)
    assert read_tree(recipe) == tree


def test_without_a_folder_to_write_in(tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for folder in (str(tmp_path / "file" / "cache"), "off"):
        monkeypatch.setenv("VGGC_CACHE", folder)
        assert read_tree(recipe) == parse(read_recipe(recipe))
