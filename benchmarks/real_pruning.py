"""Pruning of nets of real size with photographs: CPU seconds, peak memory, and agreement on unseen pictures.

    python benchmarks/real_pruning.py SHARED [--shares 0.7 0.6] [--count 512] [--models efficientnet_lite0]

SHARED is a folder as for real_quantization.py. The first `--count` pictures of calib choose channels and repair
weights, without labels. Agreement is the share of test pictures, which have no object and no background of calib's, on
which the pruned net gives the class of the original. The weights of ResNet-50 and VGG-16 are seeded: only their cost
says something, and FEW test pictures are run. Each run is a process of its own; seconds are those of the pass, without
imports.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from quantize_peers import peak_megabytes
from real_quantization import photos, scores
from rich.console import Console
from rich.table import Table
from seeded_nets import NETS, make_net

FEW = 64
"""Test pictures for nets whose agreement says nothing."""


def prune(source: Path, samples: Path, out: Path, share: float) -> None:
    """The child process: prune with all defaults, and print CPU seconds, seconds and megabytes."""
    from vggc.analysis.costs import costs
    from vggc.data.loaders import npy
    from vggc.graph import Graph
    from vggc.graph.signature import inputs_of
    from vggc.passes.prune_channels import prune_channels
    from vggc.values import Ratio

    graph = Graph.load(source)
    graph.infer_shapes()
    data = npy.function(samples.parent, samples.name)
    wall, cpu = time.perf_counter(), time.process_time()
    prune_channels(graph, macs=Ratio(share), data=data.fit(inputs_of(graph)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    graph.tidy()
    graph.save(out)
    print(json.dumps([cpu, wall, peak_megabytes(), costs(graph).params]))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(np.mean((one * other).sum(axis=1) / lengths))


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        source, samples, out, share = sys.argv[2:]
        prune(Path(source), Path(samples), Path(out), float(share))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shared", nargs="?", type=Path, help="the folder with models/ and data/photos")
    parser.add_argument("--models", nargs="*", default=["efficientnet_lite0", "resnet50", "vgg16"])
    parser.add_argument("--shares", nargs="*", type=float, default=[0.7, 0.6], help="shares of the MACs")
    parser.add_argument("--count", type=int, default=512, help="pictures that choose and repair")
    arguments = parser.parse_args()
    shared: Path | None = arguments.shared
    console = Console(width=110)
    if shared is None or not (shared / "data/photos/calib").is_dir():
        console.print("real_pruning: skipped, for it needs a folder with models/ and data/photos")
        return
    test = photos(shared / "data/photos/test")
    table = Table("net", "MACs", "CPU s", "seconds", "peak MB", "parameters", "agreement", "cosine")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pictures = photos(shared / "data/photos/calib", arguments.count)
        np.save(work / "calib.npy", pictures)
        for name in arguments.models:
            model = shared / "models" / f"{name}.onnx"
            if name in NETS:
                model = work / f"{name}.onnx"
                make_net(name, pictures[:16], model)
            seen = test[:FEW] if name in NETS else test
            right = scores(model, seen)
            for share in arguments.shares:
                out = work / f"{name}_{share}.onnx"
                command = [
                    sys.executable,
                    __file__,
                    "--child",
                    str(model),
                    str(work / "calib.npy"),
                    str(out),
                    str(share),
                ]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(f"{name} at {share}: {done.stderr}")
                cpu, wall, peak, params = json.loads(done.stdout.splitlines()[-1])
                found = scores(out, seen)
                agreement = float((found.argmax(axis=1) == right.argmax(axis=1)).mean())
                cells = [f"{cpu:.0f}", f"{wall:.0f}", f"{peak:.0f}", f"{params / 1e6:.2f} M"]
                table.add_row(name, f"{share:.0%}", *cells, f"{agreement:.1%}", f"{cosine(found, right):.3f}")
                print(name, share, *cells, agreement, file=sys.stderr, flush=True)
    console.print(table)


if __name__ == "__main__":
    main()
