"""`make suites`: a sample of ONNX's own tests is compiled right, and what judges the results sees what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnx.parser
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CASES = 300
"""Models and variants of the sample: some twenty seconds of one core."""

VARIANTS = ("as it is", "first input left", "random input left")
"""Where every dimension is a symbol, vggc looks for sizes that run, which takes seconds for a model."""

HEADER = '<ir_version: 8, opset_import: ["" : 17]>'
WEIGHTS = "<float[3] w = {1.0, 2.0, 3.0}>"
READ = f"{HEADER} net (float[2, 3] x) => (float[2, 3] y) {WEIGHTS} {{ s = Add(x, w) y = Relu(s) }}"


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import suite_trial

    return suite_trial


def save(text: str, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def test_a_sample_is_compiled_right(tmp_path: Path) -> None:
    outcomes = tmp_path / "outcomes.jsonl"
    command = [sys.executable, str(BENCHMARKS / "suites.py"), "--cases", str(CASES), "--seed", "1"]
    command += ["--variants", *VARIANTS, "--json", str(outcomes)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONUTF8": "1"})
    rows = [json.loads(line) for line in outcomes.read_text().splitlines()]
    failed = [row["name"] for row in rows if row["status"] in ("wrong", "crashed", "refused wrongly")]
    assert not failed, ran.stdout + ran.stderr
    assert ran.returncode == 0, ran.stderr
    assert len(rows) == 2 * CASES
    assert sum(row["status"] == "equal" for row in rows) > CASES


@pytest.mark.parametrize(
    ("written", "ending"),
    [
        ("net (float[2, 3] x) => (float[2, 3] y) { s = Add(w, x) z = Sub(x, x) y = Max(s, z) }", "equal: "),
        ("net (float[2, 3] x) => (float[2, 3] y) { s = Add(x, w) y = Abs(s) }", "wrong: output `y`: relative error"),
        (
            "net (float[2, 3] x) => (float[a, b, c] y) { s = Add(x, w) z = Relu(s) y = Unsqueeze(z, t) }",
            "wrong: output `y`: shape",
        ),
        ("net (float[2, 3] x) => (float[2, 3] y) { y = Swish(x) }", "wrong: onnxruntime does not load"),
        ("net (float[2, 3] x) => (float[2, 3] z) { s = Add(x, w) z = Relu(s) }", "wrong: the outputs y"),
        (
            "net (float[2, 3] x, float u) => (float[2, 3] y) { y = Relu(x) }",
            "wrong: the inputs x",
        ),
        (
            "net (float[2, 3] x) => (float[3, 2] y) { s = Add(x, w) y = Relu(s) }",
            "wrong: what was written is",
        ),
    ],
)
def test_the_written_file_is_judged(trial: ModuleType, written: str, ending: str, tmp_path: Path) -> None:
    feeds = ({"x": np.array([[-3, -2, -1], [0, 1, 2]], np.float32)},)
    reference = trial.read_reference(save(READ, tmp_path / "model.onnx"), feeds)
    head, body = written.split(" {", 1)
    weights = WEIGHTS.replace(">", ", int64[1] t = {0}>")
    found = trial.judged(save(f"{HEADER} {head} {weights} {{{body}", tmp_path / "out" / "model.onnx"), reference)
    assert f"{found.status}: {found.words}".startswith(ending)


def test_a_crash_is_told_with_its_place(trial: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def crash(graph: object) -> None:
        raise KeyError("lost")

    reference = trial.read_reference(save(READ, tmp_path / "model.onnx"), ())
    monkeypatch.setattr("vggc.pipeline.compile.check_fit", lambda pipeline, graph: crash(graph))
    found = trial.compiled("fold", tmp_path / "model.onnx", reference, "end")
    assert found.status == "crashed"
    assert found.words.startswith("KeyError: 'lost' at compiler/pipeline/compile.py:")


def test_processes_that_die_or_hang_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from workers import Died, Workers

    with Workers(os._exit, jobs=2, timeout=60) as workers:
        found = [result for _, result in workers.map([3, 4, 5])]
    assert found == [Died(f"the process ended with {status}") for status in (3, 4, 5)]
    with Workers(time.sleep, jobs=1, timeout=1) as workers:
        assert [result for _, result in workers.map([60])] == [Died("took more than 1 s")]


def test_an_answer_comes_back_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from workers import Workers

    with Workers(abs, jobs=2, timeout=60) as workers:
        assert list(workers.map(range(-9, 0))) == [(each, -each) for each in range(-9, 0)]
