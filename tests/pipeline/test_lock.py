"""`vggc lock` and `--locked`: the same result, or the name of what differs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper
from PIL import Image

from vggc.cli.main import run

NET = """
<ir_version: 8, opset_import: ["": 17]>
net (float[N,3,8,8] x) => (float[N,4] y) <float[16,3,3,3] w, float[1024,4] u>
{
    c = Conv <pads = [1,1,1,1]> (x, w)
    r = Relu (c)
    f = Flatten (r)
    y = MatMul (f, u)
}
"""

PASSES = """
from vggc.graph import Graph
from vggc.rewrite import Context, whole_graph

@whole_graph(exact=False)
def scale(graph: Graph, context: Context, by: float) -> None:
    node = next(each for each in graph.nodes if each.op == "MatMul")
    graph.set_input(node, 1, graph.constant(graph.array(node.inputs[1]) * by, node.inputs[1].name))
    context.record("scaled")
"""

RECIPE = """param by: float = 1.5
data calib = images("pictures")
use "mine.py"

simplify
scale(by=by)
quantize(int8, data=calib)
target onnx
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model, its data, a recipe and its lock file."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model(NET)
    for info in model.graph.value_info:
        shape = [each.dim_value for each in info.type.tensor_type.shape.dim]
        model.graph.initializer.append(numpy_helper.from_array(random.standard_normal(shape, np.float32), info.name))
    del model.graph.value_info[:]
    onnx.save(model, "net.onnx")
    Path("pictures").mkdir()
    for number in range(40):
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(f"pictures/{number}.png")
    Path("mine.py").write_text(PASSES)
    Path("r.opt").write_text(RECIPE)
    assert run(["lock", "r.opt", "net.onnx"]) == 0
    return tmp_path


def locked(*options: str) -> int:
    return run(["r.opt", "net.onnx", "-o", "out", "--locked", *options])


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """The messages of a locked compile that is refused before it begins."""
    capsys.readouterr()
    assert locked() == 1
    assert not Path("out").exists() and not Path("out-failed").exists()
    return capsys.readouterr().err


def test_the_lock_is_readable_and_sorted() -> None:
    text = Path("r.lock").read_text()
    lock = json.loads(text)
    assert text == json.dumps(lock, indent=2, sort_keys=True) + "\n"
    assert [each["name"] for each in lock["steps"]] == ["simplify", "scale", "quantize"]
    assert lock["parameters"] == {"by": 1.5}
    assert lock["files"].keys() == {"mine.py"}
    assert len(lock["data"]["calib"]["files"]) == 40
    assert lock["steps"][2]["ranges"]
    assert all(text.startswith("scale ") for text in lock["steps"][2]["ranges"].values())


def test_the_same_compile_is_the_same() -> None:
    assert locked() == 0
    before = Path("r.lock").read_bytes()
    assert run(["lock", "r.opt", "net.onnx"]) == 0
    assert Path("r.lock").read_bytes() == before


def test_pictures_that_differ_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    for number in (3, 7, 9):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(f"pictures/{number}.png")
    said = refused(capsys)
    assert "the data `calib` has changed: 3 of 40 files differ: 3.png, 7.png, 9.png" in said
    assert "[VGGC805]" in said


def test_everything_that_differs_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load("net.onnx")
    model.doc_string = "changed"
    onnx.save(model, "net.onnx")
    Path("mine.py").write_text(PASSES + "\n")
    Path("r.opt").write_text("# more\n" + RECIPE)
    said = refused(capsys)
    for each in ("the model has changed", "the recipe has changed", "the file `mine.py` has changed"):
        assert each in said


def test_another_parameter_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert locked("--set", "by=2.5") == 1
    assert "the parameter `by` is 2.5, locked 1.5" in capsys.readouterr().err


def test_another_version_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("vggc.pipeline.lock.versions", lambda: {"onnxruntime": "9.9"})
    assert "onnxruntime is 9.9, locked " in refused(capsys)


def test_the_first_step_that_differs_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = json.loads(Path("r.lock").read_text())
    lock["steps"][2]["graph"] = "0" * 64
    name = next(iter(lock["steps"][2]["ranges"]))
    lock["steps"][2]["ranges"][name] = "scale 1.0, zero point 0"
    lock["processor"] = "another"
    Path("r.lock").write_text(json.dumps(lock))
    assert locked() == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "step 3, `quantize`, did not make the graph of `r.lock`" in said
    assert f"the range of `{name}` is scale" in said
    assert "in the lock another" in said
    assert not Path("out").exists()
    assert json.loads(Path("out-failed/report.json").read_text())["failure"]["kind"] == "error"


def test_numbers_alone_may_differ(capsys: pytest.CaptureFixture[str]) -> None:
    lock = json.loads(Path("r.lock").read_text())
    lock["steps"][1]["graph"] = "0" * 64
    Path("r.lock").write_text(json.dumps(lock))
    assert locked() == 1
    assert "only numbers of the graph" in capsys.readouterr().err


def test_steps_that_did_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    lock = json.loads(Path("r.lock").read_text())
    lock["steps"].append(lock["steps"][-1])
    Path("r.lock").write_text(json.dumps(lock))
    assert locked() == 1
    assert "only 3 of the 4 steps of `r.lock` ran" in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize("content", [None, "", "[]", '{"format": 0}'])
def test_no_lock(content: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    Path("r.lock").unlink()
    if content is not None:
        Path("r.lock").write_text(content)
    assert "vggc lock RECIPE MODEL" in refused(capsys)
