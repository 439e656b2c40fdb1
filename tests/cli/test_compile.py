"""`vggc recipe.opt model.onnx`: what is written, what is reported, and with which exit status it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from vggc.cli.interrupts import held_back
from vggc.graph import Graph
from vggc.rewrite import Context, Pass

Write = Callable[[str], str]


def report(folder: str = "out") -> Any:
    return json.loads(Path(folder, "report.json").read_text())


def test_a_whole_compile(vggc: Any, recipe: Write) -> None:
    ran = vggc(recipe("simplify\nfold_batch_norm"), "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (0, "")
    assert sorted(each.name for each in Path("out").iterdir()) == ["model.onnx", "report.html", "report.json"]
    model = onnx.load("out/model.onnx")
    assert [node.op_type for node in model.graph.node] == ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]
    found = report()
    simplify, fold = found["steps"]
    assert (simplify["name"], simplify["line"], simplify["exact"]) == ("simplify", "recipe.opt:1", True)
    assert simplify["changes"] == {"remove Identity": 1}
    assert (simplify["before"]["nodes"], simplify["after"]["nodes"], fold["after"]["nodes"]) == (7, 6, 5)
    assert fold["before"]["params"] - fold["after"]["params"] == 24
    assert [each["error"] < 1e-5 for each in found["verification"]] == [True]
    assert found["artifacts"][0]["sha256"] == sha256(Path("out/model.onnx"))
    assert found["model"]["sha256"] == sha256(Path("model.onnx"))
    assert "fold_batch_norm" in ran.out and "largest relative error" in ran.out


def sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_touched_nodes_know_their_line_and_pass(vggc: Any, recipe: Write) -> None:
    vggc(recipe("simplify\nfold_batch_norm"), "model.onnx", "-o", "out")
    conv = onnx.load("out/model.onnx").graph.node[0]
    known = {each.key: each.value for each in conv.metadata_props}
    assert known == {"vggc.line": "recipe.opt:2", "vggc.pass": "fold_batch_norm", "vggc.from": "conv, norm"}


def test_the_default_folder_is_named_after_model_and_recipe(vggc: Any, recipe: Write) -> None:
    assert vggc(recipe("simplify"), "model.onnx").status == 0
    assert Path("build/model-recipe/model.onnx").exists()


def test_an_override_reaches_the_recipe(vggc: Any, recipe: Write) -> None:
    text = "param batch: int = 2 in 1..8\nset_batch(batch)"
    assert vggc(recipe(text), "model.onnx", "-o", "out", "--set", "batch=5").status == 0
    shape = onnx.load("out/model.onnx").graph.input[0].type.tensor_type.shape
    assert shape.dim[0].dim_value == 5
    assert report()["recipe"]["parameters"] == {"batch": 5}


# --- gates -------------------------------------------------------------------------------------------------


def test_a_failing_requirement_ends_with_3_and_writes_nothing(vggc: Any, recipe: Write, tmp_path: Path) -> None:
    ran = vggc(recipe("simplify\nrequire nodes <= 3"), "model.onnx", "-o", "out")
    assert ran.status == 3
    assert ran.err == (
        "error: requirement not met: nodes <= 3 [VGGC505]\n"
        " --> recipe.opt:2:9\n"
        "  |\n"
        "2 | require nodes <= 3\n"
        "  |         ^^^^^^^^^^\n"
        "  = measured: 6\n"
        "  = wanted: <= 3\n"
        "help: `else rollback` undoes the steps since the last gate that held; `else warn` continues\n"
    )
    assert not Path("out").exists()


def test_a_warning_gate_goes_on(vggc: Any, recipe: Write) -> None:
    ran = vggc(recipe("simplify\nrequire nodes <= 3 else warn"), "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (0, "warning: requirement not met: nodes <= 3: measured 6, wanted <= 3\n")
    assert report()["requirements"][0]["outcome"] == "warned"


def test_rollback_undoes_the_steps_since_the_last_gate_that_held(vggc: Any, recipe: Write) -> None:
    text = "simplify\nrequire nodes <= 6\nfold_batch_norm\nrequire nodes <= 3 else rollback"
    assert vggc(recipe(text), "model.onnx", "-o", "out").status == 0
    operators = [node.op_type for node in onnx.load("out/model.onnx").graph.node]
    assert operators == ["Conv", "BatchNormalization", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]
    found = report()
    assert [step["undone"] for step in found["steps"]] == [False, True]
    assert [each["outcome"] for each in found["requirements"]] == ["held", "rolled back"]


def test_rollback_with_no_gate_before_goes_back_to_the_model_as_read(vggc: Any, recipe: Write) -> None:
    assert vggc(recipe("simplify\nrequire nodes <= 3 else rollback"), "model.onnx", "-o", "out").status == 0
    assert len(onnx.load("out/model.onnx").graph.node) == 7


def test_original_is_the_model_as_read(vggc: Any, recipe: Write) -> None:
    np.savez("t.npz", x=np.zeros((6, 3, 8, 8), np.float32), y=np.zeros(6, np.int64))
    text = 'data t = npz("t.npz", label="y")\nsimplify\nfold_batch_norm\n'
    text += "require accuracy(t) >= original - 1%\nrequire agreement(t) >= 100%\nrequire params < original"
    ran = vggc(recipe(text), "model.onnx", "-o", "out")
    assert ran.status == 0, ran.err
    assert [each["outcome"] for each in report()["requirements"]] == ["held", "held", "held"]


# --- control -----------------------------------------------------------------------------------------------


def test_repeat_runs_until_nothing_changes(vggc: Any, recipe: Write) -> None:
    assert vggc(recipe("repeat { simplify\nfold_batch_norm }"), "model.onnx", "-o", "out").status == 0
    assert [step["name"] for step in report()["steps"]] == ["simplify", "fold_batch_norm"] * 2


def test_repeat_that_never_settles_names_the_steps(vggc: Any, recipe: Write) -> None:
    Path("mine.py").write_text(
        "from vggc.graph import Graph\nfrom vggc.rewrite import Context, whole_graph\n\n"
        "@whole_graph\ndef restless(graph: Graph, context: Context) -> None:\n    context.record('turn around')\n"
    )
    ran = vggc(recipe('use "mine.py"\nrepeat { restless }'), "model.onnx", "-o", "out", "--verify", "off")
    assert ran.status == 1
    assert "error: `repeat` did not settle: after 50 rounds the graph still changes [VGGC504]" in ran.err
    assert "still changing it: `restless`" in ran.err


@pytest.mark.parametrize(
    ("condition", "taken"),
    [
        ("has(BatchNormalization)", True),
        ("has(Softmax)", False),
        ("not has(Softmax) and opset >= 13", True),
        ("nodes > 100 or dynamic", True),
    ],
)
def test_when_chooses_by_the_graph(vggc: Any, recipe: Write, condition: str, taken: bool) -> None:
    text = f"when {condition} {{ simplify }} else {{ fold_batch_norm }}"
    assert vggc(recipe(text), "model.onnx", "-o", "out").status == 0
    assert [step["name"] for step in report()["steps"]] == ["simplify" if taken else "fold_batch_norm"]


def test_a_recipe_without_a_target_is_told_of(vggc: Any) -> None:
    Path("recipe.opt").write_text("simplify\n")
    ran = vggc("recipe.opt", "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (0, "note: the recipe has no target, so out contains only a report\n")
    assert sorted(each.name for each in Path("out").iterdir()) == ["report.html", "report.json"]


def test_a_recipe_without_steps_shows_what_was_written(vggc: Any, recipe: Write) -> None:
    ran = vggc(recipe(""), "model.onnx", "-o", "out")
    assert ran.status == 0
    assert "nothing differs" in ran.out
    assert ["written", "target", "bytes", "sha256"] in [line.split() for line in ran.out.splitlines()]


def test_a_seed_below_zero_is_refused(vggc: Any, recipe: Write) -> None:
    ran = vggc("check", recipe("data t = random(seed=-1)\nsimplify\nrequire agreement(t) >= 50%"))
    assert ran.status == 1
    assert (
        ran.err.splitlines()[0] == "error: `seed` of `random` must be between 0 and 1099511627776, but is -1 [VGGC135]"
    )


def test_the_output_folder_is_looked_at_before_any_work(vggc: Any, recipe: Write) -> None:
    Path("mine.py").write_text(
        "from pathlib import Path\nfrom vggc.graph import Graph\nfrom vggc.rewrite import whole_graph\n\n"
        "@whole_graph\ndef long_work(graph: Graph) -> None:\n    Path('worked').touch()\n"
    )
    Path("out").mkdir()
    Path("out/notes.txt").touch()
    ran = vggc(recipe('use "mine.py"\nlong_work'), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert (
        ran.err.splitlines()[0]
        == "error: the output folder `out` contains files that vggc did not write: `notes.txt` [VGGC802]"
    )
    assert not Path("worked").exists()


# --- numerical checking ------------------------------------------------------------------------------------

WRONG = """
import numpy as np
from vggc.graph import Graph
from vggc.rewrite import Context, whole_graph

