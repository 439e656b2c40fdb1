"""Under `mypy --strict` a misspelt attribute of a node or a value is an error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

STUBS = Path(__file__).parents[2] / "stubs"

MISSPELT = """
import onnx_graphsurgeon as gs

def rename(graph: gs.Graph, node: gs.Node, value: gs.Tensor) -> None:
    node.nme = value.name
    value.shap
    graph.nods
    node.inputs[0].values
"""


def test_misspelt_attributes_are_errors(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    mypy = pytest.importorskip("mypy.api", reason="mypy is not installed")
    monkeypatch.setenv("MYPYPATH", str(STUBS))
    file = tmp_path / "misspelt.py"
    file.write_text(MISSPELT)
    # What numpy and onnx declare is analysed once, and kept.
    cache = pytestconfig.cache.mkdir("mypy")
    found, problems, _ = mypy.run(["--strict", "--config-file=", f"--cache-dir={cache}", "--no-pretty", str(file)])
    assert not problems
    assert re.findall(r':(\d+): error: "(\w+)" has no attribute "(\w+)"', found) == [
        ("5", "Node", "nme"),
        ("6", "Tensor", "shap"),
        ("7", "Graph", "nods"),
        ("8", "Tensor", "values"),
    ]
