"""What the runner hands to a step beside the graph."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import onnx.parser

from vggc.binding import bind
from vggc.diagnostics.progress import Progress
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.pipeline.compile import compile_model, plan_model

MODEL = """
<ir_version: 8, opset_import: ["": 17]>
g (float[2] x) => (float[2] y) { a = Relu (x) y = Relu (a) }
"""

PASSES = """
from vggc.graph import Graph
from vggc.rewrite import Context, whole_graph

@whole_graph
def drop_second_relu(graph: Graph, context: Context) -> None:
    first, second = graph.nodes
    context.progress("looking at [/second]", 1, 2)
    graph.remove(first)
    graph.set_input(second, 0, graph.inputs[0])
    context.record("second Relu removed")

@whole_graph
def look_around(graph: Graph, context: Context) -> None:
    before = len(context.original().nodes)
    context.note(f"{before} nodes became {len(graph.nodes)}")
    context.note(", ".join(each.target for each in context.targets))
    context.decline(graph.nodes[0], "there is no other")
    context.warn("nothing to see")
"""

RECIPE = 'use "mine.py"\ndrop_second_relu\nlook_around\ntarget onnx\n'


class Noted(Progress):
    """Notes what it gets."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []
        self.inner: list[tuple[str, str, int, int]] = []

    def begin(self, work: str, number: int = 0, total: int = 0) -> None:
        if number:
            self.steps.append((work, number, total))

    def inside(self, what: str, done: int = 0, total: int = 0) -> None:
        self.inner.append((self.steps[-1][0], what, done, total))


def test_a_pass_knows_the_compilation_it_is_a_part_of(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(MODEL), tmp_path / "net.onnx")
    (tmp_path / "mine.py").write_text(PASSES, encoding="utf-8")
    pipeline = bind(parse(Source(str(tmp_path / "r.opt"), RECIPE)))
    doing = Noted()
    report = compile_model(pipeline, tmp_path / "net.onnx", tmp_path / "out", progress=doing)
    assert doing.steps == [("drop_second_relu", 1, 2), ("look_around", 2, 2)]
    assert doing.inner == [("drop_second_relu", "looking at [/second]", 1, 2)]
    first, second = report.steps
    assert first.changes == {"second Relu removed": 1}
    assert not first.notes and not first.declined
    assert second.notes == ["2 nodes became 1", "onnx"]
    assert [(each.what, each.reason) for each in second.declined] == [("Relu of `y`", "there is no other")]
    assert report.warnings == ["r.opt:3: nothing to see"]
    written = onnx.load(tmp_path / "out" / "model.onnx")
    lines = {each.key: each.value for each in written.graph.node[0].metadata_props}
    assert lines == {"vggc.line": "r.opt:2", "vggc.pass": "drop_second_relu"}
    assert json.loads((tmp_path / "out" / "report.json").read_text())["steps"][1]["notes"] == second.notes
    assert [each.notes for each in plan_model(pipeline, tmp_path / "net.onnx").steps] == [[], second.notes]
