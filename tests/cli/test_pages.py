"""`vggc passes`, `vggc inspect` and `vggc check`: pages to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

CATALOGUE = Path(__file__).parents[2] / "docs/passes.md"


def test_the_catalogue_is_what_the_docstrings_say(vggc: Any, bless: bool) -> None:
    text = vggc("passes", "--markdown").out
    if bless:
        CATALOGUE.write_text(text)
    assert CATALOGUE.read_text() == text


def test_passes_are_listed_with_their_kind(vggc: Any) -> None:
    lines = vggc("passes").out.splitlines()
    assert any(line.split()[:2] == ["fold_batch_norm", "exact"] for line in lines)


def test_a_pass_page_shows_options(vggc: Any) -> None:
    out = vggc("passes", "simplify").out
    assert out.startswith("simplify(largest=16MiB)\nexact: the results of the model stay the same\n")
    assert "16MiB" in out.split("default", 1)[1]


def test_a_misspelt_pass(vggc: Any) -> None:
    ran = vggc("passes", "simplfy")
    assert (ran.status, ran.err) == (
        1,
        "error: unknown pass `simplfy` [VGGC121]\nhelp: a similar name exists: `simplify`\n",
    )


def test_inspect_shows_what_is_in_a_model(vggc: Any) -> None:
    ran = vggc("inspect", "model.onnx")
    assert ran.status == 0
    rows = [line.split() for line in ran.out.splitlines()]
    assert ["input", "`x`", "float32", "[N,", "3,", "8,", "8]"] in rows
    assert ["params", "284"] in rows
    assert ["MACs", "13.9", "k", "for", "one", "sample"] in rows
    assert ["Conv", "1", "216", "13.8", "k"] in rows
    assert ran.out.endswith("TensorRT RTX: found nothing that it would refuse\n")


def test_inspect_says_what_tensorrt_would_refuse(vggc: Any) -> None:
    model = onnx.load("model.onnx")
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    del model.graph.node[:]
    model.graph.node.append(onnx.helper.make_node("Identity", ["x"], ["logits"], "copy"))
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    onnx.save(model, "model.onnx")
    assert "TensorRT RTX would refuse:\n" in vggc("inspect", "model.onnx").out


def test_inspect_counts_a_static_batch_as_it_is(vggc: Any, recipe: Callable[[str], str]) -> None:
    assert vggc(recipe("set_batch(4)"), "model.onnx", "-o", "out").status == 0
    rows = [line.split() for line in vggc("inspect", "out/model.onnx").out.splitlines()]
    assert ["MACs", "55.4", "k"] in rows


def test_check_counts_and_runs_nothing(vggc: Any, recipe: Callable[[str], str]) -> None:
    ran = vggc("check", recipe("simplify\nfold_batch_norm"))
    assert (ran.status, ran.out) == (0, "recipe.opt: no errors (2 steps, 1 target)\n")
    assert not Path("build").exists()


def test_check_with_a_model_finds_what_does_not_fit(vggc: Any, recipe: Callable[[str], str]) -> None:
    text = recipe("simplify\ntarget tensorrt_rtx")
    assert vggc("check", text).status == 0
    ran = vggc("check", text, "model.onnx")
    assert ran.status == 1
    assert " --> recipe.opt:2:8\n" in ran.err
    assert "`x`" in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Usage: vggc"),
        (("chek", "recipe.opt"), "`chek` is neither a command nor a recipe. Did you mean `vggc check`?"),
        (("recipe.opt",), "Missing argument 'MODEL'"),
        (("recipe.opt", "model.onnx", "--set", "batch"), "--set takes NAME=VALUE, not `batch`"),
        (("recipe.opt", "model.onnx", "--set", "a=1", "--set", "a=2"), "--set sets `a` twice"),
        (("recipe.opt", "model.onnx", "--verify", "often"), "'often' is not one of 'each', 'end', 'off'"),
        (("recipe.opt", "model.onnx", "--outptu", "x"), "Error: No such option"),
    ],
)
def test_wrong_use_of_the_command_line_ends_with_2(vggc: Any, words: tuple[str, ...], message: str) -> None:
    ran = vggc(*words)
    assert ran.status == 2
    assert message in ran.err


def test_plan_shows_what_would_happen_and_writes_nothing(vggc: Any, recipe: Callable[[str], str]) -> None:
    ran = vggc("plan", recipe("simplify\nfold_batch_norm\nrequire nodes <= 1"), "model.onnx")
    assert (ran.status, ran.err) == (0, "")
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[1][:6] == ["simplify", "recipe.opt:1", "remove", "Identity", "6", "284"]
    assert rows[2][:7] == ["fold_batch_norm", "recipe.opt:2", "fold", "BatchNormalization", "into", "Conv", "5"]
    assert not Path("build").exists()


def test_plan_says_what_would_be_left_and_why(vggc: Any, recipe: Callable[[str], str]) -> None:
    model = onnx.load("model.onnx")
    model.graph.output.append(onnx.helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, ["N", 8, 8, 8]))
    onnx.save(model, "model.onnx")
    out = vggc("plan", recipe("fold_batch_norm"), "model.onnx").out
    assert "would decline: fold_batch_norm: BatchNormalization `norm`: " in out


def test_explain_says_where_a_node_comes_from(vggc: Any, recipe: Callable[[str], str]) -> None:
    vggc(recipe("fold_batch_norm"), "model.onnx", "-o", "out")
    rows = [line.split() for line in vggc("explain", "out/model.onnx", "conv").out.splitlines()]
    assert ["recipe", "line", "recipe.opt:1"] in rows
    assert ["made", "from", "conv,", "norm"] in rows
    ran = vggc("explain", "out/model.onnx", "conw")
    assert (ran.status, ran.err) == (
        1,
        "error: the model has no node `conw` [VGGC412]\nhelp: a similar name exists: `conv`\n",
    )


@pytest.mark.parametrize("words", ["changed", "fold_batch_norm"])
def test_the_graph_can_be_printed_after_a_step(vggc: Any, recipe: Callable[[str], str], words: str) -> None:
    out = vggc(recipe("fold_batch_norm"), "model.onnx", "-o", "out", "--print-after", words).out
    assert out.startswith(
        "# after fold_batch_norm (recipe.opt:1): 6 nodes\n"
        "input x: float32[N,3,8,8]\n"
        "n: float32[N,8,8,8] = Conv(x, w_1: float32[8,3,3,3], "
    )


def test_print_after_a_step_the_recipe_does_not_have(vggc: Any, recipe: Callable[[str], str]) -> None:
    ran = vggc(recipe("simplify"), "model.onnx", "--print-after", "simplfy")
    assert (ran.status, ran.err) == (
        1,
        "error: --print-after: the recipe has no step `simplfy` [VGGC121]\nhelp: a similar name exists: `simplify`\n",
    )


def test_inspect_shows_channel_groups(vggc: Any) -> None:
    ran = vggc("inspect", "model.onnx", "--groups")
    assert ran.status == 0
    rows = [line.split() for line in ran.out.splitlines()]
    # 3 x 3 x 3 weights, four of the norm, and four of the head go with each of the eight channels.
    assert any(row[1:4] == ["8", "Conv", "`conv`"] and "35" in row for row in rows)
    assert any("frozen:" in row for row in rows)


def test_a_help_line_names_only_so_many_of_a_models_nodes(vggc: Any) -> None:
    model = onnx.load("model.onnx")
    for index in range(100):
        model.graph.node.append(onnx.helper.make_node("Relu", ["logits"], [f"r{index}"], f"extra{index:03}"))
        model.graph.output.append(onnx.helper.make_tensor_value_info(f"r{index}", onnx.TensorProto.FLOAT, None))
    onnx.save(model, "model.onnx")
    ran = vggc("explain", "model.onnx", "zzz")
    assert ran.err.endswith("`extra020`, `extra021` and 83 more\n")
