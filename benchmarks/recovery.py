"""Accuracy, CPU time and speed with and without `recover`: one command for all figures of docs/recovery.md.

    python benchmarks/recovery.py SHARED                                        everything on Fashion-MNIST
    python benchmarks/recovery.py SHARED --net resnet20 --macs 0.35 --only pruned
    python benchmarks/recovery.py SHARED --only photos --photos fit.npy hold.npy

SHARED is a folder with models/NET.onnx and data/fashion_mnist.npz: `x`, uint8 (70000, 32, 32), and `y`. The first 1,024
images are the samples, without their labels; the last 10,000 are the test set. `--photos` are two arrays
(pictures, 3, 224, 224) for models/efficientnet_lite0.onnx: the samples, and pictures of other things on other
backgrounds to compare results on. `--plot FILE` draws accuracy over the share of MACs that remains (needs matplotlib).

Choose settings with `--held-out`: it shows the share of 4,096 other training images that get the class of the model as
read, and leaves the test set alone.

With `--keep FOLDER`, a run that was ended goes on where it was: the folder has figures that are complete, and the cache
with what steps did and checkpoints of trainings. The CPU time of a training that was ended is that of its last part.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from svg_plots import panels, save

from vggc.execution.session import Session
from vggc.graph import Graph

SHARES = {"vgg16": (0.25, 0.125, 0.06), "resnet20": (0.5, 0.35, 0.25), "mobilenet": (0.5, 0.35)}
TRAININGS = {"vgg16": "epochs=640, statistics=learn", "resnet20": "epochs=200", "mobilenet": "epochs=200"}
"""How each net is trained: a wide one, which pruning has hurt little, gains by long trainings only."""
PHOTOS = "epochs=60, statistics=keep"
"""How a net is trained with a few hundred photographs."""
HEAD = 'data calib = npz("calib.npz")\nsimplify\n'
PRUNED = HEAD + "prune_channels(macs={macs:.1%}, data=calib)\n{recover}target onnx\n"
SMALL_INT8 = (
    HEAD + "prune_channels(macs={macs:.1%}, data=calib, align=16)\n{recover}"
    "fold_batch_norm\nquantize(int8, data=calib)\ntarget onnx\n"
)
QUANTIZED = HEAD + "fold_batch_norm\nquantize({precision}, data=calib)\n{recover}target onnx\n"
QUANTIZED_OPTIONS = "epochs=10"
"""As in qat.opt: quantizing costs little, and training through quantizers takes several times as long."""
KINDS = ("pruned", "int8", "quantized", "photos")


@dataclass(frozen=True)
class Bench:
    """A folder with calib.npz, the images and labels to measure with, and how to compile.

    Without labels, the classes of the model as read are the right ones.
    """

    folder: Path
    images: np.ndarray
    labels: np.ndarray | None
    threads: int

    def compiled(self, recipe: str, model: Path) -> tuple[Path, float]:
        """Run a recipe. Returns the model, and the CPU seconds of the steps that no earlier recipe has run."""
        (self.folder / "recipe.opt").write_text(recipe)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-P", "-m", "vggc", "recipe.opt", str(model.resolve()), "-o", "out"]
        subprocess.run(
            [*command, "--threads", str(self.threads)],
            cwd=self.folder,
            env={**os.environ, "VGGC_CACHE": str(self.folder / "cache"), "VGGC_MEASURE": "off"},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return self.folder / "out" / "model.onnx", after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def measured(self, recipe: str, model: Path) -> tuple[float, float, float]:
        """The accuracy of what a recipe makes, the CPU seconds of its compile, and its speed beside the model.

        The speed is that of batches of 32 on one thread, in CPU time, which other work on the machine hardly changes.
        """
        against = b"original" if self.labels is None else b"labels"
        key = hashlib.sha256(recipe.encode() + model.read_bytes() + against).hexdigest()
        kept = self.folder / f"{key}.json"
        if not kept.is_file():
            result, seconds = self.compiled(recipe, model)
            speed = milliseconds(model, self.images[:32]) / milliseconds(result, self.images[:32])
            kept.write_text(json.dumps([self.accuracy(result, model), seconds, speed]))
        accuracy, seconds, speed = json.loads(kept.read_text())
        return accuracy, seconds, speed

    def accuracy(self, result: Path, model: Path) -> float:
        right = results(model, self.images).argmax(1) if self.labels is None else self.labels
        return float((results(result, self.images).argmax(1) == right).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--only", choices=KINDS, action="append", help="which figures (repeatable); all by default")
    parser.add_argument("--net", choices=SHARES, action="append")
    parser.add_argument("--macs", type=float, nargs="+", help="shares of the MACs that remain")
    parser.add_argument("--recover", help="the options of recover, such as `epochs=100, features=0.1`")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--photos", type=Path, nargs=2, metavar=("FIT", "HOLD"))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--held-out", action="store_true", help="measure agreement on training images, to choose by")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="go on where a run with this folder has ended")
    given = parser.parse_args()
    data = given.shared / "data" / "fashion_mnist.npz"
    if not data.is_file():
        sys.exit(f"skipped: there is no {data}")
    kinds = given.only or KINDS
    recover = {net: f"recover(data=calib, {given.recover or options})\n" for net, options in TRAININGS.items()}
    models = {net: given.shared / "models" / f"{net}.onnx" for net in given.net or SHARES}
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
    folder = tempfile.TemporaryDirectory() if given.keep is None else nullcontext(given.keep.resolve())
    with np.load(data) as stored, folder as name:
        images = ((stored["x"][:, None].astype(np.float32) / 255 - 0.2) / 0.3).astype(np.float32)
        if given.held_out:
            bench = Bench(Path(name), images[1024:5120], None, given.threads)
        else:
            bench = Bench(Path(name), images[60000:], stored["y"][60000:], given.threads)
        np.savez(bench.folder / "calib.npz", input=images[:1024])
        if "pruned" in kinds:
            curves = {
                net: pruned(bench, net, model, given.macs or SHARES[net], recover[net]) for net, model in models.items()
            }
            if given.plot is not None:
                plot(curves, given.plot)
        if "int8" in kinds and "vgg16" in models:
            small_int8(bench, models["vgg16"], given.macs or (0.125, 0.09, 0.08), recover["vgg16"])
        if "quantized" in kinds:
            recover_quantized = f"recover(data=calib, {given.recover or QUANTIZED_OPTIONS})\n"
            for net, model in models.items():
                quantized(bench, net, model, recover_quantized)
        if "photos" in kinds and given.photos is not None:
            model = given.shared / "models" / "efficientnet_lite0.onnx"
            training = f"recover(data=calib, {given.recover or PHOTOS})\n"
            photos(bench, model, given.photos, given.macs or [0.6], training)


Curve = list[tuple[float, float, float]]
"""Shares of the MACs, with the accuracy after pruning alone and after recovery."""


def pruned(bench: Bench, net: str, model: Path, shares: list[float], recover: str) -> Curve:
    before = bench.accuracy(model, model)
    print(f"{net}, top-1 {before:.2%} before", flush=True)
    found = [(1.0, before, before)]
    for macs in shares:
        both = []
        for text in ("", recover):
            accuracy, seconds, _ = bench.measured(PRUNED.format(macs=macs, recover=text), model)
            both.append(accuracy)
            print(f"  {macs:.1%} of the MACs, {text.strip() or 'pruned'}: {both[-1]:.2%}, {cpu(seconds)}", flush=True)
        found.append((macs, both[0], both[1]))
    return found


def small_int8(bench: Bench, model: Path, shares: list[float], recover: str) -> None:
    for macs in shares:
        accuracy, seconds, speed = bench.measured(SMALL_INT8.format(macs=macs, recover=recover), model)
        print(f"vgg16, {macs:.1%} of the MACs, int8: {accuracy:.2%}, {speed:.1f}x, {cpu(seconds)}", flush=True)


def quantized(bench: Bench, net: str, model: Path, recover: str) -> None:
    print(f"{net}, top-1 {bench.accuracy(model, model):.2%} before", flush=True)
    for precision in ("int8", "w4a8"):
        for text in ("", recover):
            accuracy, seconds, _ = bench.measured(QUANTIZED.format(precision=precision, recover=text), model)
            step = "trained" if text else "quantized"
            print(f"  {precision}, {step}: {accuracy:.2%}, {cpu(seconds)}", flush=True)


def photos(bench: Bench, model: Path, arrays: list[Path], shares: list[float], recover: str) -> None:
    """Agreement with the model as read, and the squared error of the logits as a share of their variance."""
    fit, hold = (np.load(path, mmap_mode="r") for path in arrays)
    np.savez(bench.folder / "calib.npz", input=fit)
    expected = results(model, hold)
    for macs in shares:
        for text in ("", recover):
            result, seconds = bench.compiled(PRUNED.format(macs=macs, recover=text), model)
            found = results(result, hold)
            agreement = float((found.argmax(1) == expected.argmax(1)).mean())
            error = float(np.square(found - expected).mean() / expected.var())
            print(
                f"efficientnet_lite0, {macs:.1%} of the MACs, {text.strip() or 'pruned'}: agreement {agreement:.3f}, "
                f"squared error {error:.3f}, {cpu(seconds)}",
                flush=True,
            )


def results(model: Path, images: np.ndarray) -> np.ndarray:
    """The first output, (images, classes)."""
    session = Session(Graph.load(model), optimise="all")
    size = 500 if images[0].nbytes < 1 << 14 else 32
    pieces = [
        session.run({session.inputs[0].name: np.asarray(images[first : first + size])})
        for first in range(0, len(images), size)
    ]
    return np.concatenate([next(iter(each.values())) for each in pieces])


def milliseconds(model: Path, images: np.ndarray) -> float:
    session = Session(Graph.load(model), optimise="all", threads=1)
    feed = {session.inputs[0].name: images}
    times = []
    for _ in range(30):
        started = time.process_time()
        session.run(feed)
        times.append(time.process_time() - started)
    return 1000 * min(times)


def cpu(seconds: float) -> str:
    return f"{seconds / 60:.1f} CPU minutes"


def plot(curves: dict[str, Curve], path: Path) -> None:
    figure, axes = panels(len(curves))
    for (net, points), axis in zip(curves.items(), axes, strict=True):
        shares = [100 * share for share, _, _ in points]
        for at, title in ((1, "pruned and repaired"), (2, "and recovered")):
            axis.plot(shares, [100 * point[at] for point in points], marker="o", label=title)
        axis.set(title=net, xlabel="share of the MACs, %", ylabel="top-1, %", xscale="log")
        axis.set_xticks(shares, [f"{share:g}" for share in shares])
        axis.minorticks_off()
        axis.legend()
        axis.grid(alpha=0.3)
    save(figure, path)


if __name__ == "__main__":
    main()