@whole_graph
def shift_bias(graph: Graph, context: Context) -> None:
    head = next(node for node in graph.nodes if node.op == "Gemm")
    graph.set_input(head, 2, graph.constant(graph.array(head.inputs[2]) + np.float32(0.5), "bias"))
    context.record("shift the bias")
"""


@pytest.mark.parametrize("mode", ["each", "end"])
def test_a_wrong_exact_pass_is_caught_and_named(vggc: Any, recipe: Write, mode: str) -> None:
    Path("wrong.py").write_text(WRONG)
    text = 'use "wrong.py"\nsimplify\nshift_bias\nfold_batch_norm'
    ran = vggc(recipe(text), "model.onnx", "-o", "out", "--verify", mode)
    assert ran.status == 1
    lines = ran.err.splitlines()
    assert lines[0] == "error: this step changed the results of the model, but `shift_bias` is declared exact [VGGC502]"
    assert lines[1] == " --> recipe.opt:3:1"
    assert any(line.startswith("  = first value that differs: `logits` of Gemm `head`: ") for line in lines)
    assert not Path("out").exists()


BREAKING = """
import numpy as np
from vggc.graph import Graph
from vggc.rewrite import Context, whole_graph

@whole_graph
def flatten_wrongly(graph: Graph, context: Context) -> None:
    flat = next(node for node in graph.nodes if node.op == "Flatten")
    graph.remove(flat)
    target = graph.constant(np.array([-1, 5]), "target")
    graph.add("Reshape", [flat.inputs[0], target], output=flat.outputs[0])
    context.record("Flatten to Reshape")
