"""Accuracy against MACs of `prune_channels`, without labels and without training, beside Torch-Pruning.

    python benchmarks/pruning.py SHARED [--peers-python P] [--nets vgg16 ...] [--plot FILE.svg]

SHARED is a folder with models/{vgg16,resnet20,mobilenet}.onnx and data/fashion_mnist.npz (x uint8, y; the last 10,000
are the test set). Each net is pruned to several shares of its MACs with the first 1,024 training images, in a process
of its own. Accuracy is that of the whole test set; beside it stand the seconds, by the wall clock and of CPU time, and
the peak memory. Torch-Pruning gets the same images, and their labels where it wants them; the best of its three
importances, ranked over all groups or in each, counts. It needs an interpreter with torch and torch-pruning: without
`--peers-python` its column is left out. `--plot` needs matplotlib, which `pip install '.[bench]'` brings. Without the
folder nothing is measured, and the reason is printed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from svg_plots import panels, save

from vggc.analysis.costs import costs
from vggc.data import ArrayDataset
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.passes.prune_channels import prune_channels
from vggc.values import Ratio

HERE = Path(__file__).parent
IMAGES, TEST = 1024, 10_000
SHARES = {
    "vgg16": (0.5, 0.25, 0.125),
    "resnet20": (0.5, 0.35),
    "mobilenet": (0.6, 0.5),
}
ALIGN = {"vgg16": 8, "resnet20": 2, "mobilenet": 8}
"""resnet20 has groups of 16 channels, for which steps of 8 are too coarse."""

PEERS = [f"{importance}, {ranking}" for importance in ("l2", "bn_scale", "taylor") for ranking in ("global", "uniform")]
PEER_SECONDS = 900.0


@dataclass
class Point:
    """One net at one share of its MACs; accuracies in percent, of Torch-Pruning by importance and ranking."""

    net: str
    share: float
    macs: float
    accuracy: float
    agreement: float
    seconds: float
    cpu: float
    gigabytes: float
    peers: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Accuracy and share of MACs by importance and ranking."""

    @property
    def best(self) -> tuple[str, float] | None:
        """The way in which Torch-Pruning does best, and its accuracy."""
        return max(((name, found[0]) for name, found in self.peers.items()), key=lambda each: each[1], default=None)


@dataclass(frozen=True)
class Images:
    """Normalised images (N, 1, 32, 32) and labels (N)."""

    x: np.ndarray
    y: np.ndarray

    @staticmethod
    def read(shared: Path, part: slice) -> Images:
        with np.load(shared / "data" / "fashion_mnist.npz") as file:
            x = (file["x"][part].astype(np.float32) / 255 - 0.2) / 0.3
            return Images(x[:, None], file["y"][part].astype(np.int64))


def load(path: Path) -> Graph:
    graph = Graph.load(path)
    graph.infer_shapes()
    return graph


def classes(graph: Graph, x: np.ndarray) -> np.ndarray:
    """The class each image is given."""
    (source,), (result,) = ([each.name for each in values] for values in (graph.inputs, graph.outputs))
    session = Session(graph, optimise="all")
    return np.concatenate([session.run({source: x[at : at + 250]})[result].argmax(1) for at in range(0, len(x), 250)])


