"""What vggc promises: a change that alters results is refused by default, with the right culprit, wherever it hides."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

Write = Callable[[str], str]

PASSES = """
from vggc.rewrite import rewrites, whole_graph

@whole_graph
def replaces_weights(graph):
    for node in graph.nodes:
        if node.op == "Gemm":
            graph.set_input(node, 1, graph.constant(graph.array(node.inputs[1]) * 2))

@whole_graph
def writes_into_weights(graph):
    for node in graph.nodes:
        if node.op == "Gemm":
            node.inputs[1].values = node.inputs[1].values * 3

@whole_graph
def changes_an_attribute(graph):
    for node in graph.nodes:
        if node.op == "BatchNormalization":
            node.attrs["epsilon"] = 5.0

@whole_graph
def changes_nothing(graph):
    pass

@rewrites("Relu(x)")
def python_rule(match):
    return match.add("Abs", [match.x])
"""


@pytest.fixture
def passes(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(PASSES)
    return 'use "own.py"\n'


@pytest.mark.parametrize("name", ["replaces_weights", "writes_into_weights", "changes_an_attribute"])
def test_a_pass_that_records_nothing_is_compared(vggc: Any, recipe: Write, passes: str, name: str) -> None:
    ran = vggc(recipe(f"{passes}simplify\n{name}\nfold_batch_norm"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert f"`{name}` is declared exact" in ran.err
    assert "@whole_graph(exact=False)" in ran.err
    assert not Path("out").exists()


def test_a_pass_that_changes_nothing_is_no_change(vggc: Any, recipe: Write, passes: str) -> None:
    ran = vggc(recipe(f"{passes}changes_nothing"), "model.onnx", "-o", "out")
    assert ran.status == 0
    assert json.loads(Path("out/report.json").read_text())["steps"][0]["changes"] == {}


WRONG_RULES = {
    "alone": ("rule wrong { Relu(x) => Abs(x) }", "wrong"),
    "with a tolerance": ("rule wrong tolerance=1e-4 { Relu(x) => Abs(x) }", "wrong"),
    "beside one with a tolerance": (
        "rule wrong { Relu(x) => Abs(x) }\nrule other tolerance=1e-3 { Identity(x) => x }",
        "repeat {\n    wrong\n    other\n}",
    ),
    "behind right ones": (
        "rule wrong { Relu(x) => Abs(x) }\nrule right { Identity(x) => x }",
        "right\nsimplify\nwrong\nfold_batch_norm",
    ),
}


@pytest.mark.parametrize("case", WRONG_RULES)
def test_a_wrong_rule_is_refused_and_named(vggc: Any, recipe: Write, case: str) -> None:
    rules, steps = WRONG_RULES[case]
    ran = vggc(recipe(f"{rules}\n{steps}"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert ran.err.startswith("error: rule `wrong` changes what it rewrites")
    assert "recipe.opt:1:6" in ran.err
    assert "please report" not in ran.err
    assert not Path("out").exists()


def test_a_wrong_rule_in_a_file_that_is_used_is_the_users(vggc: Any, recipe: Write, tmp_path: Path) -> None:
    (tmp_path / "rules.opt").write_text("rule wrong { Relu(x) => Abs(x) }\ndefine all {\n    wrong\n}\n")
    ran = vggc(recipe('use "rules.opt"\nall'), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert "rule `wrong`" in ran.err
    assert "please report" not in ran.err


def test_a_wrong_rule_of_python_is_refused(vggc: Any, recipe: Write, passes: str) -> None:
    ran = vggc(recipe(f"{passes}python_rule"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert "`python_rule`" in ran.err
    assert "please report" not in ran.err


def test_a_tolerance_widens_and_ends_nothing(vggc: Any, recipe: Write) -> None:
    text = "rule near tolerance=1e-2 { Relu(x) => Elu(x, alpha=0.001) }\nnear"
    ran = vggc(recipe(text), "model.onnx", "-o", "out")
    assert ran.status == 0, ran.err
    (check,) = json.loads(Path("out/report.json").read_text())["verification"]
    assert check["steps"] == ["near"]
    assert 1e-4 < check["error"] < check["tolerance"]


# --- the file that is written ------------------------------------------------------------------------------


def test_what_is_compared_is_the_file(vggc: Any, recipe: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in writing changes the file alone, and not the graph that is in memory."""
    from vggc.graph.graph import Graph

    save = Graph.save

    def wrong(graph: Graph, path: Path, *, external: bool = False) -> Any:
        written = save(graph, path, external=external)
        model = onnx.load(path)
        for node in model.graph.node:
            if node.op_type == "Relu":
                node.op_type = "Abs"
        onnx.save(model, path)
        return written

    monkeypatch.setattr(Graph, "save", wrong)
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert "the written model does not compute what the model as read computes" in ran.err
    assert not Path("out").exists()


