"""docs/rules.md: its recipes run, its rules are proved, its Python is a pass, and it lists every function of rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from onnx import parser

from vggc.binding.modules import import_file
from vggc.cli.main import run
from vggc.graph import Graph
from vggc.pattern.functions import FUNCTIONS
from vggc.rewrite import Pass

documents = import_file(Path(__file__).parent / "documents.py")
PAGE = documents.ROOT / "docs/rules.md"
MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[2,3] x, float[2,3] two) => (float[2,3] y, float[2,3] z) <float t = {2}> {
  a = Relu(x)
  y = Relu(a)
  z = Pow(two, t)
}
"""


@pytest.mark.parametrize("recipe", documents.blocks(PAGE, "opt"))
def test_recipes_run_and_their_rules_are_right(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipe.opt").write_text(recipe)
    Path("model.onnx").write_bytes(parser.parse_model(MODEL).SerializeToString())
    assert run(["recipe.opt", "model.onnx", "-o", "out", "--verify", "each"]) == 0
    if "rule " in recipe:
        assert run(["check", "--rules", "recipe.opt"]) == 0


def test_the_python_example_is_a_pass() -> None:
    names: dict[str, object] = {}
    (code,) = documents.blocks(PAGE, "python")
    exec(compile(code, "docs/rules.md", "exec"), names)
    found = names["square_is_mul"]
    assert isinstance(found, Pass)
    graph = Graph.from_model(parser.parse_model(MODEL))
    graph.infer_shapes()
    found(graph)
    graph.tidy()
    assert [node.op for node in graph.nodes] == ["Relu", "Relu", "Mul"]


def test_every_function_is_listed() -> None:
    listed = re.findall(r"^\| `(\w+)\(", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == sorted(FUNCTIONS)