def prune(model: Path, shared: Path, share: float) -> Point:
    """Prune in this process, and measure."""
    graph = load(model)
    full = costs(graph).macs
    assert full is not None
    images = Images.read(shared, slice(IMAGES))
    data = ArrayDataset({graph.inputs[0].name: images.x}, None, "training images")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu = time.perf_counter(), time.process_time()
    align = ALIGN[model.stem]
    prune_channels(graph, macs=Ratio(share), data=data, align=align)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = max(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / (1 << 20)
    test = Images.read(shared, slice(-TEST, None))
    found, original = classes(graph, test.x), classes(load(model), test.x)
    left = costs(graph).macs
    assert left is not None
    accuracy, agreement = (100 * float((found == each).mean()) for each in (test.y, original))
    return Point(model.stem, share, left / full, accuracy, agreement, seconds, cpu, peak)


def separately(model: Path, shared: Path, share: float) -> Point:
    """The same in a fresh process, so that its memory is its own."""
    command = [sys.executable, __file__, str(shared), "--one", str(model), str(share)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{model.stem} at {share}: {done.stderr}")
    return Point(**json.loads(done.stdout.splitlines()[-1]))


def no_peer(python: str) -> str:
    """Why an environment cannot run Torch-Pruning; empty when it can."""
    done = subprocess.run([python, "-c", "import torch_pruning"], capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def peer(model: Path, samples: Path, share: float, python: str, test: Images) -> dict[str, tuple[float, float]]:
    """Torch-Pruning's accuracy, in percent, and share of MACs left, by importance and ranking."""
    full = costs(load(model)).macs
    assert full is not None
    found = {}
    for way in PEERS:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "pruned.onnx"
            arguments = [str(model), str(samples), str(share), *way.split(", "), str(out)]
            command = [python, str(HERE / "pruning_peers.py"), *arguments]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PEER_SECONDS)
            except subprocess.TimeoutExpired:
                print(f"Torch-Pruning, {way}, {model.stem}: over {PEER_SECONDS:.0f} s", file=sys.stderr)
                continue
            if done.returncode:
                print(f"Torch-Pruning, {way}, {model.stem}:\n{done.stderr}", file=sys.stderr)
                continue
            graph = load(out)
            macs = costs(graph).macs
            assert macs is not None
            found[way] = (100 * float((classes(graph, test.x) == test.y).mean()), macs / full)
    return found


def show(points: list[Point], originals: dict[str, float]) -> None:
    table = Table(
        "net", "MACs", "align", "vggc", "agreement", "Torch-Pruning", "seconds", "CPU", "memory", title="top-1 accuracy"
    )
    for name, accuracy in originals.items():
        table.add_row(name, "100 %", "", f"{accuracy:.2f}", "", "", "", "", "")
        for each in (point for point in points if point.net == name):
            best = each.best
            beside = "-" if best is None else f"{best[1]:.2f} ({best[0]})"
            macs, memory = f"{100 * each.macs:.1f} %", f"{each.gigabytes:.1f} GiB"
            times = [f"{each.seconds:.0f}", f"{each.cpu:.0f}"]
            cells = [f"{each.accuracy:.2f}", f"{each.agreement:.2f}", beside, *times, memory]
            table.add_row("", macs, str(ALIGN[name]), *cells)
    Console(width=110).print(table)


def plot(points: list[Point], originals: dict[str, float], path: Path) -> None:
    """Accuracy over the share of MACs left, one panel a net. Needs matplotlib."""
    figure, beside = panels(len(originals))
    for axes, (name, accuracy) in zip(beside, originals.items(), strict=True):
        own = [each for each in points if each.net == name]
        start = (100.0, accuracy)
        ours = [start, *((100 * each.macs, each.accuracy) for each in own)]
        theirs = [start, *((100 * each.peers[each.best[0]][1], each.best[1]) for each in own if each.best)]
        axes.plot(*zip(*ours, strict=True), "o-", label="vggc prune_channels")
        if len(theirs) > 1:
            axes.plot(*zip(*theirs, strict=True), "s--", color="tab:gray", label="Torch-Pruning, best of 6")
        axes.set(title=name, xlabel="MACs left (%)", ylim=(0, 100), xlim=(0, 103))
        axes.grid(alpha=0.3)
    beside[0].set_ylabel("top-1 accuracy (%), no training")
    beside[0].legend(loc="lower right")
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shared", nargs="?", type=Path, help="folder with the nets and their data")
    parser.add_argument("--peers-python", help="interpreter of an environment with torch and torch-pruning")
    parser.add_argument("--nets", nargs="+", default=list(SHARES), choices=list(SHARES))
    parser.add_argument("--plot", type=Path, help="write the curves as SVG")
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "SHARE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    shared: Path | None = arguments.shared
    if arguments.one:
        assert shared is not None
        print(json.dumps(asdict(prune(Path(arguments.one[0]), shared, float(arguments.one[1])))))
        return
    needed = [Path("data") / "fashion_mnist.npz", *(Path("models") / f"{each}.onnx" for each in arguments.nets)]
    if shared is None or (missing := [each for each in needed if not (shared / each).exists()]):
        reason = "no folder given" if shared is None else f"{shared} has no {', '.join(map(str, missing))}"
        print(f"pruning: skipped, for it needs nets and their data: {reason}")
        return
    python: str | None = arguments.peers_python
    if python is not None and (missing_there := no_peer(python)):
        print(f"Torch-Pruning is left out: {missing_there}", file=sys.stderr)
        python = None
    if arguments.plot and find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib: pip install '.[bench]'")
    test = Images.read(shared, slice(-TEST, None))
    points, originals = [], {}
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples.npz"
        images = Images.read(shared, slice(IMAGES))
        np.savez(samples, x=images.x, y=images.y)
        for name in arguments.nets:
            model = shared / "models" / f"{name}.onnx"
            originals[name] = 100 * float((classes(load(model), test.x) == test.y).mean())
            for share in SHARES[name]:
                point = separately(model, shared, share)
                if python is not None:
                    point.peers = peer(model, samples, share, python, test)
                points.append(point)
                print(f"{name} {share:g}: {point.accuracy:.2f}", point.peers, file=sys.stderr)
    show(points, originals)
    if arguments.plot:
        plot(points, originals, arguments.plot)


if __name__ == "__main__":
    main()