"""


@pytest.mark.parametrize("mode", ["each", "end"])
def test_a_pass_that_leaves_a_model_that_does_not_run_is_named(vggc: Any, recipe: Write, mode: str) -> None:
    Path("breaking.py").write_text(BREAKING)
    text = 'use "breaking.py"\nsimplify\nflatten_wrongly\nfold_batch_norm'
    ran = vggc(recipe(text), "model.onnx", "-o", "out", "--verify", mode)
    assert ran.status == 1
    lines = ran.err.splitlines()
    assert lines[0] == "error: this step made a model that does not run [VGGC502]"
    assert lines[1] == " --> recipe.opt:3:1"
    assert any(line.startswith("  = note: onnxruntime cannot ") for line in lines)
    assert not Path("out").exists()


def test_what_a_pass_of_vggc_breaks_is_not_the_users_fault(
    vggc: Any, recipe: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drop_bias(graph: Graph, context: Context) -> None:
        head = next(node for node in graph.nodes if node.op == "Gemm")
        head.inputs.pop()
        context.record("bias dropped")

    monkeypatch.setattr(drop_bias, "__module__", "vggc.passes.simplify")
    monkeypatch.setattr("vggc.passes.simplify.simplify", Pass("simplify", drop_bias, exact=True))
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert ran.err.splitlines()[-1] == (
        "help: nothing was written; `simplify` is a pass of vggc: please report this with the model"
    )


def test_a_model_that_runs_on_no_random_inputs_is_compared_on_the_recipes_data(vggc: Any, recipe: Write) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2,11] x, int64[2] s) => (float[1,22] y)'
        " { i = Identity(x) r = Relu(i) y = Reshape<allowzero = 1>(r, s) }"
    )
    onnx.save(model, "model.onnx")
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert ran.err.splitlines()[0] == "error: the model does not run on random inputs [VGGC413]"
    np.savez("d.npz", x=np.ones((2, 11), np.float32), s=np.array([1, 22]))
    ran = vggc(recipe('data d = npz("d.npz")\nsimplify'), "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (0, "")
    assert [each["inputs"] for each in report()["verification"]] == ["the first 8 samples of `d`"]


def test_a_wrong_pass_goes_unseen_only_when_told_so(vggc: Any, recipe: Write) -> None:
    Path("wrong.py").write_text(WRONG)
    assert vggc(recipe('use "wrong.py"\nshift_bias'), "model.onnx", "-o", "out", "--verify", "off").status == 0
    assert report()["verification"] == []


def test_a_lossy_pass_is_not_compared(vggc: Any, recipe: Write) -> None:
    Path("wrong.py").write_text(WRONG.replace("@whole_graph", "@whole_graph(exact=False)"))
    text = 'use "wrong.py"\nsimplify\nshift_bias\nfold_batch_norm'
    assert vggc(recipe(text), "model.onnx", "-o", "out").status == 0
    assert [each["steps"] for each in report()["verification"]] == [["simplify"], ["fold_batch_norm"]]


def test_a_pass_that_raises_is_reported_without_a_traceback(vggc: Any, recipe: Write) -> None:
    Path("mine.py").write_text(
        "from vggc.graph import Graph\nfrom vggc.rewrite import whole_graph\n\n"
        "@whole_graph\ndef broken(graph: Graph) -> None:\n    graph.nodes[99]\n"
    )
    ran = vggc(recipe('use "mine.py"\nbroken'), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert ran.err.splitlines()[0] == "error: pass `broken` raised IndexError: list index out of range [VGGC501]"
    assert "mine.py:6: graph.nodes[99]" in ran.err
    assert "Traceback" not in ran.err


def test_a_pass_that_leaves_an_invalid_graph_is_refused(vggc: Any, recipe: Write) -> None:
    Path("mine.py").write_text(
        "from vggc.graph import Graph\nfrom vggc.rewrite import whole_graph\n\n"
        "@whole_graph\ndef breaks(graph: Graph) -> None:\n    graph.nodes[0].op = 'Convv'\n"
    )
    ran = vggc(recipe('use "mine.py"\nbreaks'), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert (
        ran.err.splitlines()[0]
        == "error: the model is not valid ONNX: No Op registered for Convv with domain_version of 17 [VGGC403]"
    )


def test_a_terminal_that_lacks_characters(vggc: Any, recipe: Write) -> None:
    words = [sys.executable, "-m", "vggc", recipe("simplify"), "model.onnx", "-o", "出力"]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(words, env=ascii_only, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\\u51fa\\u529b/model.onnx" in ran.stdout


# --- interruption ------------------------------------------------------------------------------------------


def test_a_signal_waits_until_a_library_is_loaded() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt), held_back():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        done = True
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


ENDING = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if sys.platform != "win32" else [])


@pytest.mark.parametrize("which", ENDING)
def test_an_interrupt_leaves_a_report(vggc: Any, recipe: Write, tmp_path: Path, which: signal.Signals) -> None:
    Path("slow.py").write_text(
        "import time\nfrom pathlib import Path\nfrom vggc.graph import Graph\nfrom vggc.rewrite import whole_graph\n\n"
        "@whole_graph\ndef slow(graph: Graph) -> None:\n    Path('started.py').touch()\n    time.sleep(60)\n"
    )
    words = [sys.executable, "-m", "vggc", recipe('use "slow.py"\nslow'), "model.onnx", "-o", "out"]
    process = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not Path("started.py").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, which)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "interrupted: no output was written")
    assert sorted(each.name for each in tmp_path.iterdir() if each.suffix not in (".py", ".pyc")) in (
        ["model.onnx", "out-failed", "recipe.opt"],
        ["__pycache__", "model.onnx", "out-failed", "recipe.opt"],
    )


def test_a_step_that_fixes_the_batch_makes_a_profile_needless(vggc: Any, recipe: Write) -> None:
    ran = vggc(recipe("set_batch(2)\ntarget tensorrt_rtx(compute=[sm89])"), "model.onnx", "-o", "out")
    assert (ran.status, ran.err) == (0, "")
    assert Path("out/model.engine").stat().st_size > 0


def test_a_missing_profile_says_what_to_write(vggc: Any, recipe: Write) -> None:
    ran = vggc(recipe("simplify\ntarget tensorrt_rtx(compute=[sm89])"), "model.onnx", "-o", "out")
    assert ran.status == 1
    assert " --> recipe.opt:2:8\n" in ran.err
    assert "batch=1..8..32" in ran.err
    assert not Path("out").exists()
