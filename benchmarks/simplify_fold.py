"""Simplify and fold beside the peers: seconds and peak memory of whole processes, in one run.

    make bench                                     # all models, all peers
    python benchmarks/simplify_fold.py --peers-python build/peers/bin/python --models chain5000 --peers onnxsim

Each tool is a process of its own: it starts, reads the file, simplifies, folds batch norms and writes the result.
vggc runs with `--verify off`, since no peer checks its work. A peer over `--timeout` seconds is stopped and shown so.
Runs are interleaved, and the best of `--rounds` is shown, because other work disturbs these machines.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from models import MODELS
from rich.console import Console
from rich.table import Table

from vggc.graph.wire import read_skeleton

HERE = Path(__file__).parent
RECIPE = "simplify\nfold_batch_norm\ntarget onnx\n"
PEERS = ("onnxsim", "onnxslim", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Run:
    """One process: seconds by the wall clock, peak resident bytes, and what it left (None when it failed)."""

    seconds: float
    peak: int
    nodes: int | None
    norms: int | None
    note: str = ""


def measure(command: list[str], out: Path, timeout: float) -> Run:
    """Run a command to its end and read its peak memory from the kernel."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = started + timeout
    status = usage = None
    while status is None:
        pid, code, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            status = os.waitstatus_to_exitcode(code)
        elif time.perf_counter() > deadline:
            process.kill()
            _, _, usage = os.wait4(process.pid, 0)
            return Run(timeout, usage.ru_maxrss * 1024, None, None, f"over {timeout:.0f} s")
        else:
            time.sleep(0.005)
    seconds = time.perf_counter() - started
    assert usage is not None and process.stderr is not None
    if status != 0 or not out.exists():
        lines = process.stderr.read().decode(errors="replace").strip().splitlines()
        return Run(seconds, usage.ru_maxrss * 1024, None, None, (lines or [f"exit status {status}"])[-1][:60])
    nodes = read_skeleton(out).model.graph.node
    norms = sum(node.op_type == "BatchNormalization" for node in nodes)
    return Run(seconds, usage.ru_maxrss * 1024, len(nodes), norms)


def commands(model: Path, work: Path, peers_python: str, peers: list[str]) -> dict[str, tuple[list[str], Path]]:
    """What to run for each tool, and the file it writes."""
    recipe = work / "bench.opt"
    recipe.write_text(RECIPE)
    out = work / "vggc-out"
    vggc = [sys.executable, "-m", "vggc", str(recipe), str(model), "-o", str(out), "--verify", "off"]
    found: dict[str, tuple[list[str], Path]] = {"vggc": (vggc, out / "model.onnx")}
    for peer in peers:
        path = work / f"{peer}.onnx"
        found[peer] = ([peers_python, str(HERE / "peers.py"), peer, str(model), str(path)], path)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter of an environment with the peers")
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=240)
    arguments = parser.parse_args()
    console = Console(width=110)
    best: dict[tuple[str, str], Run] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name in arguments.models:
            model = work / f"{name}.onnx"
            # In a process of its own: a child's peak memory begins at that of the process it was forked from.
            subprocess.run([sys.executable, str(HERE / "models.py"), name, str(model)], check=True)
            todo = commands(model, work, arguments.peers_python, arguments.peers)
            for _ in range(arguments.rounds):
                for tool, (command, out) in todo.items():
                    held = best.get((name, tool))
                    if held and (held.seconds > 30 or held.nodes is None):
                        continue  # a second run of a slow or failing tool tells nothing new
                    out.unlink(missing_ok=True)
                    run = measure(command, out, arguments.timeout)
                    if held is None or run.seconds < held.seconds:
                        best[name, tool] = run
            model.unlink()
            show(console, name, {tool: best[name, tool] for tool in todo})
    if {"chain5000", "chain20000"} <= set(arguments.models):
        ratio = best["chain20000", "vggc"].seconds / best["chain5000", "vggc"].seconds
        console.print(f"vggc: 20,000 nodes take {ratio:.2f}x the time of 5,000")


def show(console: Console, model: str, runs: dict[str, Run]) -> None:
    """One table a model; `ratio` is a tool's time over vggc's."""
    table = Table("tool", "seconds", "ratio", "peak MB", "nodes left", "norms left", "note", title=model)
    for tool, run in runs.items():
        left = [str(each) if each is not None else "-" for each in (run.nodes, run.norms)]
        ratio = f"{run.seconds / runs['vggc'].seconds:.2f}"
        table.add_row(tool, f"{run.seconds:.2f}", ratio, f"{run.peak / 1e6:.0f}", *left, run.note)
    console.print(table)


if __name__ == "__main__":
    main()
