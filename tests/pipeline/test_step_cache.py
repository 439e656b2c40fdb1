"""Steps kept between compiles: what comes from the cache is, byte for byte, what a compile without it makes."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper
from PIL import Image

from vggc.cache import Store
from vggc.cache.store import KINDS
from vggc.cli.main import run
from vggc.measures.outputs import accuracy
from vggc.measures.resources import latency
from vggc.pipeline.dependencies import imported_files

NET = """
<ir_version: 8, opset_import: ["": 17]>
net (float[N,3,8,8] x) => (float[N,4] y)
    <float[32,3,3,3] w, float[32] b, float[32] scale, float[32] shift, float[32] mean, float[32] var, float[2048,4] u>
{
    i = Identity (x)
    c = Conv <pads = [1,1,1,1]> (i, w, b)
    n = BatchNormalization (c, scale, shift, mean, var)
    r = Relu (n)
    f = Flatten (r)
    y = MatMul (f, u)
}
"""

PASSES = """
from helper import FACTOR
from vggc.data import Dataset
from vggc.graph import Graph
from vggc.rewrite import Context, whole_graph

def change(graph: Graph, factor: float) -> None:
    node = next(each for each in graph.nodes if each.op == "MatMul")
    graph.set_input(node, 1, graph.constant(graph.array(node.inputs[1]) * factor, node.inputs[1].name))

@whole_graph(exact=False)
def scale(graph: Graph, context: Context, data: Dataset, by: float = 1.0) -> None:
    mean = float(next(data.batches(4))["x"].mean())
    change(graph, by * FACTOR * (1 + mean / 100))
    context.record("scaled")
    context.warn(f"scaled by {by}")

@whole_graph(exact=False, repeatable=False)
def unsteady(graph: Graph, context: Context) -> None:
    change(graph, 1.01)
    context.record("scaled")

@whole_graph
def wrong(graph: Graph, context: Context) -> None:
    change(graph, 2.0)
    context.record("scaled")
