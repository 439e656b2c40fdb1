"""Accuracy and CPU time of pruning with and without `recover`, on nets that were trained on Fashion-MNIST.

    python benchmarks/recovery.py SHARED --net resnet20 --macs 0.35 --epochs 30

SHARED is a folder with models/NET.onnx and data/fashion_mnist.npz: `x`, uint8 (70000, 32, 32), and `y`. The first 1,024
images are the samples, without their labels; the last 10,000 are the test set.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from vggc.execution.session import Session
from vggc.graph import Graph

RECIPE = """
data calib = npz("calib.npz")
data test = npz("test.npz")
simplify
prune_channels(macs={macs:.0%}, data=calib)
{recover}
target onnx
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--net", default="resnet20")
    parser.add_argument("--macs", type=float, nargs="+", default=[0.35], help="shares of the MACs that remain")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--options", default="", help="more options of recover, such as `features=0.1`")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    data = given.shared / "data" / "fashion_mnist.npz"
    if not data.is_file():
        sys.exit(f"skipped: there is no {data}")
    with np.load(data) as stored, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = ((stored["x"][:, None].astype(np.float32) / 255 - 0.2) / 0.3).astype(np.float32)
        labels = stored["y"][60000:]
        np.savez(folder / "calib.npz", input=images[:1024])
        np.savez(folder / "test.npz", input=images[60000:])
        model = given.shared / "models" / f"{given.net}.onnx"
        print(f"{given.net}, top-1 {accuracy(model, images[60000:], labels):.2%} before", flush=True)
        options = f", {given.options}" if given.options else ""
        for macs in given.macs:
            for text in ("", f"recover(data=calib, epochs={given.epochs}{options})"):
                (folder / "recipe.opt").write_text(RECIPE.format(macs=macs, recover=text))
                seconds = compiled(folder, model, given.threads)
                share = accuracy(folder / "out" / "model.onnx", images[60000:], labels)
                print(
                    f"  {macs:.0%} of the MACs, {text or 'pruned'}: {share:.2%}, {seconds / 60:.1f} CPU minutes",
                    flush=True,
                )


def compiled(folder: Path, model: Path, threads: int) -> float:
    """Run the recipe. Returns the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-P", "-m", "vggc", "recipe.opt", str(model.resolve()), "-o", "out"]
    subprocess.run(
        [*command, "--threads", str(threads)],
        cwd=folder,
        env={**os.environ, "VGGC_CACHE": "off"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def accuracy(model: Path, images: np.ndarray, labels: np.ndarray) -> float:
    session = Session(Graph.load(model))
    pieces = [
        session.run({session.inputs[0].name: images[first : first + 500]}) for first in range(0, len(images), 500)
    ]
    logits = np.concatenate([next(iter(each.values())) for each in pieces])
    return float((logits.argmax(1) == labels).mean())


if __name__ == "__main__":
    main()
