"""Options that one target has and another cannot have: an error at its place, that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vggc.binding import bind
from vggc.diagnostics import CompileError, render
from vggc.grammar.parser import parse
from vggc.grammar.recipe_file import read_recipe


def errors(tmp_path: Path, text: str) -> str:
    recipe = tmp_path / "net.opt"
    recipe.write_text(text)
    with pytest.raises(CompileError) as error:
        bind(parse(read_recipe(recipe)))
    return "\n".join(render(each) for each in error.value.diagnostics).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("target", "option", "help"),
    [
        (
            "tensorrt_rtx",
            "refit",
            "TensorRT RTX cannot build refittable engines without the GPU",
        ),
        ("tensorrt_rtx", "version_compatible", "its engines load only with the release that built them"),
        ("tensorrt_rtx", "hardware", "name the GPUs with compute=[...]"),
        ("tensorrt", "compute", "TensorRT builds for the GPU it runs on"),
    ],
)
def test_an_option_the_flavour_lacks(tmp_path: Path, target: str, option: str, help: str) -> None:
    assert errors(tmp_path, f"target {target}({option}=true)\n") == (
        f"error: `{target}` has no option `{option}`\n"
        f" --> net.opt:1:{len(target) + 9}\n"
        "  |\n"
        f"1 | target {target}({option}=true)\n"
        f"  | {' ' * (len(target) + 8)}{'^' * len(option)}\n"
        f"help: {help}"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("batch=[1, 1..8..32]", {"batch": 2}),
        ('shapes=[{"x": [1, 3]}, {"x": [4, 3]}]', {"shapes": 2}),
        ('shapes={"x": [1, 3]}', {"shapes": 1}),
    ],
)
def test_several_profiles_can_be_written(tmp_path: Path, options: str, expected: dict[str, int]) -> None:
    recipe = tmp_path / "net.opt"
    recipe.write_text(f"target tensorrt_rtx({options})\n")
    [found] = bind(parse(read_recipe(recipe))).targets
    values: dict[str, Any] = dict(found.options)
    assert {name: len(each) for name, each in values.items()} == expected


def test_files_are_looked_for_beside_the_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "net.opt"
    recipe.write_text('target tensorrt(timing_cache="old.timings")\n')
    (tmp_path / "old.timings").touch()
    [found] = bind(parse(read_recipe(recipe))).targets
    assert found.options["timing_cache"] == str(tmp_path / "old.timings")
    assert errors(tmp_path, 'target tensorrt(timing_cache="odl.timings")\n').splitlines()[:2] == [
        "error: there is no file `odl.timings`",
        " --> net.opt:1:8",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "target ep_context\ntarget tensorrt_rtx\n",
            "error: `ep_context` needs `model.engine`, which no target before it writes\n"
            " --> net.opt:1:8\n"
            "  |\n"
            "1 | target ep_context\n"
            "  |        ^^^^^^^^^^\n"
            "help: write `target tensorrt` or `target tensorrt_rtx` before this target",
        ),
        (
            "target tensorrt_rtx\ntarget triton(platform=tensorrt)\n",
            "error: `triton` needs `model.engine`, which `target tensorrt_rtx` writes\n"
            " --> net.opt:2:8\n"
            "  |\n"
            "2 | target triton(platform=tensorrt)\n"
            "  |        ^^^^^^^^^^^^^^^^^^^^^^^^^\n"
            "  = note: it stands at net.opt:1:8\n"
            "help: write `target tensorrt` before this target",
        ),
        (
            "target triton\ntarget triton(max_batch=8)\n",
            "error: two targets write the file `triton/model/config.pbtxt`\n"
            " --> net.opt:2:8\n"
            "  |\n"
            "2 | target triton(max_batch=8)\n"
            "  |        ^^^^^^^^^^^^^^^^^^^\n"
            "  = note: the first one stands at net.opt:1:8\n"
            "help: give one of them another folder than `triton/model`",
        ),
    ],
)
def test_what_targets_need_of_each_other(tmp_path: Path, text: str, expected: str) -> None:
    assert errors(tmp_path, text) == expected


def test_targets_that_go_together(tmp_path: Path) -> None:
    recipe = tmp_path / "net.opt"
    recipe.write_text("target onnx\ntarget tensorrt_rtx\ntarget ep_context\ntarget triton\ntarget onnxruntime\n")
    assert len(bind(parse(read_recipe(recipe))).targets) == 5
