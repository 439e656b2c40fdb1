"""The colours of recipes: the words are those of the grammar, and the files that are made of them are current."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pygments
import pytest

from vggc.binding.modules import import_file
from vggc.grammar.highlighting import ACTING, CONSTANTS, DECLARING, JOINING, TOKENS, textmate_grammar
from vggc.grammar.keywords import KEYWORDS, STATEMENT_KEYWORDS
from vggc.grammar.parser import language
from vggc.grammar.pygments_lexer import RecipeLexer

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "examples/vscode"
RECIPES = sorted([*ROOT.glob("recipes/**/*.opt"), *ROOT.glob("examples/**/*.opt")])


def kinds(text: str) -> list[tuple[str, str]]:
    """The tokens of a text with their kinds, white space left out; fails when a character belongs to no token."""
    found, position = [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        name, match = next(
            (each.name, match) for each in TOKENS if (match := re.compile(each.pattern).match(text, position))
        )
        assert match[0]
        found.append((match[0], name))
        position = match.end()
    return found


def test_the_words_are_those_of_the_grammar() -> None:
    words = [re.fullmatch(r"(\w+)\\b", each.pattern.value) for each in language().terminals]
    assert {each[1] for each in words if each} == {*DECLARING, *ACTING, *JOINING, *CONSTANTS} == KEYWORDS
    assert set(STATEMENT_KEYWORDS) == {*DECLARING, *ACTING}


def test_tokens() -> None:
    assert kinds('prune_channels(macs=50%, data=calib, only="a.*")  # half') == [
        ("prune_channels", "call"),
        ("(", "bracket"),
        ("macs", "option"),
        ("=", "sign"),
        ("50%", "number"),
        (",", "bracket"),
        ("data", "option"),
        ("=", "sign"),
        ("calib", "name"),
        (",", "bracket"),
        ("only", "option"),
        ("=", "sign"),
        ('"a.*"', "string"),
        (")", "bracket"),
        ("# half", "comment"),
    ]
    assert ("my.Conv", "operator") in kinds("my.Conv(x) => Conv(x)")
    assert ("1.5ms", "number") in kinds("require latency <= 1.5ms else fail")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_character_of_a_recipe_is_a_token(path: Path) -> None:
    assert kinds(path.read_text(encoding="utf-8"))


def test_the_grammar_of_the_extension_is_current(bless: bool) -> None:
    made = import_file(EXTENSION / "make_grammar.py")
    if bless:
        made.FILE.write_text(json.dumps(textmate_grammar(), indent=2) + "\n", encoding="utf-8")
    assert json.loads(made.FILE.read_text(encoding="utf-8")) == textmate_grammar()


def test_the_extension_names_what_it_has() -> None:
    package = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))
    contributed = package["contributes"]
    (language_,), (grammar,) = contributed["languages"], contributed["grammars"]
    assert language_["extensions"] == [".opt"]
    assert grammar["scopeName"] == textmate_grammar()["scopeName"]
    for name in (package["main"], language_["configuration"], grammar["path"], "README.md", "LICENSE"):
        assert (EXTENSION / name).is_file()
    script = (EXTENSION / "extension.js").read_text(encoding="utf-8")
    settings = {f"vggc.{name}" for name in re.findall(r'settings\.get\("(\w+)"\)', script)}
    assert settings == set(contributed["configuration"]["properties"])
    assert all(re.fullmatch(r"\^\d+\.\d+\.\d+", each) for each in package["dependencies"].values())


def test_pygments() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pygments.lexers"] == {
        "vggc": f"{RecipeLexer.__module__}:{RecipeLexer.__qualname__}",
    }
    lexer = RecipeLexer()
    for path in RECIPES:
        text = path.read_text(encoding="utf-8")
        tokens = list(pygments.lex(text, lexer))
        assert "".join(text for _, text in tokens).strip() == text.strip()
        assert not [text for kind, text in tokens if "Error" in str(kind)], path
