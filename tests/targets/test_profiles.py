"""From `shapes` and `batch` to one optimisation profile, and what is said when they do not fit the model."""

from __future__ import annotations

import numpy as np
import pytest

from vggc.diagnostics import CompileError, render
from vggc.graph.signature import ValueType
from vggc.targets.profiles import profile, profile_problems, profiles, profiles_problems
from vggc.values import Dimension, Interval

FLOAT = np.dtype("float32")
IMAGE = ValueType("image", FLOAT, ("batch", 3, 32, 32))
TOKENS = ValueType("tokens", np.dtype("int64"), ("batch", "length"))
FIXED = ValueType("scale", FLOAT, (3, 4))

Shapes = dict[str, list[Dimension]]


def interval(*points: float) -> Interval:
    return Interval(points)


def text(inputs: list[ValueType], shapes: Shapes | None = None, batch: Dimension | None = None) -> str:
    return "\n".join(render(each) for each in profile_problems(inputs, shapes, batch))


# --- profiles ----------------------------------------------------------------------------------------------


def test_fixed_inputs_need_none() -> None:
    assert profile([FIXED], None, None) == {}
    assert profile([FIXED], None, interval(1, 8, 32)) == {}
    assert profile([FIXED], {"scale": [3, 4]}, None) == {}


def test_batch_is_the_first_dimension() -> None:
    expected = {"image": ([1, 3, 32, 32], [8, 3, 32, 32], [32, 3, 32, 32])}
    assert profile([IMAGE, FIXED], None, interval(1, 8, 32)) == expected


def test_a_range_without_a_middle_is_optimised_for_its_high_end() -> None:
    assert profile([IMAGE], None, interval(1, 32))["image"][1] == [32, 3, 32, 32]


def test_a_single_number_is_all_three() -> None:
    assert profile([IMAGE], None, 4) == {"image": ([4, 3, 32, 32],) * 3}


def test_shapes_go_before_batch() -> None:
    shapes: Shapes = {"tokens": [interval(1, 8, 32), interval(1, 64, 128)]}
    assert profile([IMAGE, TOKENS], shapes, interval(1, 8, 32)) == {
        "image": ([1, 3, 32, 32], [8, 3, 32, 32], [32, 3, 32, 32]),
        "tokens": ([1, 1], [8, 64], [32, 128]),
    }


def test_a_dimension_may_be_empty_at_the_low_end() -> None:
    assert profile([TOKENS], {"tokens": [1, interval(0, 64, 128)]}, None)["tokens"][0] == [1, 0]


def test_minus_one_is_an_unnamed_dimension() -> None:
    assert profile([ValueType("x", FLOAT, (-1, 4))], None, 2) == {"x": ([2, 4],) * 3}


# --- missing -----------------------------------------------------------------------------------------------


def test_a_missing_batch() -> None:
    assert text([IMAGE]) == (
        "error: the input `image` has no fixed shape: an engine is built for a range of sizes\n"
        " = input: `image` float32 [batch, 3, 32, 32]\n"
        'help: write the range (min..opt..max): batch=1..8..32, or shapes={"image": [1..8..32, 3, 32, 32]}'
    )


def test_batch_is_not_enough() -> None:
    assert text([IMAGE, TOKENS], batch=interval(1, 4, 16)) == (
        "error: the input `tokens` has no fixed shape: an engine is built for a range of sizes\n"
        " = input: `tokens` int64 [batch, length]\n"
        'help: write the range (min..opt..max): shapes={"tokens": [1..8..32, 1..128..512]}'
    )


def test_what_to_write_holds_what_is_written_and_agrees_with_it() -> None:
    unnamed = ValueType("mask", FLOAT, ("batch", None))
    assert text([IMAGE, TOKENS, unnamed], {"tokens": [4, interval(1, 64)]}) == (
        "error: the inputs `image`, `mask` have no fixed shape: an engine is built for a range of sizes\n"
        " = input: `image` float32 [batch, 3, 32, 32]\n"
        " = input: `mask` float32 [batch, ?]\n"
        'help: write the range (min..opt..max): shapes={"tokens": [4, 1..64], "image": [4, 3, 32, 32], '
        '"mask": [4, 1..128..512]}'
    )


def test_everything_wrong_is_raised() -> None:
    with pytest.raises(CompileError) as error:
        profile([IMAGE], {"imgae": [1]}, None)
    assert [each.message for each in error.value.diagnostics] == [
        "the model has no input `imgae`",
        "the input `image` has no fixed shape: an engine is built for a range of sizes",
    ]


# --- wrong -------------------------------------------------------------------------------------------------


