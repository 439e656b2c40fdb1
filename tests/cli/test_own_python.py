"""What goes wrong in your own Python files: messages without a code, measures without a number, broken models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Write = Callable[[str], str]


def test_a_message_of_an_own_check_has_no_code_of_vggc(vggc: Any, recipe: Write) -> None:
    Path("own.py").write_text(
        "from vggc.diagnostics import Diagnostic\n"
        "from vggc.rewrite import Graph, whole_graph\n"
        "@whole_graph(check=lambda options, beforehand: [Diagnostic('mine is wrong')])\n"
        "def mine(graph: Graph) -> None: ...\n"
    )
    path = recipe('use "own.py"\nmine')
    ran = vggc("check", path)
    assert ran.status == 1 and ran.err.startswith("error: mine is wrong\n --> recipe.opt:2:1\n")
    assert json.loads(vggc("check", path, "--json").out)["diagnostics"][0]["code"] == "VGGC001"


def test_a_measure_that_is_not_a_number(vggc: Any, recipe: Write) -> None:
    Path("own.py").write_text(
        "from vggc.measures import Subject, measure\n"
        "@measure(better='higher')\n"
        "def mine(subject: Subject) -> float:\n"
        "    return float('nan')\n"
    )
    ran = vggc("bisect", recipe('use "own.py"\nfold_batch_norm\nrequire mine >= 0'), "model.onnx", "--measure", "mine")
    assert ran.status == 1
    assert "error: the measure `mine` of the model as read is not a number, so nothing is worse [VGGC903]" in ran.err


def test_a_model_that_does_not_load_is_not_written(vggc: Any, recipe: Write) -> None:
    Path("own.py").write_text(
        "from vggc.rewrite import Graph, whole_graph\n"
        "@whole_graph(exact=False)\n"
        "def mine(graph: Graph) -> None:\n"
        "    node = next(each for each in graph.nodes if each.op == 'Relu')\n"
        "    node.op, node.domain = 'NoSuchOperator', 'com.microsoft'\n"
    )
    ran = vggc(recipe('use "own.py"\nmine'), "model.onnx", "-o", "out", "--verify", "off")
    assert ran.status == 1
    assert "error: the compiled model does not load in onnxruntime [VGGC513]\n" in ran.err
    assert not Path("out").exists()
