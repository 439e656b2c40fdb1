"""What a compile that fails leaves: a report beside the output, until the next success."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from vggc.cli.main import run
from vggc.diagnostics import fail
from vggc.pipeline.runner import Runner

NET = """
<ir_version: 8, opset_import: ["": 17]>
g (float[N,4] x) => (float[N,4] y) { a = Relu (x) b = Relu (a) y = Relu (b) }
"""

PASSES = """
from vggc.graph import Graph
from vggc.rewrite import Context, whole_graph

@whole_graph
def breaks(graph: Graph) -> None:
    graph.nodes.clear()
    raise ValueError("no good")

@whole_graph
def wrong(graph: Graph, context: Context) -> None:
    node = graph.nodes[-1]
    graph.add("Neg", [node.inputs[0]], output=graph.outputs[0], replaces=[node])
    graph.remove(node)
    context.record("Relu replaced")

@whole_graph(exact=False)
def halve(graph: Graph, context: Context) -> None:
    context.record("nothing, but it may")

@whole_graph
def flip(graph: Graph, context: Context) -> None:
    context.record("nothing, again and again")

@whole_graph
def unsound(graph: Graph, context: Context) -> None:
    graph.nodes[-1].op = "Conv"
    context.record("made a Conv of one input")

@whole_graph
def interrupt(graph: Graph, context: Context) -> None:
    context.progress("looking around")
    raise KeyboardInterrupt
"""

FAILING = {
    "gate": ("require nodes <= 2\n", 3, "requirement", "r.opt:4:9", "requirement not met"),
    "pass": ("breaks\n", 1, "error", "r.opt:4:1", "pass `breaks` raised ValueError: no good"),
    "exact": ("wrong\n", 1, "error", "r.opt:4:1", "`wrong` is declared exact"),
    "size": ("require size <= 1% of original\n", 3, "requirement", "r.opt:4:9", "measured"),
    "second gate": ("require nodes <= 9\nrequire nodes <= 1\n", 3, "requirement", "r.opt:5:9", "requirement not met"),
    "rule": ("bad\n", 1, "error", "r.opt:2:6", "rule `bad` changes what it rewrites"),
    "repeat": ("repeat {\n    flip\n}\n", 1, "error", "r.opt:4:1", "`repeat` did not settle"),
    "unsound": ("unsound\n", 1, "error", "r.opt:4:1", "not valid ONNX"),
    "interrupt": ("interrupt\n", 130, "interrupted", "", "interrupted while doing: interrupt: looking around"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(onnx.parser.parse_model(NET), "net.onnx")
    Path("mine.py").write_text(PASSES)
    return tmp_path


def compiled(end: str, *options: str) -> int:
    rule = "rule bad { Relu(x) => Neg(x) }" if "bad" in end else ""
    Path("r.opt").write_text(f'use "mine.py"\n{rule}\nsimplify\n{end}')
    return run(["r.opt", "net.onnx", "-o", "build/out", *options])


def failed_report() -> dict[str, Any]:
    report = json.loads(Path("build/out-failed/report.json").read_text())
    assert isinstance(report, dict)
    return report


@pytest.mark.parametrize("name", FAILING)
def test_a_failure_leaves_a_report(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    end, status, kind, place, message = FAILING[name]
    assert compiled(end) == status
    said = capsys.readouterr()
    assert "simplify" in said.out
    assert f"report of what ran: {Path('build/out-failed/report.html')}" in said.out
    report = failed_report()
    assert report["steps"][0]["name"] == "simplify"
    assert report["failure"]["kind"] == kind
    assert report["failure"]["place"] == place
    assert message in report["failure"]["messages"][0]
    page = Path("build/out-failed/report.html").read_text(encoding="utf-8")
    assert 'id="failure-title"' in page
    assert 'id="graph"' not in page
    assert sorted(each.name for each in Path("build/out-failed").iterdir()) == ["report.html", "report.json"]
    assert sorted(each.name for each in Path("build").iterdir()) == ["out-failed"]


def test_the_measured_values_are_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert compiled("require nodes <= 5\nrequire params <= 0\nrequire nodes == 7\n") == 3
    assert [each["outcome"] for each in failed_report()["requirements"]] == ["held", "held", "failed"]
    assert "require" in capsys.readouterr().out
    assert failed_report()["failure"]["look_at"] == []


def test_a_gate_names_the_steps_that_can_have_caused_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert compiled("halve\nrequire nodes <= 9\nhalve\nwrong\nrequire nodes <= 0\n", "--verify", "off") == 3
    assert failed_report()["failure"]["look_at"] == ["halve (r.opt:6)"]
    assert "steps to look at: halve (r.opt:6); `vggc bisect` finds" in capsys.readouterr().out
    assert "Look at: halve (r.opt:6)" in Path("build/out-failed/report.html").read_text(encoding="utf-8")


def test_a_target_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def lower(*given: object) -> None:
        raise fail("nothing to lower to")

    monkeypatch.setattr("vggc.pipeline.compile._lower", lower)
    assert compiled("target onnx\n") == 1
    assert failed_report()["failure"]["messages"] == ["error: nothing to lower to"]


def test_the_next_failure_replaces_it_and_the_next_success_removes_it() -> None:
    assert compiled("breaks\n") == 1
    assert compiled("require nodes <= 0\n") == 3
    assert failed_report()["failure"]["kind"] == "requirement"
    assert compiled("target onnx\n") == 0
    assert sorted(each.name for each in Path("build").iterdir()) == ["out"]
    assert json.loads(Path("build/out/report.json").read_text())["failure"] is None
    assert compiled("breaks\n") == 1
    assert sorted(each.name for each in Path("build").iterdir()) == ["out", "out-failed"]
    assert Path("build/out/model.onnx").is_file()


def test_files_of_others_stay(capsys: pytest.CaptureFixture[str]) -> None:
    Path("build/out-failed").mkdir(parents=True)
    Path("build/out-failed/mine.txt").write_text("kept")
    assert compiled("breaks\n") == 1
    assert "the report of this failure is not written" in " ".join(capsys.readouterr().err.split())
    assert compiled("target onnx\n") == 0
    assert [each.name for each in Path("build/out-failed").iterdir()] == ["mine.txt"]


def test_a_bug_of_vggc_is_reported_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(runner: Runner, gate: object) -> None:
        raise AssertionError("never")

    monkeypatch.setattr(Runner, "_gate", fails)
    assert compiled("require nodes <= 5\n") == 70
    assert failed_report()["failure"]["messages"] == ["AssertionError: never"]


def test_what_is_wrong_before_the_first_step_leaves_nothing() -> None:
    assert compiled("nonsense\n") == 1
    Path("net.onnx").write_text("no model")
    assert compiled("target onnx\n") == 1
    assert not Path("build").exists()