def test_an_input_the_model_does_not_have() -> None:
    assert text([FIXED], {"sacle": [1, 2]}) == (
        "error: the model has no input `sacle`\nhelp: a similar name exists: `scale`"
    )
    assert text([FIXED, IMAGE], {"xyz": [1, 2]}, 1) == (
        "error: the model has no input `xyz`\nhelp: its inputs: `image`, `scale`"
    )


def test_a_wrong_number_of_dimensions() -> None:
    assert text([IMAGE], {"image": [1, 32, 32]}) == (
        "error: shapes gives `image` 3 dimensions, but it has 4\n"
        " = note: the model declares `image` [batch, 3, 32, 32]\n"
        'help: write shapes={"image": [1..8..32, 3, 32, 32]}'
    )


@pytest.mark.parametrize("size", [1, interval(1, 3), interval(3, 3, 4)])
def test_a_range_for_a_dimension_that_does_not_vary(size: Dimension) -> None:
    assert text([IMAGE], {"image": [1, size, 32, 32]}) == (
        f"error: shapes gives dimension 1 of `image` as {size}, but it is always 3\n"
        " = note: the model declares `image` [batch, 3, 32, 32]\n"
        'help: write shapes={"image": [1..8..32, 3, 32, 32]}'
    )


@pytest.mark.parametrize("points", [(1, 64, 32), (8, 4, 16), (32, 1)])
def test_a_range_out_of_order(points: tuple[int, ...]) -> None:
    size = Interval(points)
    reason = "a range must increase: smallest size, most frequent size, largest size (min..opt..max)"
    assert text([IMAGE], {"image": [size, 3, 32, 32]}) == (
        f"error: shapes gives dimension 0 of `image` as {size}: {reason}"
    )
    assert text([IMAGE], None, size) == f"error: batch={size}: {reason}"


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        (0, "a dimension must be at least 1; only the low end of a range may be 0"),
        (-1, "a dimension must be at least 1; only the low end of a range may be 0"),
        (Interval((0, 0)), "a dimension must be at least 1; only the low end of a range may be 0"),
        (Interval((1, 2.5)), "a dimension must be a whole number"),
    ],
)
def test_what_is_no_size(size: Dimension, reason: str) -> None:
    assert text([IMAGE], None, size) == f"error: batch={size}: {reason}"


def test_one_name_is_one_size() -> None:
    shapes: Shapes = {"tokens": [interval(1, 4, 16), 64]}
    assert text([IMAGE, TOKENS], shapes, interval(1, 8, 32)) == (
        "error: the dimension `batch` is 1..8..32 in the input `image`, but 1..4..16 in the input `tokens`\n"
        "help: dimensions with the same name have the same size: give both the same range"
    )


def test_an_input_of_unknown_rank() -> None:
    unknown = ValueType("x", FLOAT, None)
    expected = (
        "error: the input `x` has no declared number of dimensions; TensorRT would treat it as a single number\n"
        "help: export the model with the input's shape"
    )
    assert text([unknown]) == expected
    assert text([unknown], {"x": [1, 2]}) == expected


# --- several profiles --------------------------------------------------------------------------------------


def test_a_profile_of_each_batch() -> None:
    found = profiles([IMAGE, FIXED], None, [1, interval(1, 16, 64)])
    assert found == [
        {"image": ([1, 3, 32, 32],) * 3},
        {"image": ([1, 3, 32, 32], [16, 3, 32, 32], [64, 3, 32, 32])},
    ]
    assert profiles([FIXED], None, [1, 2]) == []


def test_a_profile_of_each_shapes_with_one_batch_for_all() -> None:
    short: Shapes = {"tokens": [4, interval(1, 16, 32)]}
    long: Shapes = {"tokens": [4, interval(32, 128, 512)]}
    found = profiles([IMAGE, TOKENS], [short, long], 4)
    assert [each["tokens"][2] for each in found] == [[4, 32], [4, 512]]
    assert [each["image"][0] for each in found] == [[4, 3, 32, 32]] * 2


def test_each_profile_is_checked() -> None:
    wrong: Shapes = {"tokens": [interval(8, 4, 1), 16]}
    problems = profiles_problems([TOKENS], [{"tokens": [1, 16]}, wrong], None)
    assert "\n".join(render(each) for each in problems) == (
        "error: shapes gives dimension 0 of `tokens` as 8..4..1: "
        "a range must increase: smallest size, most frequent size, largest size (min..opt..max)\n"
        " = profile: 2 of 2"
    )


def test_lists_that_do_not_go_together() -> None:
    [problem] = profiles_problems([IMAGE, TOKENS], [{"tokens": [1, 16]}] * 3, [1, 2])
    assert problem.message == "shapes gives 3 profiles, but batch gives 2"
    assert [each.message for each in profiles_problems([IMAGE], None, [])] == ["batch=[] contains no profile"]
