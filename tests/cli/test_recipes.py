"""The recipes that come with vggc: named on the command line, listed and printed by `vggc recipes`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from vggc.diagnostics import spelling_help
from vggc.grammar.kept_trees import read_tree
from vggc.grammar.recipe_summary import Parameter, summary_of
from vggc.grammar.shipped_recipes import ready_recipes, shipped_recipes

FOLDER = Path(__file__).parents[2] / "recipes"


def test_all_recipe_files_have_a_name() -> None:
    files = {f"vggc:{each.relative_to(FOLDER).as_posix()}" for each in FOLDER.rglob("*.opt")}
    assert set(shipped_recipes()) == files
    assert set(ready_recipes()) == {f"vggc:{each.name}" for each in FOLDER.glob("*.opt")}


def test_a_compile_by_name(vggc: Any) -> None:
    ran = vggc("vggc:onnx.opt", "model.onnx")
    assert ran.status == 0, ran.err
    folder = Path("build/model-onnx")
    report = json.loads((folder / "report.json").read_text())
    assert report["recipe"]["path"] == "vggc:onnx.opt"
    lines = (FOLDER / "onnx.opt").read_text().splitlines()
    assert [each["line"] for each in report["steps"]] == [
        f"vggc:onnx.opt:{1 + lines.index(step)}" for step in ("simplify", "fold_batch_norm")
    ]
    assert vggc(str(FOLDER / "onnx.opt"), "model.onnx", "-o", "by-path").status == 0
    named, by_path = onnx.load(folder / "model.onnx"), onnx.load("by-path/model.onnx")
    assert named.graph.initializer == by_path.graph.initializer


def test_its_rules_are_found_wherever_it_runs(vggc: Any) -> None:
    assert vggc("vggc:optimize.opt", "model.onnx", "-o", "out").status == 0
    ran = vggc("plan", "vggc:optimize.opt", "model.onnx")
    assert ran.status == 0 and "vggc:optimize.opt:" in ran.out


def test_its_files_are_those_of_the_current_folder(vggc: Any) -> None:
    ran = vggc("check", "vggc:int8_cpu.opt")
    line = 1 + (FOLDER / "int8_cpu.opt").read_text().splitlines().index('param samples: loader = "calib.npz"')
    assert ran.status == 1
    assert "error: there is no file `calib.npz`" in ran.err
    assert f"--> vggc:int8_cpu.opt:{line}:25\n" in ran.err
    assert ran.err.endswith("help: name yours, a folder of images or a file of arrays: --set samples=/path/to/images\n")
    np.savez("mine.npz", x=np.zeros((4, 3, 8, 8), np.float32))
    assert vggc("check", "vggc:int8_cpu.opt", "model.onnx", "--set", "samples=mine.npz").status == 0


@pytest.mark.parametrize(
    ("name", "help"),
    [
        ("vggc:prune_int8_cpus.opt", "a similar name exists: `vggc:prune_int8_cpu.opt`"),
        ("vggc:prune", "write `vggc:prune.opt`"),
        ("vggc:transpose.opt", "write `vggc:rules/transpose.opt`"),
        ("vggc:rules/tranpose.opt", "a similar name exists: `vggc:rules/transpose.opt`"),
        ("vggc:?", spelling_help("vggc:?", shipped_recipes(), "its recipes")),
    ],
)
@pytest.mark.parametrize("command", [(), ("check",), ("plan",), ("lock",), ("fmt",)])
def test_an_unknown_name(vggc: Any, name: str, help: str, command: tuple[str, ...]) -> None:
    ran = vggc(*command, name, *(() if command in (("check",), ("fmt",)) else ("model.onnx",)))
    assert (ran.status, ran.err) == (1, f"error: no recipe `{name}` comes with vggc [VGGC110]\nhelp: {help}\n")


def test_rules_alone_are_no_compile(vggc: Any) -> None:
    ran = vggc("vggc:rules/pad.opt", "model.onnx")
    assert ran.status == 1
    assert "error: the recipe does nothing" in ran.err and "--> vggc:rules/pad.opt:" in ran.err


def test_a_lock_stands_in_the_current_folder(vggc: Any) -> None:
    assert vggc("lock", "vggc:onnx.opt", "model.onnx").status == 0
    assert Path("onnx.lock").is_file()
    assert vggc("vggc:onnx.opt", "model.onnx", "--locked").status == 0


def test_fmt_leaves_them(vggc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vggc("fmt", *ready_recipes()).status == 0
    monkeypatch.setattr("vggc.grammar.format.format", lambda source: source.text + "\n")
    ran = vggc("fmt", "vggc:onnx.opt")
    assert ran.err.startswith("error: `vggc:onnx.opt` comes with vggc and is not rewritten [VGGC803]\n")
    assert ran.status == 1


def test_the_list_says_what_each_buys_and_costs(vggc: Any) -> None:
    ran = vggc("recipes")
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert [line for line in lines if line.startswith("vggc:")] == ready_recipes()
    assert sum(line.startswith("    gain ") for line in lines) == len(ready_recipes())
    assert sum(line.startswith("    cost ") for line in lines) == len(ready_recipes())
    assert any(line.startswith("    --set  remaining=16% in 1%..99%: The share of the MACs") for line in lines)


@pytest.mark.parametrize("name", ["prune.opt", "vggc:prune.opt"])
def test_a_name_prints_the_recipe(vggc: Any, name: str) -> None:
    assert vggc("recipes", name).out == (FOLDER / "prune.opt").read_text()


def test_a_wrong_name_to_print(vggc: Any) -> None:
    ran = vggc("recipes", "prnue.opt")
    assert (ran.status, ran.err.splitlines()[1]) == (1, "help: a similar name exists: `vggc:prune.opt`")


@pytest.mark.parametrize("name", ready_recipes())
def test_every_parameter_is_explained(name: str) -> None:
    summary = summary_of(read_tree(Path(name)))
    assert summary.purpose and summary.gain and summary.cost
    assert all(each.comment for each in summary.parameters)


def test_a_summary_takes_only_the_lines_above_a_parameter(tmp_path: Path) -> None:
    path = tmp_path / "my.opt"
    path.write_text(
        "# What it is\n# for.\n#\n# Gain   Speed,\n#        much.\n# Cost   None.\n\n"
        "# Not of `a`.\n\nparam a = 1\n# Of `b`,\n# two lines.\nparam b: int = 2 in 1..3\nsimplify\ntarget onnx\n"
    )
    summary = summary_of(read_tree(path))
    assert (summary.purpose, summary.gain, summary.cost) == ("What it is for.", "Speed, much.", "None.")
    assert summary.parameters == (Parameter("a", "1", ""), Parameter("b", "2 in 1..3", "Of `b`, two lines."))
