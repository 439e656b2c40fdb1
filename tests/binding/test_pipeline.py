"""The pipeline that a right recipe becomes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vggc.binding import bind
from vggc.binding.registry import Registry
from vggc.diagnostics import CompileError
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.grammar.recipe_file import read_recipe
from vggc.pipeline.model import BoundGate, BoundRepeat, BoundStep, BoundWhen, Pipeline
from vggc.values import Bytes, Interval, Names, Ratio, Seconds

Bind = Callable[..., Pipeline]


@pytest.fixture
def bound(vocabulary: Registry, tmp_path: Path) -> Bind:
    """Binds a recipe that stands, with some files, in a folder of its own."""

    def bound(text: str, files: dict[str, str] | None = None, **overrides: str) -> Pipeline:
        for name, content in (files or {}).items():
            (tmp_path / name).write_text(content)
        source = Source(str(tmp_path / "recipe.opt"), text)
        return bind(parse(source), overrides=overrides, registry=vocabulary)

    return bound


def test_steps_carry_their_pass_options_and_place(bound: Bind) -> None:
    pipeline = bound('simplify\n\nprune_channels(50%, align=16, except=["head"])\n')
    first, second = pipeline.body
    assert isinstance(first, BoundStep) and isinstance(second, BoundStep)
    assert (first.name, first.options, first.label) == ("simplify", {}, "recipe.opt:1")
    assert second.options == {"macs": Ratio(0.5), "align": 16, "except_": Names(("head",))}
    assert second.span.text == 'prune_channels(50%, align=16, except=["head"])'
    assert second.line == 3


def test_options_are_typed(bound: Bind) -> None:
    recipe = (
        "quantize(int8, calibration=minmax, percentile=99, bits=4, time=2ms, window=1..2, pair=[1, 2], groups=[])\n"
    )
    (step,) = bound(recipe).steps()
    assert step.options == {
        "type": "int8",
        "calibration": "minmax",
        "percentile": 99.0,
        "bits": 4,
        "time": Seconds(0.002),
        "window": Interval((1, 2)),
        "pair": (1, 2),
        "groups": [],
    }
    assert {type(each) for each in step.options.values()} == {str, float, int, Seconds, Interval, tuple, list}


def test_blocks_keep_their_shape(bound: Bind) -> None:
    recipe = """\
when has(BatchNormalization) {
    fold_batch_norm
} else {
    repeat { simplify }
}
require size <= 30% of original else rollback
"""
    pipeline = bound(recipe)
    when, gate = pipeline.body
    assert isinstance(when, BoundWhen) and isinstance(gate, BoundGate)
    (folded,), (repeat,) = when.body, when.otherwise
    assert isinstance(folded, BoundStep) and isinstance(repeat, BoundRepeat)
    assert when.text == "has(BatchNormalization)"
    assert (gate.text, gate.otherwise) == ("size <= 30% of original", "rollback")
    assert [each.name for each in pipeline.steps()] == ["fold_batch_norm", "simplify"]
    assert list(pipeline.gates()) == [gate]


def test_targets_are_kept_in_order(bound: Bind) -> None:
    pipeline = bound('simplify\ntarget tensorrt_rtx(shapes={"x": [1..8..32, 3]})\ntarget onnx(external=true)\n')
    assert [each.target.name for each in pipeline.targets] == ["tensorrt_rtx", "onnx"]
    assert pipeline.targets[0].options == {"shapes": {"x": [Interval((1, 8, 32)), 3]}}


# --- parameters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "override", "expected"),
    [
        ("x = 50%", None, Ratio(0.5)),
        ("x = 50%", "40%", Ratio(0.4)),
        ("x = 50%", "0.4", Ratio(0.4)),
        ("x = 50%", "30% of 50%", Ratio(0.15)),
        ("x: ratio = 0.5", None, Ratio(0.5)),
        ("x: ratio = 150%", None, Ratio(1.5)),
        ("x = 8", "-3", -3),
        ("x: float = 8", None, 8.0),
        ("x = 0.5", "2", 2.0),
        ("x = 4MiB", "1KB", Bytes(1000)),
        ("x: seconds = 2ms", "1s", Seconds(1.0)),
        ("x = true", "false", False),
        ('x = "a"', '"b"', "b"),
        ('x = "a"', "b c/d.npz", "b c/d.npz"),
        ('x: names = "a"', "classifier.*", "classifier.*"),
        ('x: names = ["a", "b"]', None, ["a", "b"]),
        ("x = entropy", "minmax", "minmax"),
        ("x = [1, 2]", "[3]", [3]),
        ('x = {"a": 1}', None, {"a": 1}),
        ("x = 1..8..32", "1..1..4", Interval((1, 1, 4))),
        ("x = 50% in 10%..90%", "90%", Ratio(0.9)),
        ("x = 1..8..32 in 1..64", "1..64", Interval((1, 64))),
    ],
)
def test_parameters(bound: Bind, declared: str, override: str | None, expected: Any) -> None:
    overrides = {} if override is None else {"x": override}
    found = bound(f"param {declared}\nsimplify\n", **overrides).params["x"]
    assert found == expected
    assert type(found) is type(expected)


def test_a_parameter_takes_the_place_of_its_value(bound: Bind) -> None:
    pipeline = bound(
        "param keep = 50%\nparam half = keep / 2\nparam mode = minmax\n"
        "prune_channels(half)\nquantize(int8, calibration=mode)\n",
        keep="80%",
    )
    assert [each.options for each in pipeline.steps()] == [
        {"macs": Ratio(0.4)},
        {"type": "int8", "calibration": "minmax"},
    ]
    assert list(pipeline.params) == ["keep", "half", "mode"]


def test_a_parameter_comes_before_a_word_of_the_same_spelling(bound: Bind) -> None:
    (step,) = bound("param entropy = minmax\nquantize(int8, calibration=entropy)\n").steps()
    assert step.options["calibration"] == "minmax"


# --- data --------------------------------------------------------------------------------------------------


def test_data_is_one_object_that_is_loaded_once_and_late(bound: Bind, tmp_path: Path) -> None:
    loads = """
