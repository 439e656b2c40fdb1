"""Whatever the text, the answer is a tree or messages that can be shown, within seconds."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggc.diagnostics import CompileError, render
from vggc.diagnostics.source import Source
from vggc.grammar.parser import SHOWN_ERRORS, parse, parse_value

MEGABYTE = 1024 * 1024
# The whole megabyte is tried on what costs the reader most; the rest only has to show that time grows with size.
TENTH = MEGABYTE // 10
SECONDS = 20
SIGNS = list("ab1 .,:;=<>+-*/%#\"\\(){}[]\n\t\r'@$é“\u200b\0_Z")
WORDS = ["param", "data", "use", "rule", "define", "repeat", "when", "else", "require", "target", "in", "of", "and"]
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


def seconds_for(text: str) -> float:
    """How long the processor takes to read a text that is wrong; other processes do not count."""
    started = time.process_time()
    assert read(text)[1] > 0
    return time.process_time() - started


@pytest.mark.parametrize("unit", ["{a}", "a\n", "f("])
def test_a_megabyte(unit: str) -> None:
    assert seconds_for((unit * MEGABYTE)[:MEGABYTE]) < SECONDS


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_much_of_one_thing(unit: str) -> None:
    assert seconds_for((unit * TENTH)[:TENTH]) < SECONDS / 10


def test_noise() -> None:
    assert seconds_for("".join(random.Random(7).choices(PIECES, k=TENTH))) < SECONDS / 10


@pytest.mark.parametrize("opening", ["(", "[", "{a: ", "f(", "x(a=", "not (", "1 + (", "[1.."])
def test_depth(opening: str) -> None:
    closing = {"(": ")", "[": "]", "{": "}"}
    ends = "".join(closing[each] for each in opening if each in closing) * 50_000
    assert read(f"p(x={opening * 50_000}1{ends})")[1] > 0
