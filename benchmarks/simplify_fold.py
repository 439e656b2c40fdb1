"""Simplify and fold beside the peers: CPU seconds and peak memory of whole processes, in one run.

    make bench                                     # all models, all peers
    python benchmarks/simplify_fold.py --peers-python build/peers/bin/python --models chain5000 --peers onnxsim
    python benchmarks/simplify_fold.py --peers onnxsim --folder build/zoo --models    # only the models of a folder

Each tool is a process: it starts, reads the file, simplifies, folds batch norms and writes the result. vggc runs twice:
with its check, and with `--verify off`, since no peer checks its work. A peer over `--timeout` seconds is stopped.
Runs are interleaved, and the best of `--rounds` is shown, because other work disturbs a machine. The first run of vggc
fills the caches that a user has (bytecode and syntax trees).

For the models that `--folder` names, one table has a line for each model, and the last lines are the sums: those of
models that all tools compile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from models import MODELS
from rich.console import Console
from rich.table import Table

from vggc.graph.wire import read_skeleton

HERE = Path(__file__).parent
RECIPE = "simplify\nfold_batch_norm\ntarget onnx\n"
CHECKED, UNCHECKED = "vggc", "vggc --verify off"
PEERS = ("onnxsim", "onnxslim", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Run:
    """One process: seconds by the wall clock and of the CPU, peak resident bytes, and the nodes and batch norms left.

    The last two are None when it failed.
    """

    seconds: float
    cpu: float
    peak: int
    nodes: int | None
    norms: int | None
    note: str = ""


def measure(command: list[str], out: Path, timeout: float) -> Run:
    """Run a command to its end. Its CPU seconds and its peak memory are those that the kernel counted."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as messages:
        result = Path(folder) / "result.json"
        launch = [sys.executable, "-I", "-S", str(HERE / "launch.py"), str(result), str(timeout)]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        subprocess.run([*launch, *command], stdout=subprocess.DEVNULL, stderr=messages, env=environment, check=True)
        found = json.loads(result.read_text())
        messages.seek(0)
        lines = messages.read().strip().splitlines()
    seconds, cpu, peak = found["seconds"], found["cpu"], found["peak"]
    if found["status"] is None:
        return Run(seconds, cpu, peak, None, None, f"over {timeout:.0f} s")
    if found["status"] != 0 or not out.exists():
        return Run(seconds, cpu, peak, None, None, (lines or [f"exit status {found['status']}"])[-1][:60])
    nodes = read_skeleton(out).model.graph.node
    norms = sum(node.op_type == "BatchNormalization" for node in nodes)
    return Run(seconds, cpu, peak, len(nodes), norms)


def commands(model: Path, work: Path, peers_python: str, peers: list[str]) -> dict[str, tuple[list[str], Path]]:
    """What to run for each tool, and the file it writes."""
    recipe = work / "bench.opt"
    recipe.write_text(RECIPE)
    found: dict[str, tuple[list[str], Path]] = {}
    for tool, options in ((CHECKED, []), (UNCHECKED, ["--verify", "off"])):
        out = work / tool.replace(" ", "-")
        command = [sys.executable, "-m", "vggc", str(recipe), str(model), "-o", str(out), *options]
        found[tool] = (command, out / "model.onnx")
    for peer in peers:
        path = work / f"{peer}.onnx"
        found[peer] = ([peers_python, str(HERE / "peers.py"), peer, str(model), str(path)], path)
    return found


def best_runs(model: Path, work: Path, arguments: argparse.Namespace) -> dict[str, Run]:
    """The best run of each tool on a model."""
    best: dict[str, Run] = {}
    todo = commands(model, work, arguments.peers_python, arguments.peers)
    for _ in range(arguments.rounds):
        for tool, (command, out) in todo.items():
            held = best.get(tool)
            if held and (held.seconds > 30 or held.nodes is None):
                continue  # a second run of a slow or failing tool says nothing new
            out.unlink(missing_ok=True)
            run = measure(command, out, arguments.timeout)
            if held is None or run.cpu < held.cpu:
                best[tool] = run
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter of an environment with the peers")
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--folder", nargs="*", type=Path, default=[], help="folders with ONNX models of other people")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=240)
    arguments = parser.parse_args()
    console = Console(width=130)
    best: dict[str, dict[str, Run]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name in arguments.models:
            model = work / f"{name}.onnx"
            subprocess.run([sys.executable, str(HERE / "models.py"), name, str(model)], check=True)
            best[name] = best_runs(model, work, arguments)
            model.unlink()
            show(console, name, best[name])
        files = [file for each in arguments.folder for file in sorted(each.glob("*.onnx"))]
        if files:
            show_all(console, {file.stem: best_runs(file, work, arguments) for file in files})
    if {"chain5000", "chain20000"} <= set(arguments.models):
        ratio = best["chain20000"][UNCHECKED].cpu / best["chain5000"][UNCHECKED].cpu
        console.print(f"vggc: 20,000 nodes take {ratio:.2f}x the time of 5,000")


def show(console: Console, model: str, runs: dict[str, Run]) -> None:
    """One table a model; `ratio` is the CPU time of vggc without its check over that of a tool."""
    table = Table("tool", "seconds", "CPU s", "ratio", "peak MB", "nodes left", "norms left", "note", title=model)
    for tool, run in runs.items():
        left = [str(each) if each is not None else "-" for each in (run.nodes, run.norms)]
        ratio = f"{runs[UNCHECKED].cpu / run.cpu:.2f}"
        table.add_row(tool, f"{run.seconds:.2f}", f"{run.cpu:.2f}", ratio, f"{run.peak / 1e6:.0f}", *left, run.note)
    console.print(table)


def show_all(console: Console, runs: dict[str, dict[str, Run]]) -> None:
    """One table of all models of the folders: the CPU seconds of each tool, then the sums and their ratios."""
    tools = list(next(iter(runs.values())))
    table = Table("model, CPU s", *tools, title="models of other people")
    for model, own in runs.items():
        table.add_row(model, *(f"{each.cpu:.2f}" if each.nodes is not None else "fails" for each in own.values()))
    whole = [own for own in runs.values() if all(each.nodes is not None for each in own.values())]
    sums = {tool: sum(own[tool].cpu for own in whole) for tool in tools}
    table.add_section()
    table.add_row(f"{len(whole)} models", *(f"{sums[tool]:.2f}" for tool in tools))
    for tool in (CHECKED, UNCHECKED):
        table.add_row(f"{tool} / tool", *(f"{sums[tool] / sums[other]:.2f}" for other in tools) if whole else ())
    console.print(table)


if __name__ == "__main__":
    main()