"""

HEAD = 'data calib = images("pictures")\nuse "mine.py"\n\n'
STEPS = "simplify\nscale(data=calib, by=1.5)\nfold_batch_norm\nscale(data=calib, by=0.5)\n"
RECIPE = HEAD + STEPS + "require agreement(calib) >= 10%\ntarget onnx\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model, its data, passes, and an empty cache; the graph after every step is kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("VGGC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("vggc.pipeline.state.SLOW_SECONDS", 0.0)
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model(NET)
    for info in model.graph.value_info:
        shape = [each.dim_value for each in info.type.tensor_type.shape.dim]
        values = random.uniform(0.1, 1.0, shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, info.name))
    del model.graph.value_info[:]
    onnx.save(model, "net.onnx")
    Path("pictures").mkdir()
    for number in range(12):
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(f"pictures/{number}.png")
    Path("mine.py").write_text(PASSES)
    Path("helper.py").write_text("FACTOR = 1.25\n")
    return tmp_path


@pytest.fixture(autouse=True)
def forget_helper() -> Iterable[None]:
    yield
    sys.modules.pop("helper", None)


def compiled(recipe: str, *options: str, output: str = "out") -> dict[str, Any]:
    """The report of a compile that succeeds."""
    sys.modules.pop("helper", None)
    Path("r.opt").write_text(recipe)
    assert run(["r.opt", "net.onnx", "-o", output, *options]) == 0
    report = json.loads(Path(output, "report.json").read_text())
    assert isinstance(report, dict)
    return report


def cached(report: dict[str, Any]) -> list[bool]:
    return [each["cached"] for each in report["steps"]]


def check(recipe: str, *options: str) -> dict[str, Any]:
    """The report of a compile with the cache. Fails when a compile without it makes another model or report."""
    report = compiled(recipe, *options)
    files = [Path("net.onnx"), *Path().glob("*.py"), *Path().glob("*.data"), *sorted(Path("pictures").iterdir())]
    model, without = _without_cache(recipe, options, tuple(each.read_bytes() for each in files))
    assert Path("out/model.onnx").read_bytes() == model
    assert _comparable(report) == without
    return report


@functools.cache
def _without_cache(recipe: str, options: tuple[str, ...], files: tuple[bytes, ...]) -> tuple[bytes, dict[str, Any]]:
    """The model and the report of a compile without the cache. Many tests compile the same `files`."""
    report = compiled(recipe, *options, "--no-cache", output="without")
    assert not any(cached(report))
    return Path("without/model.onnx").read_bytes(), _comparable(report)


def _comparable(report: dict[str, Any]) -> dict[str, Any]:
    """What two reports of the same compile share: everything but times, and what is said of the cache and the files."""
    for step in report["steps"]:
        for tally in step["rules"].values():
            tally["seconds"] = 0
    steps = [{**each, "seconds": 0, "cached": False} for each in report["steps"]]
    warnings = [each for each in report["warnings"] if "cache" not in each]
    return {**report, "steps": steps, "warnings": warnings, "seconds": 0, "model": "", "recipe": "", "facts": {}}


def entries(*kinds: str) -> list[Path]:
    return sorted(path for kind in kinds or KINDS for path in Path("cache", kind).glob("*"))


def flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :])


def test_the_second_compile_runs_no_step() -> None:
    assert not any(cached(check(RECIPE)))
    assert all(cached(check(RECIPE)))


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE.replace(">= 10%", ">= 11%"),
        RECIPE.replace("require agreement(calib) >= 10%", "require cosine(calib) >= 0.1 else warn"),
        RECIPE + "target triton\n",
        "# moved\n" + RECIPE,
        RECIPE.replace("target", "fold_batch_norm\ntarget"),
    ],
    ids=["limit", "measure", "target", "lines", "step"],
)
def test_a_changed_end_or_place_runs_no_earlier_step(recipe: str) -> None:
    compiled(RECIPE)
    assert cached(check(recipe))[:4] == [True] * 4


def test_another_measure_on_the_same_samples_runs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(RECIPE)

    def run_again(*given: Any) -> None:
        raise AssertionError("a model ran")

    with monkeypatch.context() as patched:
        patched.setattr("vggc.measures.subject.Subject._run", run_again)
        kept = compiled(RECIPE.replace("agreement(calib) >= 10%", "cosine(calib) >= 0.1"))
    for kind in ("checks", "outputs"):
        for path in entries(kind):
            flip(path)
    again = check(RECIPE.replace("agreement(calib) >= 10%", "cosine(calib) >= 0.1"))
    assert any("outputs" in each and "was damaged and has been removed" in each for each in again["warnings"])
    assert kept["requirements"] == again["requirements"]


def test_a_changed_step_runs_with_those_after_it() -> None:
    compiled(RECIPE)
    assert cached(check(RECIPE.replace("by=1.5", "by=1.6"))) == [True, False, False, False]
    assert cached(check(RECIPE.replace("by=0.5", "by=0.6"))) == [True, True, True, False]


def test_only_slow_steps_keep_their_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggc.pipeline.state.SLOW_SECONDS", 1000.0)
    compiled(RECIPE)
    assert not entries("graphs")
    # The last graph is needed, so all of its steps run again.
    assert not any(cached(check(RECIPE)))


@pytest.mark.parametrize("kind", [*KINDS, "all"])
def test_a_bit_flipped_in_the_cache(kind: str) -> None:
    compiled(RECIPE)
    chosen = entries() if kind == "all" else entries(kind)
    for path in chosen:
        flip(path)
    report = check(RECIPE)
    removed = [each for each in report["warnings"] if "was damaged and has been removed" in each]
    assert bool(removed) == bool(chosen and kind not in ("recipes", "ranges", "outputs"))
    assert all(cached(check(RECIPE)))


def test_a_flipped_bit_in_one_entry_after_the_other() -> None:
    compiled(RECIPE)
    for path in entries("steps", "graphs", "checks"):
        if path.exists():
            flip(path)
            compiled(RECIPE)
    check(RECIPE)


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(store: Store, *given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "write", full)
    for _ in range(2):
        report = check(RECIPE)
        assert not any(cached(report))
        assert sum("No space left on device" in each for each in report["warnings"]) == 1


def test_a_cache_that_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGGC_CACHE_SIZE", "3KB")
    for _ in range(2):
        check(RECIPE)
    assert sum(path.stat().st_size for path in entries()) <= 3000


def test_a_folder_that_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("in the way")
    monkeypatch.setenv("VGGC_CACHE", str(folder / "file"))
    report = check(RECIPE)
    assert sum("steps are not kept for the next run" in each for each in report["warnings"]) == 1


def test_a_changed_file_of_passes() -> None:
    compiled(RECIPE)
    for file, old, new in (("mine.py", "by * FACTOR", "by * 2 * FACTOR"), ("helper.py", "1.25", "1.5")):
        path = Path(file)
        path.write_text(path.read_text().replace(old, new))
        assert cached(check(RECIPE)) == [True, False, False, False]
        assert all(cached(check(RECIPE)))


def test_files_that_are_imported(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "inner.py").write_text("import helper\n")
    (folder / "more" / "broken.py").write_text("print 1\n")
    (folder / "helper.py").write_text("import more.inner\nimport numpy\n")
    assert imported_files([folder / "mine.py"]) == [
        folder / "helper.py",
        folder / "more" / "broken.py",
        folder / "more" / "inner.py",
    ]


def test_a_changed_picture() -> None:
    compiled(RECIPE)
    path = Path("pictures/3.png")
    before = path.read_bytes()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    assert cached(check(RECIPE)) == [True, False, False, False]
    path.write_bytes(before)
    assert all(cached(check(RECIPE)))


def test_a_changed_model() -> None:
    compiled(RECIPE)
    model = onnx.load("net.onnx")
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.ones(32, np.float32), "b"))
    onnx.save(model, "net.onnx")
    assert not any(cached(check(RECIPE)))


def test_changed_external_data() -> None:
    onnx.save(onnx.load("net.onnx"), "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    compiled(RECIPE)
    assert all(cached(check(RECIPE)))
    flip(Path("net.data"))
    assert not any(cached(check(RECIPE)))


@pytest.mark.parametrize("what", ["onnxruntime", "code"])
def test_another_version(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    compiled(RECIPE)
    if what == "code":
        monkeypatch.setattr("vggc.cache.environment.code_hash", lambda: "another")
    else:
        monkeypatch.setattr("vggc.cache.environment.versions", lambda: {what: "another"})
    assert not any(cached(check(RECIPE)))
    monkeypatch.undo()


def test_what_was_not_verified_is_verified_later(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = HEAD + "wrong\nscale(data=calib)\ntarget onnx\n"
    compiled(recipe, "--verify", "off")
    for _ in range(2):
        assert run(["r.opt", "net.onnx", "-o", "out", "--verify", "end"]) == 1
        assert "`wrong` is declared exact" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("verify", ["each", "end", "off"])
def test_every_way_to_verify(verify: str) -> None:
    check(RECIPE, "--verify", verify)
    report = check(RECIPE, "--verify", verify)
    assert all(cached(report))
    assert bool(report["verification"]) == (verify != "off")


def test_a_rollback() -> None:
    gate = "require nodes <= 3 else rollback\n"
    recipe = HEAD + "simplify\nrequire nodes >= 1\n" + "scale(data=calib)\n" + gate + "fold_batch_norm\n"
    recipe += "scale(data=calib, by=3.0)\ntarget onnx\n"
    first = check(recipe)
    assert [each["undone"] for each in first["steps"]] == [False, True, False, False]
    assert all(cached(check(recipe)))
    changed = check(recipe.replace("scale(data=calib)\n", "scale(data=calib, by=7.0)\n"))
    assert cached(changed) == [True, False, True, True]


def test_repeat_and_when() -> None:
    recipe = HEAD + "repeat {\n    simplify\n    fold_batch_norm\n}\n"
    recipe += "when has(BatchNormalization) {\n    scale(data=calib)\n} else {\n    scale(data=calib, by=2.0)\n}\n"
    recipe += "target onnx\n"
    assert not any(cached(check(recipe))[:2])
    assert all(cached(check(recipe)))


def test_a_pass_that_is_not_repeatable_is_not_kept() -> None:
    recipe = HEAD + "simplify\nunsteady\nfold_batch_norm\ntarget onnx\n"
    compiled(recipe)
    assert cached(check(recipe)) == [True, False, False]


def test_no_cache() -> None:
    compiled(RECIPE, "--no-cache")
    assert not entries()
    compiled(RECIPE)
    assert not any(cached(compiled(RECIPE, "--no-cache")))


def test_a_failed_gate_leaves_its_steps_to_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("r.opt").write_text(RECIPE.replace(">= 10%", ">= 200%"))
    assert run(["r.opt", "net.onnx", "-o", "out"]) == 3
    assert all(cached(check(RECIPE)))


def test_plan_uses_what_a_compile_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(RECIPE)

    def execute(*given: Any, **named: Any) -> None:
        raise AssertionError("a step ran")

    monkeypatch.setattr("vggc.pipeline.runner.execute", execute)
    assert run(["plan", "r.opt", "net.onnx"]) == 0


def test_bisect_uses_what_a_compile_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    compiled(RECIPE)
    capsys.readouterr()
    assert run(["bisect", "r.opt", "net.onnx", "--measure", "max_abs_error(calib)", "--no-cache"]) == 0
    without = capsys.readouterr().out.partition("reproduction")[0]

    def execute(*given: Any, **named: Any) -> None:
        raise AssertionError("a step ran")

    monkeypatch.setattr("vggc.pipeline.runner.execute", execute)
    assert run(["bisect", "r.opt", "net.onnx", "--measure", "max_abs_error(calib)"]) == 0
    assert capsys.readouterr().out.partition("reproduction")[0] == without


def test_times_are_never_kept() -> None:
    assert not latency.repeatable
    assert accuracy.repeatable


def test_the_report_says_what_came_from_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    compiled(RECIPE)
    assert "from the cache" not in capsys.readouterr().err
    assert "from the cache" not in Path("out/report.html").read_text(encoding="utf-8")
    compiled(RECIPE)
    printed = capsys.readouterr()
    assert printed.out.count("cached") == 4
    assert "4 of 4 steps are from the cache" in printed.err
    assert "from the cache" in Path("out/report.html").read_text(encoding="utf-8")


def test_two_processes_at_once() -> None:
    Path("r.opt").write_text(RECIPE)
    command = [sys.executable, "-m", "vggc", "r.opt", "net.onnx", "-o"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    started = [subprocess.Popen([*command, name], env=environment, stdout=subprocess.DEVNULL) for name in ("a", "b")]
    assert [each.wait(120) for each in started] == [0, 0]
    assert Path("a/model.onnx").read_bytes() == Path("b/model.onnx").read_bytes()
    check(RECIPE)
    assert Path("out/model.onnx").read_bytes() == Path("a/model.onnx").read_bytes()


# A process that has loaded everything forks for each compile, so that most of a compile's time is the compile itself.
KILLS = """
import os, random, signal, sys, time
import vggc.pipeline.state
from vggc.cli.main import run

vggc.pipeline.state.SLOW_SECONDS = 0.0
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

def compile():
    child = os.fork()
    if child == 0:
        os._exit(run(["r.opt", "net.onnx", "-o", "out"]))
    return child

times, whole = int(sys.argv[1]), None
assert run(["r.opt", "net.onnx", "-o", "out", "--no-cache"]) == 0
started = time.perf_counter()
assert run(["r.opt", "net.onnx", "-o", "out", "--no-cache"]) == 0
whole = time.perf_counter() - started
moments = random.Random(5)
killed = 0
for number in range(times):
    child = compile()
    time.sleep(moments.uniform(0.0, whole))
    os.kill(child, signal.SIGKILL)
    killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
assert killed, "no compile was killed before its end"
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by SIGKILL on POSIX only")
def test_compiles_killed_at_random_moments() -> None:
    Path("r.opt").write_text(RECIPE)
    times = os.environ.get("VGGC_TEST_KILLS", "20")
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    subprocess.run([sys.executable, "-c", KILLS, times], env=environment, check=True)
    for path in (each for each in entries() if each.suffix != ".tmp"):
        # Raises for a torn entry.
        assert Store(Path("cache"), 1 << 30).read(path.parent.name, path.name) is not None
    check(RECIPE)