@pytest.mark.parametrize("mode", ["each", "end", "off"])
def test_a_model_that_does_not_load_is_never_written(vggc: Any, recipe: Write, mode: str) -> None:
    # onnxruntime has no Softsign of 8-bit integers, and the checker does not mind.
    Path("own.py").write_text(
        "from vggc.rewrite import whole_graph\n"
        "@whole_graph(exact=False)\n"
        "def breaks(graph):\n"
        "    node = next(each for each in graph.nodes if each.op == 'Relu')\n"
        "    node.op = 'Softsigns'\n"
        "    node.domain = 'nobody.has.this'\n"
    )
    ran = vggc(recipe('use "own.py"\nbreaks'), "model.onnx", "-o", "out", "--verify", mode)
    assert ran.status == 1
    assert not Path("out").exists()


@pytest.mark.parametrize("mode", ["end", "off"])
def test_an_output_of_another_name_is_never_written(vggc: Any, recipe: Write, mode: str) -> None:
    Path("own.py").write_text(
        "from vggc.rewrite import whole_graph\n"
        "@whole_graph(exact=False)\n"
        "def renames(graph):\n"
        "    graph.outputs[0].name = 'scores'\n"
    )
    ran = vggc(recipe('use "own.py"\nrenames'), "model.onnx", "-o", "out", "--verify", mode)
    assert ran.status == 1
    assert "the outputs of the compiled model differ from those of the model as read [VGGC512]" in ran.err
    assert "`logits`" in ran.err and "`scores`" in ran.err
    assert not Path("out").exists()


# --- no false alarm, and no word too few -------------------------------------------------------------------


def test_an_output_of_rounding_errors_alone_is_no_difference(vggc: Any, recipe: Write) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        helper.make_node("InstanceNormalization", ["n", "one", "zero"], ["i"]),
        helper.make_node("GlobalAveragePool", ["i"], ["y"]),
    ]
    random = np.random.default_rng(0)
    weights = {"w": random.standard_normal((4, 3, 3, 3)), "one": np.ones(4), "zero": np.zeros(4)}
    weights |= {name: random.uniform(0.5, 1.5, 4) for name in "sbmv"}
    graph = helper.make_graph(
        nodes,
        "zero",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 4, 1, 1])],
        [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "model.onnx")
    ran = vggc(recipe("fold_batch_norm"), "model.onnx", "-o", "out")
    assert ran.status == 0, ran.err
    assert "output `y` is nothing but rounding errors" in ran.err


def test_every_compile_says_how_far_it_went(vggc: Any, recipe: Write, tmp_path: Path) -> None:
    samples = np.random.default_rng(1).standard_normal((40, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "calib.npz", x=samples)
    text = 'data calib = npz("calib.npz")\nprune_channels(macs=60%, data=calib, align=1)\nfold_batch_norm'
    ran = vggc(recipe(text), "model.onnx", "-o", "out")
    assert ran.status == 0, ran.err
    fidelity = json.loads(Path("out/report.json").read_text())["fidelity"]
    assert fidelity["inputs"] == "5 samples of `calib` that no step has used"
    (output,) = fidelity["outputs"]
    assert output["name"] == "logits"
    assert 0 <= output["agreement"] <= 1 and output["cosine"] < 1
    assert "logits" in ran.out


def test_a_model_ruined_by_too_few_samples_is_warned_of(vggc: Any, recipe: Write, tmp_path: Path) -> None:
    samples = np.random.default_rng(1).standard_normal((16, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "calib.npz", x=samples)
    text = 'data calib = npz("calib.npz")\nprune_channels(macs=13%, data=calib, align=1, repair=none)'
    ran = vggc(recipe(text), "model.onnx", "-o", "out")
    assert ran.status == 0, ran.err
    assert "the compiled model differs a lot from the model as read" in ran.err.replace("\n", " ")
