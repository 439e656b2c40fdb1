"""How CPU seconds grow with samples, with multiply-accumulates and with parameters: python benchmarks/scale_laws.py

    python benchmarks/scale_laws.py [--laws samples MACs parameters] [--steps int8 prune] [--plot FILE.svg]

Nets are ResNet-50s of other widths for pictures of other sizes, with seeded weights, and the pictures are smooth noise;
so nothing has to be there, and the figures say what a step costs and nothing about accuracy. One quantity grows at a
time: the number of samples, the size of the pictures (MACs), or the width while pictures shrink so that MACs stay.
Each run is a process of its own; seconds are CPU seconds of the pass, without imports. The exponent is the slope of a
line through the logarithms of the points: 1 is linear. `--plot` needs matplotlib, which `pip install '.[bench]'`
brings.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from quantize_peers import peak_megabytes
from rich.console import Console
from rich.table import Table
from seeded_nets import make_net
from svg_plots import panels, save


@dataclass(frozen=True)
class Setting:
    """A net and its samples."""

    samples: int
    size: int
    width: int


LAWS = {
    "samples": [Setting(count, 96, 16) for count in (64, 128, 256, 512)],
    "MACs": [Setting(128, size, 16) for size in (64, 96, 128, 192)],
    "parameters": [Setting(128, 1536 // width, width) for width in (8, 12, 16, 24, 32)],
}


@dataclass(frozen=True)
class Point:
    """What one run took; `at` is the quantity that grows."""

    law: str
    step: str
    at: float
    seconds: float
    megabytes: float


def run(step: str, model: Path, samples: Path) -> None:
    """The child process: one pass with all defaults; prints MACs, parameters, CPU seconds and megabytes."""
    from vggc.analysis.costs import costs
    from vggc.data.loaders import npy
    from vggc.graph import Graph
    from vggc.graph.signature import inputs_of
    from vggc.passes.fold_batch_norm import fold_batch_norm
    from vggc.passes.prune_channels import prune_channels
    from vggc.passes.quantize import quantize
    from vggc.values import Ratio

    graph = Graph.load(model)
    graph.infer_shapes()
    fold_batch_norm(graph)
    graph.tidy()
    before = costs(graph)
    data = npy.function(samples.parent, samples.name).fit(inputs_of(graph))
    started = time.process_time()
    if step == "prune":
        prune_channels(graph, macs=Ratio(0.6), data=data)
    else:
        quantize(graph, precision="int8", data=data)
    seconds = time.process_time() - started
    print(json.dumps([before.macs, before.params, seconds, peak_megabytes()]))


def smooth_noise(setting: Setting) -> np.ndarray:
    """Pictures (samples, 3, size, size) of numbers near [-2, 2], alike at neighbouring places."""
    random = np.random.default_rng(0)
    size = setting.size
    pictures = np.zeros((setting.samples, 3, size, size), np.float32)
    for coarse in (4, 8, 16, 32):
        noise = random.standard_normal((setting.samples, 3, coarse, coarse)).astype(np.float32)
        each = -(-size // coarse)
        pictures += noise.repeat(each, axis=2).repeat(each, axis=3)[..., :size, :size]
    return pictures / 2


def measured(law: str, setting: Setting, step: str) -> Point:
    with tempfile.TemporaryDirectory() as folder:
        model, samples = Path(folder) / "net.onnx", Path(folder) / "samples.npy"
        pictures = smooth_noise(setting)
        np.save(samples, pictures)
        make_net("resnet50", pictures[:16], model, setting.width)
        command = [sys.executable, __file__, "--child", step, str(model), str(samples)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{step} of {setting}: {done.stderr}")
    macs, params, seconds, megabytes = json.loads(done.stdout.splitlines()[-1])
    at = {"samples": setting.samples, "MACs": macs, "parameters": params}[law]
    return Point(law, step, at, seconds, megabytes)


def exponent(points: list[Point]) -> float:
    logarithms = np.log([[each.at, each.seconds] for each in points])
    return float(np.polyfit(logarithms[:, 0], logarithms[:, 1], 1)[0])


def plot(points: list[Point], path: Path) -> None:
    """Seconds over each quantity, one panel a law, with lines of exponent 1. Needs matplotlib."""
    laws = list(dict.fromkeys(each.law for each in points))
    figure, beside = panels(len(laws))
    for axes, law in zip(beside, laws, strict=True):
        for step in dict.fromkeys(each.step for each in points):
            own = [each for each in points if (each.law, each.step) == (law, step)]
            at, seconds = np.array([[each.at, each.seconds] for each in own]).T
            (line,) = axes.plot(at, seconds, "o-", label=f"{step}, exponent {exponent(own):.2f}")
            axes.plot(at, seconds[0] * at / at[0], ":", color=line.get_color(), label="_linear")
        axes.set(title=law, xlabel=law, xscale="log", yscale="log")
        axes.legend(fontsize=8)
    beside[0].set_ylabel("CPU seconds (dotted: linear)")
    save(figure, path)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        step, model, samples = sys.argv[2:]
        run(step, Path(model), Path(samples))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--laws", nargs="*", choices=LAWS, default=list(LAWS))
    parser.add_argument("--steps", nargs="*", choices=["int8", "prune"], default=["int8", "prune"])
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    points: list[Point] = []
    table = Table("law", "step", "at", "CPU s", "peak MB", "exponent")
    for law in arguments.laws:
        for step in arguments.steps:
            own = []
            for setting in LAWS[law]:
                own.append(measured(law, setting, step))
                print(own[-1], file=sys.stderr, flush=True)
            points += own
            for each in own:
                last = f"{exponent(own):.2f}" if each is own[-1] else ""
                table.add_row(law, step, f"{each.at:.4g}", f"{each.seconds:.1f}", f"{each.megabytes:.0f}", last)
    Console(width=110).print(table)
    if arguments.plot:
        plot(points, arguments.plot)


if __name__ == "__main__":
    main()
