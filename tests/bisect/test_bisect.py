"""`vggc bisect`: planted faults are found, and the reproduction shows them by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from vggc.cli.main import run

PASSES = '''
"""Passes with faults planted in them."""

import numpy as np

from vggc.graph import Graph
from vggc.rewrite import Context, whole_graph


@whole_graph(exact=False)
def spoil(graph: Graph, context: Context, node: str = "conv3", factor: float = 1.5) -> None:
    """Scale every weight by next to nothing, and one of them by far too much, or the other way.

    Options:
        node: the node to spoil.
        factor: by how much its weight grows.
    """
    for each in list(graph.nodes):
        if each.op == "Conv":
            scale = factor if each.name == node else 1.0005
            weight = graph.array(each.inputs[1])
            graph.set_input(each, 1, graph.constant(weight * np.float32(scale), "scaled"))
            context.record("weight scaled")


@whole_graph(exact=False)
def moves_a_factor(graph: Graph, context: Context) -> None:
    """Multiply what conv2 gives by 8, divide what conv3 makes of it, and spoil conv4 a little."""
    for each in list(graph.nodes):
        for at, scale in {"conv2": ((1, 8), (2, 8)), "conv3": ((1, 1 / 8),), "conv4": ((1, 1.05),)}.get(each.name, ()):
            graph.set_input(each, at, graph.constant(graph.array(each.inputs[at]) * np.float32(scale), "scaled"))
            context.record("scaled")


@whole_graph(exact=False)
def reorders(graph: Graph, context: Context) -> None:
    """Turn the channels between conv2 and conv3 round, and spoil conv4 a little."""
    for each in list(graph.nodes):
        for at, change in {
            "conv2": ((1, lambda weight: weight[::-1]), (2, lambda bias: bias[::-1])),
            "conv3": ((1, lambda weight: weight[:, ::-1]),),
            "conv4": ((1, lambda weight: weight * np.float32(1.05)),),
        }.get(each.name, ()):
            graph.set_input(each, at, graph.constant(np.ascontiguousarray(change(graph.array(each.inputs[at])))))
            context.record("turned round")


@whole_graph(exact=False)
def quietly(graph: Graph) -> None:
    """Turn one bias round, and record nothing of it."""
    (node,) = [each for each in graph.nodes if each.name == "conv2"]
    graph.set_input(node, 2, graph.constant(-20 * graph.array(node.inputs[2]), "turned"))


@whole_graph(exact=False)
def wrong_size(graph: Graph) -> None:
    """Leave a weight that does not fit the node that reads it."""
    (node,) = [each for each in graph.nodes if each.name == "head"]
    graph.set_input(node, 2, graph.constant(np.zeros(3, np.float32), "short"))


@whole_graph(exact=False)
def stumbles(graph: Graph) -> None:
    """Fail at the second convolution."""
    if any(each.name == "conv2" for each in graph.nodes):
        raise ValueError("no such thing")
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: Any) -> Path:
    """An empty folder with a network of four convolutions, samples for it, and passes with faults."""
    monkeypatch.chdir(tmp_path)
    made = net(seed=3)
    x = "x"
    for index, (into, out) in enumerate(((3, 8), (8, 8), (8, 8), (8, 8)), 1):
        x = made.op("Relu", made.norm(made.conv(x, into, out), out))
        convs = [each for each in made.nodes if each.op_type == "Conv"]
        convs[-1].name = f"conv{index}"
    x = made.op("Flatten", made.op("GlobalAveragePool", x))
    graph = made.graph(made.linear(x, 8, 5))
    graph.nodes[-1].name = "head"
    graph.save(Path("model.onnx"))
    Path("faults.py").write_text(PASSES)
    samples = np.random.default_rng(0).normal(size=(48, 3, 8, 8)).astype(np.float32)
    np.savez("test.npz", x=samples)
    return tmp_path


@pytest.fixture
def vggc(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run(list(words))
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def recipe(*steps: str) -> None:
    lines = ['use "faults.py"', 'data test = npz("test.npz")', *steps, "target onnx"]
    Path("recipe.opt").write_text("\n".join(lines) + "\n")


def report(folder: str = "build/model-recipe-bisect") -> dict[str, Any]:
    return json.loads((Path(folder) / "report.json").read_text())  # type: ignore[no-any-return]


Vggc = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("measure", ["sqnr(test)", "agreement(test)", "max_abs_error(test)", "cosine(test)"])
def test_it_finds_a_planted_step_and_a_planted_node(vggc: Vggc, measure: str) -> None:
    recipe("simplify", "fold_batch_norm", 'spoil(node="conv3", factor=-4)', "simplify")
    status, out, err = vggc("bisect", "recipe.opt", "model.onnx", "--measure", measure)
    assert (status, err) == (0, "")
    found = report()
    assert found["guilty"] == {"name": "spoil", "line": "recipe.opt:5", "changes": 4}
    assert found["changes"][0]["after"] == ["Conv `conv3`"]
    assert "costs the most: `spoil` at recipe.opt:5" in out
    model = onnx.load("build/model-recipe-bisect/model.onnx")
    assert [node.name for node in model.graph.node] == ["conv3"]
    assert 'spoil(node="conv3", factor=-4)' in out


def test_the_reproduction_fails_by_itself(vggc: Vggc) -> None:
    recipe("spoil(factor=-4)")
    assert vggc("bisect", "recipe.opt", "model.onnx", "--measure", "sqnr(test)", "-o", "cut")[0] == 0
    status, _, err = vggc("cut/bisect.opt", "cut/model.onnx", "-o", "out")
    assert status == 3
    assert err.startswith("error: requirement not met: sqnr(test) >= ")
    # Without the gate it compiles: there is nothing else that the recipe trips over.
    text = Path("cut/bisect.opt").read_text()
    Path("cut/bisect.opt").write_text("".join(line for line in text.splitlines(True) if "require" not in line))
    assert vggc("cut/bisect.opt", "cut/model.onnx", "-o", "out")[0] == 0
    before, after = (onnx.load(each).graph.initializer[0] for each in ("cut/model.onnx", "out/model.onnx"))
    scale = onnx.numpy_helper.to_array(after) / onnx.numpy_helper.to_array(before)
    np.testing.assert_allclose(scale, -4, rtol=1e-5)


def test_a_step_that_records_nothing_is_found(vggc: Vggc) -> None:
    recipe("fold_batch_norm", "quietly", "spoil(factor=1)")
    assert vggc("bisect", "recipe.opt", "model.onnx", "--measure", "cosine(test)")[0] == 0
    found = report()
    assert found["guilty"]["name"] == "quietly"
    assert [each["after"] for each in found["changes"]] == [["Conv `conv2`"]]


def test_a_model_that_does_not_run_any_more(vggc: Vggc) -> None:
    recipe("fold_batch_norm", "wrong_size", "simplify")
    status, out, _ = vggc("bisect", "recipe.opt", "model.onnx", "--measure", "agreement(test)")
    assert status == 0
    assert "breaks the model: `wrong_size` at recipe.opt:4" in out
    status, _, err = vggc("build/model-recipe-bisect/bisect.opt", "build/model-recipe-bisect/model.onnx", "-o", "out")
    assert status == 1 and "bisect.opt" in err
    assert len(onnx.load("build/model-recipe-bisect/model.onnx").graph.node) == 1


def test_a_step_that_fails(vggc: Vggc) -> None:
    recipe("fold_batch_norm", "stumbles")
    status, out, _ = vggc("bisect", "recipe.opt", "model.onnx", "--measure", "agreement(test)")
    assert status == 0
    assert "breaks the model: `stumbles` at recipe.opt:4" in out
    assert "the changes that cause this are not known: the step itself fails" in out
    names = [node.name for node in onnx.load("build/model-recipe-bisect/model.onnx").graph.node]
    assert names[-1] == "conv2" and len(names) == 3
    status, _, err = vggc("build/model-recipe-bisect/bisect.opt", "build/model-recipe-bisect/model.onnx", "-o", "out")
    assert status == 1 and "pass `stumbles` raised ValueError: no such thing" in err


def test_a_rule_of_the_recipe(vggc: Vggc) -> None:
    rule = "rule forget tolerance=0.9 {\n    BatchNormalization(x, scale, shift, mean, var) => Neg(x)\n}"
    Path("recipe.opt").write_text(f'data test = npz("test.npz")\n{rule}\nsimplify\nforget\ntarget onnx\n')
    status, out, err = vggc("bisect", "recipe.opt", "model.onnx", "--measure", "sqnr(test)")
    assert status == 0, err
    found = report()
    assert found["guilty"]["name"] == "forget" and found["guilty"]["changes"] == 4
    assert found["changes"][0]["rule"] == "forget"
    assert "rule forget tolerance=0.9 {" in out
    assert vggc("build/model-recipe-bisect/bisect.opt", "build/model-recipe-bisect/model.onnx", "-o", "out")[0] != 0


def test_quantizing_is_taken_apart(vggc: Vggc) -> None:
    recipe("fold_batch_norm", "quantize(int8, data=test)")
    status, _, err = vggc("bisect", "recipe.opt", "model.onnx", "--measure", "sqnr(test)")
    assert status == 0, err
    found = report()
    assert found["guilty"]["name"] == "quantize"
    assert found["guilty"]["changes"] >= 4
    assert found["changes"][0]["cost"] >= found["changes"][-1]["cost"]
    status, _, err = vggc("build/model-recipe-bisect/bisect.opt", "build/model-recipe-bisect/model.onnx", "-o", "out")
    assert status == 3, err


def test_pruning_hangs_together(vggc: Vggc) -> None:
    """Channels that go change the shapes on the way: no smaller piece would do."""
    recipe("fold_batch_norm", "prune_channels(macs=50%, align=1)")
    status, out, err = vggc("bisect", "recipe.opt", "model.onnx", "--measure", "sqnr(test)")
    assert status == 0, err
    assert report()["guilty"]["name"] == "prune_channels"
    assert "the whole model before the step" in out


def test_nothing_makes_it_worse(vggc: Vggc) -> None:
    recipe("simplify", "fold_batch_norm")
    status, out, _ = vggc("bisect", "recipe.opt", "model.onnx", "--measure", "agreement(test)")
    assert status == 0
    assert out.endswith("no step makes the model worse\n")
    assert not Path("build").exists()


def test_measures_of_size_need_no_data(vggc: Vggc) -> None:
    recipe("fold_batch_norm", "quantize(int8, data=test)")
    status, out, err = vggc("bisect", "recipe.opt", "model.onnx", "--measure", "nodes")
    assert status == 0, err
    assert "costs the most: `quantize` at recipe.opt:4" in out
    assert "`nodes` is measured without data" in out


def test_gates_and_params_are_passed_by(vggc: Vggc) -> None:
    recipe("param by: float = 1", "spoil(factor=by)", "require sqnr(test) >= 200")
    words = ("bisect", "recipe.opt", "model.onnx", "--measure", "sqnr(test)", "--set", "by=3")
    assert vggc(*words)[0] == 0
    assert "spoil(factor=3" in Path("build/model-recipe-bisect/bisect.opt").read_text()
    # The folder is vggc's own, and is replaced.
    assert vggc(*words)[0] == 0


@pytest.mark.parametrize(
    ("measure", "told"),
    [
        ("agreement(tests)", "a similar name exists: `test`"),
        ("agreemet(test)", "a similar name exists: `agreement`"),
        ("50% of accuracy(test)", "this is not a measure"),
        ("1", "`original` needs a measure beside it"),
        ("accuracy(test)", "has no labels to measure accuracy with"),
        ("sqnr(test) >= 3", "--measure:1"),
    ],
)
def test_what_is_no_measure(vggc: Vggc, measure: str, told: str) -> None:
    recipe("simplify")
    status, _, err = vggc("bisect", "recipe.opt", "model.onnx", "--measure", measure)
    assert status == 1
    assert told in err


def test_of_many_changes_those_that_move_the_outputs_are_measured(vggc: Vggc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggc.bisect.search.ALONE", 1)
    for node in ("conv1", "conv2", "conv3", "conv4"):
        recipe("fold_batch_norm", f'spoil(node="{node}", factor=-4)')
        assert vggc("bisect", "recipe.opt", "model.onnx", "--measure", "sqnr(test)")[0] == 0
        found = report()
        assert [each["after"] for each in found["changes"]] == [[f"Conv `{node}`"]]
        assert found["guilty"]["changes"] == 4


def test_what_a_step_scaled_is_scaled_back(vggc: Vggc) -> None:
    """A factor goes from conv2 to conv3, over the Relu between them: neither does any harm."""
    recipe("fold_batch_norm", "moves_a_factor")
    assert vggc("bisect", "recipe.opt", "model.onnx", "--measure", "sqnr(test)")[0] == 0
    found = report()
    assert found["guilty"] == {"name": "moves_a_factor", "line": "recipe.opt:4", "changes": 3}
    assert found["changes"][0]["after"] == ["Conv `conv4`"]
    assert {each["after"][0] for each in found["changes"][1:]} == {"Conv `conv2`", "Conv `conv3`"}
    assert all(each["cost"] < 1e-9 for each in found["changes"][1:])


def test_what_only_two_nodes_together_keep_is_one_change(vggc: Vggc) -> None:
    """Channels between conv2 and conv3 change their order: neither means anything alone."""
    recipe("fold_batch_norm", "reorders")
    assert vggc("bisect", "recipe.opt", "model.onnx", "--measure", "sqnr(test)")[0] == 0
    found = report()
    assert found["guilty"] == {"name": "reorders", "line": "recipe.opt:4", "changes": 2}
    assert [[each.split()[0] for each in change["after"]] for change in found["changes"]] == [
        ["Conv"],
        ["Conv", "Relu", "Conv"],
    ]
    assert found["changes"][0]["after"] == ["Conv `conv4`"]
    assert found["changes"][1]["cost"] < 1e-9
