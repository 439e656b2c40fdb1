"""Recipe values held against annotations, and values spelled as recipes write them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, strategies

from vggc.binding.evaluate import evaluate
from vggc.binding.registry import Registry
from vggc.binding.scope import Scope
from vggc.data import Dataset
from vggc.diagnostics import CompileError
from vggc.diagnostics.source import Source, Span
from vggc.grammar.parser import parse_value
from vggc.options import BareWord, Given, Origin, Reference, convert, spell, wanted
from vggc.values import Bytes, Dimension, File, Folder, Interval, Names, Ratio, Seconds, Within

Mode = Literal["entropy", "minmax"]


def value(text: str) -> Given:
    """What a recipe that says `text` gives."""
    return evaluate(parse_value(Source("recipe.opt", text)), Scope(Registry({}, {}, {}, {}), Path()))


@pytest.mark.parametrize(
    ("text", "annotation", "expected"),
    [
        ("8", int, 8),
        ("-8", int, -8),
        ("6 / 2", int, 3),
        ("8", float, 8.0),
        ("1e-3", float, 0.001),
        ("true", bool, True),
        ('"a\\n"', str, "a\n"),
        ("50%", Ratio, Ratio(0.5)),
        ("0.5", Ratio, Ratio(0.5)),
        ("1", Ratio, Ratio(1.0)),
        ("50% / 2", Ratio, Ratio(0.25)),
        ("30% of 50%", Ratio, Ratio(0.15)),
        ("150%", Annotated[Ratio, Within(0, 2)], Ratio(1.5)),
        ("4GiB", Bytes, Bytes(4 << 30)),
        ("1.5KB", Bytes, Bytes(1500)),
        ("1.001KB", Bytes, Bytes(1001)),
        ("2 * 3KiB - 1KB", Bytes, Bytes(5144)),
        ("2.5ms", Seconds, Seconds(0.0025)),
        ("3us", Seconds, Seconds(3e-6)),
        ('"a.*"', Names, Names(("a.*",))),
        ('["a", "b"]', Names, Names(("a", "b"))),
        ("[]", Names, Names()),
        ("1..32", Interval, Interval((1, 32))),
        ("0.5..1", Annotated[Interval, Within(0, 1)], Interval((0.5, 1))),
        ("3", Dimension, 3),
        ("1..8..32", Dimension, Interval((1, 8, 32))),
        ("1..8..32", Dimension | None, Interval((1, 8, 32))),
        ('{"x": [1..8..32, 3], y: []}', dict[str, list[Dimension]], {"x": [Interval((1, 8, 32)), 3], "y": []}),
        ("entropy", Mode, "entropy"),
        ("[entropy, minmax]", list[Mode], ["entropy", "minmax"]),
        ("8", Literal[4, 8], 8),
        ("auto", float | Literal["auto"], "auto"),
        ("3", float | Literal["auto"], 3.0),
        ("[1, 2]", tuple[int, ...], (1, 2)),
        ("[1, 2.5]", tuple[int, float], (1, 2.5)),
        ("7", Annotated[int, Within(1, 8)] | None, 7),
        ('"data.npz"', File, File("data.npz")),
        ('"photos"', Folder | None, Folder("photos")),
    ],
)
def test_convert(text: str, annotation: Any, expected: Any) -> None:
    found = convert(value(text), annotation)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "annotation", "problems"),
    [
        ("true", int, ["the value must be a whole number, not `true`"]),
        ("8.0", int, ["the value must be a whole number, not `8`"]),
        ("2ms", Bytes, ["the value must be a size, not the time `2ms`"]),
        ("1", Seconds, ["the value must be a time, not `1`"]),
        ("101%", Ratio, ["the value must be between 0% and 100%, but is 101%"]),
        ("9", Annotated[int, Within(1, 8)] | None, ["the value must be between 1 and 8, but is 9"]),
        ("9", Annotated[int, Within(-math.inf, 8)], ["the value must be at most 8, but is 9"]),
        ("-1", Annotated[int, Within(0, math.inf)], ["the value must not be negative, but is -1"]),
        ("1KB", Annotated[Bytes, Within(1 << 20, math.inf)], ["the value must be at least 1MiB, but is 1KB"]),
        ("0..9", Annotated[Interval, Within(1, 9)], ["the value must be between 1 and 9, but is 0..9"]),
        ("0", Dimension, ["the value must be a whole number of at least 1, but is 0"]),
        ("0..8", Dimension, ["the value must be a whole number of at least 1, but is 0..8"]),
        ("minmx", Mode, ["the value cannot be `minmx`"]),
        ('"x"', float | Mode, ["the value must be a number or one of `entropy`, `minmax`, not the text `\"x\"`"]),
        ('""', File, ["the value is empty"]),
        (
            '[1, "a", 2.5]',
            list[int],
            ["an item of the value must be a whole number, not the text `\"a\"`",
             "an item of the value must be a whole number, not `2.5`"],
        ),
        ("{a: 1, b: 2%}", dict[str, int], ["`b` in the value must be a whole number, not the ratio `2%`"]),
        ("[1]", tuple[int, int], ["the value must have 2 items, not 1"]),
        ("calib", Dataset, ["the value must be the name of a `data` statement, not the word `calib`"]),
    ],
)  # fmt: skip
def test_convert_refuses(text: str, annotation: Any, problems: list[str]) -> None:
    with pytest.raises(CompileError) as caught:
        convert(value(text), annotation)
    assert [each.message for each in caught.value.diagnostics] == problems


def test_an_error_points_at_the_item() -> None:
    with pytest.raises(CompileError) as caught:
        convert(value('["a", 3]'), Names)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert found.span.text == "3"


def test_a_data_set_is_what_stands_behind_its_name() -> None:
    span = Span(Source("recipe.opt", "calib"), 0, 5)
    behind = object()
    assert convert(Given(Reference("data", "calib", behind), span), Dataset | None) is behind


def test_an_error_in_a_parameter_points_at_its_use() -> None:
    use = Span(Source("recipe.opt", "prune(keep)"), 6, 10)
    given_at = Span(Source("recipe.opt", "prune(keep)"), 0, 5)
    with pytest.raises(CompileError) as caught:
        convert(Given(Bytes(4096), use, Origin("keep", given_at)), Ratio)
    (found,) = caught.value.diagnostics
    assert found.span == use
    assert found.facts == (("note", "`keep` is 4KiB, given at recipe.opt:1:1"),)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "a whole number"),
        (Mode | None, "one of `entropy`, `minmax`"),
        (Literal["one"], "`one`"),
        (list[Ratio], "a list of ratios"),
        (list[list[Dimension]], "a list of lists of dimensions"),
        (list[int | Mode], "a list of whole numbers or `entropy`, `minmax`"),
        (dict[str, tuple[int, int]], "a mapping from names to values, each a list of 2 whole numbers"),
        (tuple[int, str], "a list of 2: a whole number, a quoted text"),
        (Dataset, "the name of a `data` statement"),
    ],
)
def test_types_in_words(annotation: Any, text: str) -> None:
    assert wanted(annotation) == text


# --- spelling ----------------------------------------------------------------------------------------------

_numbers = strategies.one_of(
    strategies.integers(-(10**12), 10**12),
    strategies.floats(-1e9, 1e9).map(lambda number: float(f"{number:.6g}")),
    strategies.integers(0, 10**6).map(lambda number: Ratio(number / 1000)),
    strategies.integers(0, 1 << 40).map(Bytes),
    strategies.integers(0, 10**9).map(lambda number: Seconds(number / 10**6)),
)


@given(
    strategies.recursive(
        _numbers
        | strategies.booleans()
        | strategies.text(strategies.characters(codec="utf-8", exclude_categories="C")),
        lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text("ab"), inner),
        max_leaves=5,
    )
)
def test_what_is_spelled_reads_back_as_the_same_value(content: Any) -> None:
    assert _plain(value(spell(content))) == content


def _plain(given: Given) -> Any:
    if isinstance(given.value, tuple):
        return [_plain(each) for each in given.value]
    if isinstance(given.value, dict):
        return {name: _plain(each) for name, each in given.value.items()}
    return given.value


def test_words_and_ranges_are_spelled_bare() -> None:
    assert spell(BareWord("entropy")) == "entropy"
    assert spell(Interval((1, 8, 32))) == "1..8..32"
    assert spell(None) == "none"
