"""Any tree, written out in any spacing, is read back as it was."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vggc.grammar.parser import parse, parse_value
from vggc.grammar.syntax import Syntax
from vggc.grammar.tree import KEYWORDS, UNITS
from vggc.source import Source

# A thing as it is written, in pieces that may have white space between them, and as the test's bare tree.
Pieces = tuple[str, ...]
Written = tuple[Pieces, Any]

WORDS = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True)
NAMES = WORDS.filter(lambda word: word not in KEYWORDS and word != "original")
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)


@st.composite
def numbers(draw: st.DrawFn) -> Written:
    value: int | float = draw(st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9).filter(lambda each: each != 0))
    unit = draw(st.sampled_from(("", *UNITS)))
    digits = repr(abs(value)) + unit
    return (("-", digits) if value < 0 else (digits,)), ("Number", value, unit)


def strings() -> st.SearchStrategy[Written]:
    def write(text: str) -> Written:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return (f'"{escaped}"',), ("String", text)

    return TEXTS.map(write)


def joined(items: list[Written], opening: str, closing: str) -> Pieces:
    pieces: Pieces = (opening,)
    for index, (written, _) in enumerate(items):
        pieces += ((",",) if index else ()) + written
    return (*pieces, closing)


@st.composite
def calls(draw: st.DrawFn, inner: st.SearchStrategy[Written]) -> Written:
    name = draw(NAMES)
    arguments = []
    for written, tree in draw(st.lists(inner, max_size=3)):
        option = draw(st.none() | WORDS)
        if option is None and tree[0] == "Comparison":
            continue  # `a == b` as a positional argument is an error: it stands for `a=b` too often
        before = () if option is None else (option, "=")
        arguments.append(((*before, *written), ("Argument", option and ("Word", option), tree)))
    return (name, *joined(arguments, "(", ")")), ("Call", name, tuple(tree for _, tree in arguments))


def containers(inner: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    @st.composite
    def sequence(draw: st.DrawFn) -> Written:
        items = draw(st.lists(inner, max_size=3))
        return joined(items, "[", "]"), ("Sequence", tuple(tree for _, tree in items))

    @st.composite
    def mapping(draw: st.DrawFn) -> Written:
        entries = []
        for written, tree in draw(st.lists(inner, max_size=3)):
            key, key_tree = draw(strings() | WORDS.map(lambda word: ((word,), ("Word", word))))
            entries.append(((*key, ":", *written), (key_tree, tree)))
        return joined(entries, "{", "}"), ("Mapping", tuple(tree for _, tree in entries))

    @st.composite
    def operation(draw: st.DrawFn) -> Written:
        kind = draw(st.sampled_from(("Binary", "Comparison", "Logical", "Interval")))
        written = [(("(", *pieces, ")"), tree) for pieces, tree in draw(st.lists(inner, min_size=2, max_size=3))]
        if kind == "Logical":
            sign = draw(st.sampled_from(("and", "or")))
            pieces = tuple(piece for each, _ in written for piece in (sign, *each))[1:]
            return pieces, ("Logical", sign, tuple(tree for _, tree in written))
        if kind == "Interval":
            pieces = tuple(piece for each, _ in written for piece in ("..", *each))[1:]
            return pieces, ("Interval", tuple(tree for _, tree in written))
        signs = ("+", "-", "*", "/", "of") if kind == "Binary" else ("==", "!=", "<", "<=", ">", ">=")
        sign = draw(st.sampled_from(signs))
        (left, left_tree), (right, right_tree) = written[:2]
        return (*left, sign, *right), (kind, sign, left_tree, right_tree)

    return sequence() | mapping() | operation() | calls(inner)


VALUES = st.recursive(
    numbers()
    | strings()
    | st.sampled_from(((("true",), ("Bool", True)), (("false",), ("Bool", False)), (("Conv",), ("Word", "Conv"))))
    | NAMES.map(lambda name: ((name,), ("Word", name))),
    containers,
    max_leaves=12,
)
SPACE = st.sampled_from((" ", "  ", "\t", " \n", "\r\n  ", ' # note, with ( and "\n'))


def spaced(draw: st.DrawFn, pieces: Pieces, space: st.SearchStrategy[str]) -> str:
    """The pieces with white space between them, in this draw none between some that need none."""
    text = pieces[0]
    for before, after in pairwise(pieces):
        must = (before[-1].isalnum() or before[-1] in "_%") and (after[0].isalnum() or after[0] in '_".')
        text += (draw(space) if must or draw(st.booleans()) else "") + after
    return text


@given(st.data(), VALUES)
@settings(max_examples=100, deadline=None)
def test_values(bare: Callable[[Any], Any], data: st.DataObject, written: Written) -> None:
    pieces, tree = written

    @st.composite
    def text(draw: st.DrawFn) -> str:
        return spaced(draw, pieces, SPACE)

    assert bare(parse_value(Source("--set", data.draw(text())))) == tree


@st.composite
def statements(draw: st.DrawFn, depth: int = 2) -> Written:
    """A statement whose pieces are lines."""
    blank = st.just(" ")
    kinds = ["step", "target", "require", *(["repeat", "when"] if depth else [])]
    kind = draw(st.sampled_from(kinds))
    if kind in ("step", "target"):
        pieces, tree = draw(calls(VALUES))
        head = () if kind == "step" else ("target",)
        return (spaced(draw, (*head, *pieces), blank),), (kind.capitalize(), tree)
    if kind == "require":
        (left, left_tree), (right, right_tree) = draw(st.tuples(VALUES, VALUES))
        sign, action = draw(st.sampled_from((">=", "<", "=="))), draw(st.sampled_from(("fail", "rollback", "warn")))
        line = spaced(draw, ("require", "(", *left, ")", sign, "(", *right, ")", "else", action), blank)
        return (line,), ("Require", ("Comparison", sign, left_tree, right_tree), action)
    inner, body = blocks(draw, depth)
    if kind == "repeat":
        return ("repeat {", *inner, "}"), ("Repeat", body)
    pieces, condition = draw(calls(VALUES))
    head = spaced(draw, ("when", *pieces, "{"), blank)
    lines, otherwise = blocks(draw, depth) if draw(st.booleans()) else ((), ())
    return (head, *inner, *(("} else {", *lines) if lines else ()), "}"), ("When", condition, body, otherwise)


def blocks(draw: st.DrawFn, depth: int) -> tuple[Pieces, tuple[Any, ...]]:
    written = draw(st.lists(statements(depth - 1), min_size=1, max_size=2))
    return tuple(line for lines, _ in written for line in lines), tuple(tree for _, tree in written)


@given(st.lists(statements(), min_size=1, max_size=3), st.sampled_from(("\n", "\r\n", " # note {\n", "\n\n  ")))
@settings(max_examples=60, deadline=None)
def test_recipes(
    bare: Callable[[Any], Any], nodes: Callable[[Any], list[Syntax]], written: list[Written], line_end: str
) -> None:
    lines = [line for statement, _ in written for line in statement]
    recipe = parse(Source("recipe.opt", line_end.join(lines) + line_end))
    assert bare(recipe) == tuple(tree for _, tree in written)
    for node in nodes(recipe):
        assert node.span.text == node.span.text.strip()
        assert node.span.text
