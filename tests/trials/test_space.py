"""The values that trials may give parameters."""

from __future__ import annotations

import pytest

from vggc.binding import bind_text
from vggc.diagnostics import CompileError
from vggc.trials.space import STEPS, Domain, space_of

GOAL = "simplify\nminimize size\ntarget onnx\n"


def domain(limits: str, **overrides: str) -> Domain:
    (found,) = space_of(bind_text(f"param p{limits}\n{GOAL}", overrides=overrides)).values()
    return found


@pytest.mark.parametrize(
    ("limits", "first", "last", "count"),
    [
        (" = 50% in 20%..90%", ["20%", "22%", "24%"], "90%", 36),
        (" = 3 in 1..10", ["1", "2", "3"], "10", 10),
        (" = 8 in 1..1024", ["1", "8", "51"], "1024", 23),
        (": float = 0.5 in 0..1", ["0", "0.02", "0.04"], "1", 51),
        (" = 2ms in 1ms..3ms", ["1ms", "1.05ms", "1.1ms"], "3ms", 41),
        (" = 4KiB in 4KiB..4KiB", ["4KiB"], "4KiB", 1),
    ],
)
def test_a_range_is_searched_in_round_steps(limits: str, first: list[str], last: str, count: int) -> None:
    found = domain(limits)
    assert list(found.values[:3]) == first[:count] and found.values[-1] == last
    assert len(found.values) == count <= STEPS + 2
    assert found.ordered and found.default in found.values


def test_the_default_is_one_of_the_values() -> None:
    assert "33.3%" in domain(" = 33.3% in 20%..90%").values


@pytest.mark.parametrize(
    ("limits", "values", "ordered"),
    [
        (" = int8 in [fp16, int8]", ("fp16", "int8"), False),
        (" = 3 in [9, 3, 1]", ("1", "3", "9"), True),
        (" = true in [false, true]", ("false", "true"), False),
        (': string = "a b" in ["a b", "c"]', ('"a b"', '"c"'), False),
        (': names = ["a"] in [["a"], ["b", "c"]]', ('["a"]', '["b", "c"]'), False),
    ],
)
def test_a_list_is_searched_as_it_is(limits: str, values: tuple[str, ...], ordered: bool) -> None:
    found = domain(limits)
    assert (found.values, found.ordered) == (values, ordered)
    assert found.default in values


def test_set_takes_a_parameter_out_of_the_space() -> None:
    text = f"param a = 1 in 1..2\nparam b = 1 in 1..3\n{GOAL}"
    assert list(space_of(bind_text(text, overrides={"a": "2"}))) == ["b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("param a = 1 in 1..2\nsimplify\ntarget onnx\n", "nothing to minimize or maximize"),
        (f"param a = 1\n{GOAL}", "no parameter to search"),
        (f"param a = 1..2..3 in 1..9\n{GOAL}", "no parameter to search"),
    ],
)
def test_a_recipe_that_cannot_be_searched(text: str, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        space_of(bind_text(text))
