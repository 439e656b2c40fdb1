"""A compile killed at any moment leaves the old output whole, or the new one: never a mixture, never half of one."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by SIGKILL on POSIX only")

RECIPE = """
param batch: int = 1
set_batch(batch)
simplify
target onnx(external=true)
target onnxruntime
target triton
"""

# Kills compiles one after the other, each at a moment of its own: a process that has loaded everything forks, so that
# most of a compile's time is the compile itself. Prints the exit status of each compile.
PROGRAM = """
import os, random, signal, sys, time
from vggc.cli.main import run

said = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

def here(size):
    return run(["net.opt", "net.onnx", "-o", "out", "--set", f"batch={size}", "--verify", "off"])

def compile(size):
    child = os.fork()
    if child == 0:
        os._exit(here(size))
    return child

def wait(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

times = int(sys.argv[1])
moments = random.Random(7)
assert here(1) == 0
started = time.perf_counter()
assert wait(compile(1)) == 0
whole = time.perf_counter() - started
print("whole", file=said, flush=True)
sys.stdin.readline()
for number in range(times):
    child = compile(number + 2)
    time.sleep(moments.uniform(0.0, whole * 1.2))
    os.kill(child, signal.SIGKILL)
    print(wait(child), file=said, flush=True)
    # The test looks at the folder before the next one.
    sys.stdin.readline()
"""


def write_inputs(folder: Path, extra: str = "") -> None:
    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    text = (
        '<ir_version: 8, opset_import: ["": 17]> g (float[N,64] x) => (float[N,64] y) { m = MatMul(x, w) y = Relu(m) }'
    )
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    onnx.save(model, folder / "net.onnx")
    (folder / "net.opt").write_text(RECIPE + extra)


def whole_output(folder: Path) -> int:
    """Which compile the output is of. Fails unless every file that its report lists is there as it was written."""
    report = json.loads((folder / "report.json").read_text())
    listed = {each["path"]: each["sha256"] for each in report["artifacts"]}
    there = {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()}
    # Beside the files of targets stand the report, and the report for a person to read.
    assert there == {*listed, "report.html", "report.json"}
    for path, digest in listed.items():
        assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest, path
    return int(report["recipe"]["parameters"]["batch"])


def kill(folder: Path, times: int) -> list[tuple[int, int]]:
    """Kill that many compiles; the exit status of each, and whose output stood there afterwards."""
    command = [sys.executable, "-c", PROGRAM, str(times)]
    found = []
    with subprocess.Popen(command, cwd=folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None and program.stdout is not None
        try:
            assert program.stdout.readline() == "whole\n"
            assert whole_output(folder / "out") == 1
            for _ in range(times):
                program.stdin.write("\n")
                program.stdin.flush()
                found.append((int(program.stdout.readline()), whole_output(folder / "out")))
            program.stdin.close()
            assert program.wait(30) == 0
        finally:
            program.kill()
    return found


def check(folder: Path, found: list[tuple[int, int]]) -> None:
    standing = 1
    for number, (status, size) in enumerate(found, 2):
        assert size in (standing, number)
        if status == 0:
            assert size == number
        standing = size
    assert any(status != 0 for status, _ in found), "no compile was killed before its end"
    # What the killed ones left beside the output goes with the next compile.
    command = [sys.executable, "-m", "vggc", "net.opt", "net.onnx", "-o", "out"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    assert whole_output(folder / "out") == 1
    assert sorted(each.name for each in folder.iterdir()) == ["net.onnx", "net.opt", "out"]


def test_twenty_compiles_killed(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    check(tmp_path, kill(tmp_path, 20))


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel here")
def test_compiles_killed_that_build_engines(tmp_path: Path) -> None:
    write_inputs(tmp_path, "target tensorrt_rtx(compute=[sm86])\ntarget ep_context\n")
    check(tmp_path, kill(tmp_path, 6))
