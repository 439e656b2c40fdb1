"""Each wrong recipe of binding/ gives exactly the messages below its `---`; `--bless` rewrites those.

A line `# --set NAME=VALUE` in a recipe is an override. Recipes stand in a folder with the files of binding/files/;
those of Python end in `.py.txt` there, since linters would not have them.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from vggc.binding import bind
from vggc.binding.registry import Registry
from vggc.diagnostics import CompileError, render
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse

HERE = Path(__file__).with_name("binding")
FIXTURES = sorted(HERE.glob("*.txt"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("binding") / "files"
    shutil.copytree(HERE / "files", copy)
    for each in copy.glob("*.py.txt"):
        each.rename(each.with_suffix(""))
    return copy


def messages(recipe: str, vocabulary: Registry) -> str:
    """What the terminal shows of a recipe's errors, or of the warnings of a right one."""
    overrides = dict(each.split("=", 1) for each in re.findall(r"^# --set (.*)$", recipe, re.MULTILINE))
    try:
        found = bind(parse(Source("recipe.opt", recipe)), overrides=overrides, registry=vocabulary).warnings
    except CompileError as error:
        found = error.diagnostics
    assert found, "the recipe is right"
    return "\n\n".join(render(each) for each in found) + "\n"


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_messages(path: Path, folder: Path, vocabulary: Registry, bless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    recipe, separator, expected = path.read_text(encoding="utf-8").rpartition("---\n")
    assert separator, f"{path.name} has no line `---`"
    found = messages(recipe, vocabulary)
    if bless:
        path.write_text(f"{recipe}---\n{found}", encoding="utf-8")
    else:
        assert found == expected


def test_using_a_file_leaves_nothing_beside_it(
    folder: Path, vocabulary: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    bind(parse(Source("recipe.opt", 'use "passes.py"\nmy_pass\n')), registry=vocabulary)
    assert sorted(folder.rglob("*")) == before
