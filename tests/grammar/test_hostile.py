"""Whatever the text, the answer is a tree or messages that can be shown, and work grows no faster than the text."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggc.diagnostics import CompileError, render
from vggc.diagnostics.source import Source
from vggc.grammar.parser import SHOWN_ERRORS, parse, parse_value

MEGABYTE = 1024 * 1024
CountCalls = Callable[[Callable[[], object]], int]
SIGNS = list("ab1 .,:;=<>+-*/%#\"\\(){}[]\n\t\r'@$é“\u200b\0_Z")
WORDS = ["param", "data", "use", "rule", "define", "repeat", "when", "else", "minimize", "target", "in", "of", "and"]
PIECES = [*SIGNS, *WORDS, "not", "simplify", "=>", "==", "..", "...", "??", " 1..8 ", "50%", '"a.npz"', " { ", "\n}\n"]


def read(text: str) -> tuple[int, int]:
    """How many statements and how many messages a text gives; every message is rendered."""
    try:
        return len(parse(Source("recipe.opt", text)).statements), 0
    except CompileError as error:
        assert len(error.diagnostics) <= SHOWN_ERRORS + 1
        for each in error.diagnostics:
            lines = render(each).splitlines()
            assert all(len(line) < 400 for line in lines)
            assert all(character.isprintable() or character == "\t" for line in lines for character in line)
        return 0, len(error.diagnostics)


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@settings(max_examples=300)
def test_any_pieces(text: str) -> None:
    statements, messages = read(text)
    assert (statements == 0) == (messages > 0)


@given(st.text(max_size=60))
@settings(max_examples=200)
def test_any_text(text: str) -> None:
    statements, messages = read(text)
    assert (statements == 0) == (messages > 0)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@settings(max_examples=200)
def test_any_value(text: str) -> None:
    try:
        value = parse_value(Source("--set", text))
    except CompileError as error:
        assert all(render(each) for each in error.diagnostics)
    else:
        assert value.span.text in text


UNITS = {
    "opening": "(",
    "opening in lines": "(\n",
    "closing": ")",
    "braces": "{",
    "blocks": "repeat {",
    "blocks in lines": "repeat {\n",
    "rules": "rule x {",
    "quotes": '"',
    "wrong lines": "@\n",
    "two steps a line": "a b\n",
    "steps": "a\n",
    "words": "a ",
    "calls": "x(a=1\n",
    "negations": "not ",
    "line ends": "\n",
    "backslashes": '"\\',
    "letters": "a",
    "digits": "1",
    "points": ".",
}


def test_a_megabyte() -> None:
    assert read(("f(" * MEGABYTE)[:MEGABYTE])[1] > 0


def is_linear(text: str, count_calls: CountCalls) -> bool:
    """Whether reading a text takes no more than four times the work of reading a quarter of it; some is for granted."""
    quarter = text[: len(text) // 4]
    return count_calls(lambda: read(text)) < 5 * count_calls(lambda: read(quarter)) + 2000


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_much_of_one_thing(unit: str, count_calls: CountCalls) -> None:
    text = (unit * 8000)[:8000]
    assert sum(read(text)) > 0
    assert is_linear(text, count_calls)


def test_noise(count_calls: CountCalls) -> None:
    text = "".join(random.Random(7).choices(PIECES, k=8000))
    assert read(text)[1] > 0
    assert is_linear(text, count_calls)


@pytest.mark.parametrize("opening", ["(", "[", "{a: ", "f(", "x(a=", "not (", "1 + (", "[1.."])
def test_depth(opening: str) -> None:
    closing = {"(": ")", "[": "]", "{": "}"}
    ends = "".join(closing[each] for each in opening if each in closing) * 50_000
    assert read(f"p(x={opening * 50_000}1{ends})")[1] > 0
