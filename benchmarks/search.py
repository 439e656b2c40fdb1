"""`vggc search` compared with the recipes that come with vggc, on nets that were trained on Fashion-MNIST.

    python benchmarks/search.py SHARED FOLDER [--nets resnet20 vgg16] [--trials 40] [--plot docs/images/search.svg]

SHARED is a folder with models/NET.onnx and data/fashion_mnist.npz: `x`, uint8 (70000, 32, 32), and `y`. The first 1,024
images choose channels, solve weights and find ranges; the next 4,096 judge the trials, all without labels. The last
10,000 images, which are looked at only here, say how well that went. Searches and compiles that FOLDER has already are
not run again. All models of a net are measured in turns with the net as read, on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from vggc.data import ArrayDataset
from vggc.execution.threads import limited_threads
from vggc.graph import Graph
from vggc.measures import Subject
from vggc.measures.outputs import accuracy, agreement
from vggc.measures.resources import latency

SEARCH = "vggc:search_int8_cpu.opt"
SHIPPED = {
    "prune": "prune 50%",
    "int8_cpu": "int8",
    "prune_int8_cpu": "prune 16%, int8",
    "mixed_int8_cpu": "mixed int8",
}
BATCH = 8


@dataclass
class Point:
    """A model: milliseconds of 8 images, the share of images that keep their class, and top-1 on the test images."""

    net: str
    name: str
    searched: bool
    milliseconds: float
    judged: float
    test: float
    top1: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nets", nargs="+", default=["resnet20", "vgg16"])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--test", type=int, default=10_000, help="how many of the test images are looked at")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    stored = given.shared / "data" / "fashion_mnist.npz"
    if not stored.is_file():
        sys.exit(f"skipped: there is no {stored}")
    given.folder.mkdir(parents=True, exist_ok=True)
    with np.load(stored) as arrays:
        images = ((arrays["x"][:, None].astype(np.float32) / 255 - 0.2) / 0.3).astype(np.float32)
        labels = arrays["y"].astype(np.int64)
    np.savez(given.folder / "calib.npz", input=images[:1024])
    np.savez(given.folder / "judge.npz", input=images[1024:5120])
    judge = ArrayDataset({"input": images[1024:5120]}, None, "judge")
    test = ArrayDataset({"input": images[60000:][: given.test]}, labels[60000:][: given.test], "test")
    points = []
    for net in given.nets:
        model = given.shared / "models" / f"{net}.onnx"
        record = searched(given.folder, model, given.trials, given.minutes)
        files = {f"trial {number}": given.folder / net / path for number, path in record["outputs"].items()}
        files |= {title: compiled(given.folder, model, name) for name, title in SHIPPED.items()}
        print(f"{net}: {len(record['trials'])} trials, {record['seconds']:.0f} s, the cache saved "
              f"{sum(each['saved'] for each in record['trials']):.0f} s of steps", flush=True)  # fmt: skip
        with limited_threads(1):
            points += measured(net, model, {name: each / "model.onnx" for name, each in files.items()}, judge, test)
    Console(width=120).print(table(points))
    (given.folder / "search-points.json").write_text(json.dumps([asdict(each) for each in points], indent=2))
    if given.plot is not None:
        draw(given.folder, given.nets, points, given.plot)


def vggc(*arguments: str) -> int:
    """Run the command line with one thread. Returns its exit status."""
    environment = {**os.environ, "VGGC_PROGRESS": "off"}
    return subprocess.run(
        [sys.executable, "-m", "vggc", *arguments, "--threads", "1"], env=environment, check=False
    ).returncode


def searched(folder: Path, model: Path, trials: int, minutes: float) -> dict[str, object] | None:
    """The record of the search of a net."""
    out = folder / model.stem
    if not (out / "search.json").is_file() or not json.loads((out / "search.json").read_text())["finished"]:
        resume = ["--resume"] if (out / "search.json").is_file() else []
        sets = [f"--set=samples={folder / 'calib.npz'}", f"--set=others={folder / 'judge.npz'}"]
        vggc("search", SEARCH, str(model), "-o", str(out), f"--trials={trials}", f"--minutes={minutes}", *sets, *resume)
    return json.loads((out / "search.json").read_text())


def compiled(folder: Path, model: Path, name: str) -> Path:
    """The output of a recipe that comes with vggc; a folder without a model when the recipe cannot work for the net."""
    out = folder / f"{model.stem}-{name}"
    if not out.is_dir():
        vggc(f"vggc:{name}.opt", str(model), "-o", str(out), f"--set=samples={folder / 'calib.npz'}")
    return out


def measured(net: str, model: Path, files: dict[str, Path], judge: ArrayDataset, test: ArrayDataset) -> list[Point]:
    """Measure models, each in turns with the net as read. Times are such as if that had always taken the same time."""
    original = Subject(loaded(model))
    reference = 0.0
    points = []
    for name, path in {"as read": model, **files}.items():
        if not path.is_file():
            print(f"{net}, {name}: there is no {path}")
            continue
        subject = Subject(loaded(path), original)
        seconds = latency(subject, batch=BATCH)
        reference = reference or latency(original, batch=BATCH)
        seconds *= reference / latency(original, batch=BATCH)
        shares = (agreement(subject, data=judge), agreement(subject, data=test), accuracy(subject, data=test))
        points.append(Point(net, name, name.startswith("trial"), 1000 * seconds, *map(float, shares)))
    return points


def loaded(path: Path) -> Graph:
    graph = Graph.load(path)
    graph.infer_shapes()
    return graph


def table(points: list[Point]) -> Table:
    """All models, the fastest of each net first, and how many of the search beat each recipe in both."""
    made = Table("net", "model", "ms for 8", "judged", "test", "top-1", "beaten by", box=None)
    for point in sorted(points, key=lambda each: (each.net, each.milliseconds)):
        better = [
            each.name
            for each in points
            if each.searched and each.net == point.net and not point.searched and each.name != point.name
            and each.milliseconds < point.milliseconds and each.judged >= point.judged
        ]  # fmt: skip
        shares = [f"{100 * each:.2f}%" for each in (point.judged, point.test, point.top1)]
        made.add_row(point.net, point.name, f"{point.milliseconds:.2f}", *shares, ", ".join(better))
    return made


def draw(folder: Path, nets: list[str], points: list[Point], path: Path) -> None:
    """The trials and the front of each net, beside the recipes, by time and by agreement on the judging images."""
    from svg_plots import panels, save

    figure, axes = panels(len(nets))
    for net, axis in zip(nets, axes, strict=True):
        record = json.loads((folder / net / "search.json").read_text())
        last = {each["number"]: each for each in [*record["trials"], *record["measured_again"]]}
        place = {number: _place(each) for number, each in last.items() if each["state"] == "held"}
        axis.plot(*zip(*place.values(), strict=True), "o", color="#8893a3", markersize=4, label="trials")
        axis.plot(*zip(*(place[each] for each in record["front"]), strict=True), "o-", color="#0b62c4", label="front")
        for each in points:
            if each.net == net and not each.searched:
                axis.plot(each.milliseconds, 100 * each.judged, "s", color="#b3541e")
                axis.annotate(
                    each.name, (each.milliseconds, 100 * each.judged), xytext=(5, -11), textcoords="offset points"
                )
        axis.set(title=net, xlabel="ms for 8 images, one thread", ylabel="images that keep their class, %")
        axis.legend(loc="lower right")
        axis.grid(alpha=0.3)
    save(figure, path)


def _place(trial: dict[str, Any]) -> tuple[float, float]:
    seconds, share = (each["value"] for each in trial["objectives"])
    return 1000 * seconds, 100 * share


if __name__ == "__main__":
    main()
