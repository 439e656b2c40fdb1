"""int8 quantization beside the peers: top-1, agreement with float, seconds, bytes and CPU latency, in one run.

    python benchmarks/quantization.py SHARED --peers-python PYTHON     # all models, all peers, the headline recipe
    python benchmarks/quantization.py SHARED --models resnet20 --peers "nncf, mixed" --no-headline

SHARED is a folder with `data/fashion_mnist.npz` (x uint8 (70000, 32, 32), y) and `models/*.onnx`, nets trained on its
first 60,000 images. The first 512 images calibrate, without labels; all of the last 10,000 measure. Each tool gets the
same file and the same samples. Seconds are those of quantizing alone, by the wall clock and of CPU time, for other work
disturbs the former. Latency is onnxruntime's on one thread, the models taken in turns, the best of many rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from quantize_peers import PEERS
from rich.console import Console
from rich.table import Table

from vggc.data.dataset import Dataset
from vggc.data.loaders import npz
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
from vggc.passes.fold_batch_norm import fold_batch_norm
from vggc.passes.quantize import quantize
from vggc.passes.simplify import simplify

HERE = Path(__file__).parent
RECIPE = HERE.parent / "recipes" / "prune_int8_cpu.opt"
CALIBRATION = 512
PRUNING = 1024
TEST = 10_000
BATCH = 32
PLACEMENTS = ("onnxruntime", "tensorrt")


@dataclass
class Result:
    """A quantized file, or why there is none. Seconds are (wall, CPU); `agreement` is with the float model."""

    path: Path | None
    seconds: tuple[float, float] = (0.0, 0.0)
    top1: float = 0.0
    agreement: float = 0.0
    latency: float = 0.0
    note: str = ""


def session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def logits(path: Path, images: np.ndarray) -> np.ndarray:
    model = session(path)
    name = model.get_inputs()[0].name
    return np.concatenate([model.run(None, {name: images[at : at + 250]})[0] for at in range(0, len(images), 250)])


def latencies(paths: list[Path], images: np.ndarray, rounds: int, threads: int = 1) -> list[float]:
    """The least seconds that a batch takes with each model."""
    models = [session(path, threads) for path in paths]
    best = [float("inf")] * len(models)
    for _ in range(rounds):
        for index, model in enumerate(models):
            started = time.perf_counter()
            model.run(None, {model.get_inputs()[0].name: images})
            best[index] = min(best[index], time.perf_counter() - started)
    return best


def by_vggc(model: Path, data: Dataset, placement: str, out: Path) -> Result:
    wall, cpu = time.perf_counter(), time.process_time()
    graph = Graph.load(model)
    graph.infer_shapes()
    for exact in (simplify, fold_batch_norm):
        exact(graph)
        graph.tidy()
    quantize(graph, "int8", data=data.fit(inputs_of(graph)), placement=placement)
    graph.tidy()
    graph.save(out)
    return Result(out, (time.perf_counter() - wall, time.process_time() - cpu))


def by_peer(peer: str, model: Path, samples: Path, out: Path, arguments: argparse.Namespace) -> Result:
    command = [arguments.peers_python, str(HERE / "quantize_peers.py"), peer, str(model), str(samples), str(out)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.timeout, check=False)
    except subprocess.TimeoutExpired:
        return Result(None, note=f"over {arguments.timeout:.0f} s")
    told = [line.split() for line in done.stdout.splitlines() if line.startswith("seconds ")]
    if done.returncode or not told:
        return Result(None, note=(done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:60])
    return Result(out, (float(told[-1][1]), float(told[-1][2])))


def show(console: Console, title: str, results: dict[str, Result]) -> None:
    table = Table("", "top-1", "agreement", "seconds", "CPU s", "bytes", "ms", "speed", title=title)
    base = results["float"].latency
    for tool, each in results.items():
        if each.path is None:
            table.add_row(tool, each.note)
            continue
        seconds = [f"{number:.1f}" if number else "" for number in each.seconds]
        speed = f"{base / each.latency:.2f}x"
        size, time_ = f"{each.path.stat().st_size:,}", f"{each.latency * 1e3:.2f}"
        table.add_row(tool, f"{each.top1:.2%}", f"{each.agreement:.2%}", *seconds, size, time_, speed)
    console.print(table)


def compare(console: Console, name: str, model: Path, images: Images, arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data, samples = images.calibration(work, model, CALIBRATION)
        results = {"float": Result(model)}
        for placement in PLACEMENTS:
            results[f"vggc, {placement}"] = by_vggc(model, data, placement, work / f"{placement}.onnx")
        for index, peer in enumerate(arguments.peers):
            out = work / f"peer{index}.onnx"
            results[peer] = by_peer(peer, model, samples, out, arguments)
        images.measure(results, arguments.rounds)
        show(console, f"{name}: {CALIBRATION} images calibrate, {TEST:,} measure", results)


def headline(console: Console, model: Path, images: Images, arguments: argparse.Namespace) -> None:
    """vgg16 by the shipped recipe: pruned, repaired, folded, int8 for onnxruntime."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        images.calibration(work, model, PRUNING)
        command = [sys.executable, "-m", "vggc", str(RECIPE), str(model), "-o", str(work / "out"), "--verify", "off"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run([*command, "--set", f"samples={work / 'calib.npz'}"], check=True, stdout=subprocess.DEVNULL)
        cpu = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        report = json.loads((work / "out/report.json").read_text())
        result = Result(work / "out/model.onnx", (report["seconds"], cpu))
        results = {"float": Result(model), RECIPE.name: result}
        images.measure(results, arguments.rounds)
        show(console, f"{model.stem}: {RECIPE.name}, {PRUNING:,} images", results)


class Images:
    """Fashion-MNIST as the nets take it."""

    def __init__(self, path: Path) -> None:
        stored = np.load(path)
        self._x, self._labels = stored["x"], stored["y"][-TEST:]

    def take(self, part: slice) -> np.ndarray:
        return ((self._x[part].astype(np.float32) / 255 - 0.2) / 0.3)[:, None]

    def calibration(self, folder: Path, model: Path, count: int) -> tuple[Dataset, Path]:
        """The first training images: as data, and as a file of the bare array."""
        images = self.take(slice(count))
        np.savez(folder / "calib.npz", **{session(model).get_inputs()[0].name: images})
        np.save(folder / "calib.npy", images)
        return npz.function(folder, "calib.npz"), folder / "calib.npy"

    def measure(self, results: dict[str, Result], rounds: int) -> None:
        """Fill in top-1, agreement and latency."""
        test = self.take(slice(-TEST, None))
        there = [each for each in results.values() if each.path is not None]
        reference = None
        for each in there:
            assert each.path is not None
            chosen = logits(each.path, test).argmax(axis=1)
            reference = chosen if reference is None else reference
            each.top1, each.agreement = float((chosen == self._labels).mean()), float((chosen == reference).mean())
        found = latencies([each.path for each in there if each.path is not None], test[:BATCH], rounds)
        for each, seconds in zip(there, found, strict=True):
            each.latency = seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shared", type=Path, help="the folder with data/fashion_mnist.npz and models/*.onnx")
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter of an environment with the peers")
    parser.add_argument("--models", nargs="*", default=["vgg16", "resnet20", "mobilenet"])
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS), metavar="PEER")
    parser.add_argument("--no-headline", action="store_true")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--timeout", type=float, default=600)
    arguments = parser.parse_args()
    # Seconds are those of finding ranges, not of looking them up.
    os.environ["VGGC_CACHE"] = "off"
    console = Console(width=110)
    stored = arguments.shared / "data/fashion_mnist.npz"
    models = {name: arguments.shared / "models" / f"{name}.onnx" for name in arguments.models}
    missing = [str(path) for path in (stored, *models.values()) if not path.is_file()]
    if missing:
        console.print(f"skipped: there is no {', no '.join(missing)}")
        return
    images = Images(stored)
    for name, model in models.items():
        compare(console, name, model, images, arguments)
    if "vgg16" in models and not arguments.no_headline:
        headline(console, models["vgg16"], images, arguments)


if __name__ == "__main__":
    main()
