"""What the rule library leaves of exported models, beside onnxsim, onnxslim, onnxscript and onnxruntime (basic).

    python benchmarks/rules.py [MODEL.onnx ...]

Without models: those of benchmarks/exports/, as torch, PaddlePaddle and TensorFlow's converters wrote them, and the
light_* architectures inside the onnx package. The table gives the nodes that each tool leaves, how far vggc's outputs
are from those of the model as read (relative to the largest), and its seconds, start of Python included. The exit
status is 1 when a peer leaves fewer nodes than vggc somewhere, or when an error is above 1e-5.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from rich.console import Console
from rich.table import Table

from vggc.execution.model_comparison import compare
from vggc.execution.random_inputs import random_inputs
from vggc.graph import Graph
from vggc.graph.wire import read_skeleton

HERE = Path(__file__).parent
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
PEERS = ("onnxsim", "onnxslim", "onnxscript", "onnxruntime")
ALLOWED = 1e-5
# The light_* models compute their weights when they run. As constants these take up to 574 MB, which `simplify` leaves
# alone unless it is told; the peers do not mind.
RECIPE = 'use "vggc:rules/all.opt"\nsimplify(largest=1GiB)\noptimize\ntarget onnx\n'


@dataclass
class Row:
    """Nodes that each tool left of a model; None where it failed."""

    model: str
    before: int
    ours: int | None = None
    seconds: float = 0.0
    error: float | None = None
    peers: dict[str, int | None] = field(default_factory=dict)

    @property
    def best(self) -> int | None:
        return min((each for each in self.peers.values() if each is not None), default=None)

    @property
    def behind(self) -> bool:
        return self.ours is None or (self.best is not None and self.ours > self.best)

    @property
    def wrong(self) -> bool:
        return self.error is None or self.error > ALLOWED


def count(path: Path) -> int | None:
    return len(read_skeleton(path).model.graph.node) if path.exists() else None


def run(command: list[str], timeout: float) -> str:
    """Run a command to its end; what it said when it failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return f"over {timeout:.0f} s"
    return done.stderr if done.returncode else ""


def measure(model: Path, work: Path, peers_python: str, peers: list[str], timeout: float) -> Row:
    """All tools on one model."""
    row = Row(model.stem, count(model) or 0)
    recipe, out = work / "bench.opt", work / "vggc-out"
    recipe.write_text(RECIPE)
    started = time.perf_counter()
    said = run([sys.executable, "-m", "vggc", str(recipe), str(model), "-o", str(out), "--verify", "off"], timeout)
    row.seconds = time.perf_counter() - started
    if said:
        print(f"vggc failed on {model.name}:\n{said}", file=sys.stderr)
    result = out / "model.onnx"
    row.ours = count(result)
    if row.ours is not None:
        before = Graph.load(model)
        row.error = compare(before, Graph.load(result), random_inputs(before)).error
    for peer in peers:
        path = work / f"{peer}.onnx"
        path.unlink(missing_ok=True)
        run([peers_python, str(HERE / "peers.py"), peer, str(model), str(path)], timeout)
        row.peers[peer] = count(path)
    return row


def show(console: Console, rows: list[Row], peers: list[str]) -> None:
    """One line a model; the fewest nodes stand in bold."""
    table = Table("model", "nodes", "vggc", *peers, "error", "seconds", title="nodes left")
    for row in rows:
        least = min(each for each in (row.ours, row.best, row.before) if each is not None)
        cells = [row.ours, *(row.peers[each] for each in peers)]
        shown = ["-" if each is None else f"[bold]{each}[/]" if each == least else str(each) for each in cells]
        error = "-" if row.error is None else f"{row.error:.1e}"
        table.add_row(row.model, str(row.before), *shown, error, f"{row.seconds:.1f}")
    console.print(table)
    fewer = sum(row.ours is not None and row.best is not None and row.ours < row.best for row in rows)
    console.print(f"vggc leaves fewer nodes than the best peer on {fewer} of {len(rows)} models, more on ", end="")
    console.print(f"{sum(row.behind for row in rows)}; worst error {max(row.error or 0 for row in rows):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter of an environment with the peers")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--timeout", type=float, default=300)
    arguments = parser.parse_args()
    models = arguments.models or sorted((HERE / "exports").glob("*.onnx")) + sorted(LIGHT.glob("light_*.onnx"))
    rows = []
    for model in models:
        # A fresh folder each: no file of the model before is left to be counted.
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(model, Path(folder), arguments.peers_python, arguments.peers, arguments.timeout))
    show(Console(width=130), rows, arguments.peers)
    sys.exit(any(row.behind or row.wrong for row in rows))


if __name__ == "__main__":
    main()