import numpy as np
from vggc.data import loader

calls = []

@loader
def noted(base, rows: int = 2):
    calls.append(base)
    return {"x": np.zeros((rows, 3), np.float32)}
"""
    recipe = 'use "loads.py"\ndata calib = noted(rows=4)\nprune_channels(50%, calib)\nquantize(int8, data=calib)\n'
    pipeline = bound(recipe, {"loads.py": loads})
    first, second = pipeline.steps()
    data = pipeline.data["calib"]
    assert first.options["data"] is second.options["data"] is data
    calls = data.loader.function.__globals__["calls"]
    assert calls == []
    assert data.load() is data.load()
    assert calls == [tmp_path]
    assert (data.load().name, len(data.load())) == ("calib", 4)


def test_an_error_of_loading_points_at_the_statement(bound: Bind) -> None:
    raises = "from vggc.data import loader\n\n@loader\ndef bad(base):\n    raise OSError('gone')\n"
    data = bound('use "bad.py"\ndata calib = bad()\nsimplify\n', {"bad.py": raises}).data["calib"]
    with pytest.raises(CompileError) as caught:
        data.load()
    (found,) = caught.value.diagnostics
    assert found.span == data.span
    assert found.message == "loader `bad` raised OSError: gone"


def test_files_are_relative_to_the_recipe(bound: Bind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert bound('data test = npz("test.npz")\nsimplify\n', {"test.npz": ""}).data["test"].options == {
        "path": "test.npz"
    }


# --- define and use ----------------------------------------------------------------------------------------


def test_a_define_is_expanded_at_each_call(bound: Bind) -> None:
    recipe = """\
define tidy_up(most) {
    simplify(largest=most)
}
define slim(share, skip) {
    prune_channels(share, except=skip)
    repeat { tidy_up(8MiB) }
}
slim(50%, "head")
slim(skip=["a", "b"], share=40%)
"""
    pipeline = bound(recipe)
    assert [each.options for each in pipeline.steps()] == [
        {"macs": Ratio(0.5), "except_": Names(("head",))},
        {"largest": Bytes(8 << 20)},
        {"macs": Ratio(0.4), "except_": Names(("a", "b"))},
        {"largest": Bytes(8 << 20)},
    ]
    assert [each.label for each in pipeline.steps()][:2] == [
        "recipe.opt:8 > recipe.opt:5",
        "recipe.opt:8 > recipe.opt:6 > recipe.opt:2",
    ]


def test_a_define_sees_the_names_where_it_is_written(bound: Bind) -> None:
    define = "define slim(share) {\n    prune_channels(keep / 2)\n    prune_channels(share)\n}\n"
    pipeline = bound(f"param keep = 50%\n{define}slim(keep)\n")
    assert [each.options["macs"] for each in pipeline.steps()] == [Ratio(0.25), Ratio(0.5)]


def test_use_brings_in_what_a_recipe_declares_and_uses(bound: Bind) -> None:
    files = {
        "library.opt": 'use "inner.opt"\ndefine twice {\n    once\n    once\n}\n',
        "inner.opt": "define once { simplify }\n",
    }
    pipeline = bound('use "library.opt"\nuse "inner.opt"\ntwice\nonce\n', files)
    assert [each.name for each in pipeline.steps()] == ["simplify"] * 3
    assert pipeline.warnings == ()


def test_use_of_a_python_file_brings_in_what_it_defines_itself(bound: Bind) -> None:
    own = """
from __future__ import annotations

from dataclasses import dataclass

from vggc.graph import Graph
from vggc.measures import Subject, measure
from vggc.passes.simplify import simplify
from vggc.rewrite import whole_graph
from vggc.values import Seconds

@dataclass
class Helper:
    name: str

@whole_graph(exact=False)
def mine(graph: Graph, times: int = 1) -> None:
    "Do nothing."

@measure(better="lower")
def depth(subject: Subject) -> Seconds:
    return Seconds(0.0)
"""
    (step, gate) = bound('use "own.py"\nmine(times=3)\nrequire depth < 2ms\n', {"own.py": own}).body
    assert isinstance(step, BoundStep) and isinstance(gate, BoundGate)
    assert (step.pass_.exact, step.options) == (False, {"times": 3})
    assert gate.condition.left.kind == "seconds"


def test_what_vggc_ships_binds(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    shutil.copytree(root / "recipes", tmp_path / "recipes")
    shutil.copytree(root / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("build", "data"))
    recipes = [*tmp_path.glob("recipes/*.opt"), *tmp_path.glob("examples/*/*.opt")]
    assert len(recipes) > 2
    for each in recipes:
        syntax = parse(read_recipe(each))
        # Samples that whoever runs a recipe brings along, or a training script writes.
        for name in re.findall(r'"([^"]+\.npz)"', each.read_text(encoding="utf-8")):
            file = each.parent / name
            file.parent.mkdir(exist_ok=True)
            file.touch()
        assert bind(syntax).targets, each
