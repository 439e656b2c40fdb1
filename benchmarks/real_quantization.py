"""int8 of nets of real size on photographs: CPU seconds, peak memory and agreement with float, beside the peers.

    python benchmarks/real_quantization.py SHARED --peers-python PYTHON
    python benchmarks/real_quantization.py SHARED --peers "onnxruntime, uint8, minmax" --count 2048

SHARED is a folder with `models/efficientnet_lite0.onnx` and JPEGs of 224x224 in `data/photos/calib` and
`data/photos/test`. The first `--count` pictures of calib calibrate, without labels (they are repeated when there are
fewer), and all of test measure. ResNet-50 has seeded weights: its agreement says little. Each tool is a process of its
own that reads the same array from a file. Seconds are those of quantizing, without imports; the peak is that of the
process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from quantize_peers import PEERS, peak_megabytes
from rich.console import Console
from rich.table import Table
from seeded_nets import make_net

HERE = Path(__file__).parent
BATCH = 16
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
DEFAULT_PEERS = ["onnxruntime, uint8, minmax", "modelopt, entropy", "modelopt, max", "nncf, mixed"]


def photos(folder: Path, count: int | None = None) -> np.ndarray:
    """Pictures as the nets read them, (pictures, 3, 224, 224)."""
    files = sorted(folder.glob("*.jpg"))[:count]
    pixels = (np.asarray(Image.open(each).convert("RGB"), np.float32) for each in files)
    return np.stack([((each / 255 - MEAN) / STD).transpose(2, 0, 1) for each in pixels])


def scores(path: Path, pictures: np.ndarray) -> np.ndarray:
    """What a model's only output is for each picture, (pictures, classes)."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    pieces = [session.run(None, {name: pictures[at : at + BATCH]})[0] for at in range(0, len(pictures), BATCH)]
    return np.concatenate(pieces)


def classes(path: Path, pictures: np.ndarray) -> np.ndarray:
    return scores(path, pictures).argmax(axis=1)


def quantize_and_print(source: Path, samples: Path, out: Path, placement: str) -> None:
    """The child process: quantize with all defaults, and print seconds and peak memory."""
    from quantization import by_vggc

    from vggc.data.loaders import npy

    wall, cpu = by_vggc(source, npy.function(samples.parent, samples.name), placement, out).seconds
    print(f"seconds {wall:.2f} {cpu:.2f}")
    print(f"peak {peak_megabytes():.0f}")


def run(command: list[str], timeout: float) -> tuple[list[str], str]:
    """The columns of a tool (CPU seconds, seconds, peak), or none and the reason."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "VGGC_CACHE": "off"},
        )
    except subprocess.TimeoutExpired:
        return [], f"over {timeout:.0f} s"
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    if done.returncode or "seconds" not in lines or "peak" not in lines:
        return [], (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:70]
    wall, cpu = lines["seconds"]
    return [cpu, wall, lines["peak"][0]], ""


def compare(console: Console, name: str, model: Path, samples: Path, arguments: argparse.Namespace) -> None:
    test = photos(arguments.shared / "data/photos/test")
    right = classes(model, test)
    table = Table("", "CPU s", "seconds", "peak MB", "agreement", title=f"{name}, {arguments.count} pictures")
    itself = [sys.executable, str(Path(__file__)), "--child", str(model), str(samples)]
    peer = [arguments.peers_python, str(HERE / "quantize_peers.py")]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.onnx"
        tools = {f"vggc, {each}": [*itself, str(out), each] for each in ("onnxruntime", "tensorrt")}
        tools |= {each: [*peer, each, str(model), str(samples), str(out)] for each in arguments.peers}
        for tool, command in tools.items():
            columns, reason = run(command, arguments.timeout)
            print(name, tool, *columns, reason, file=sys.stderr, flush=True)
            if not columns:
                table.add_row(tool, f"skipped: {reason}")
                continue
            table.add_row(tool, *columns, f"{float((classes(out, test) == right).mean()):.2%}")
    console.print(table)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        source, samples, out, placement = sys.argv[2:]
        quantize_and_print(Path(source), Path(samples), Path(out), placement)
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shared", type=Path, help="the folder with models/efficientnet_lite0.onnx and data/photos")
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter of an environment with the peers")
    parser.add_argument("--peers", nargs="*", default=DEFAULT_PEERS, choices=list(PEERS), metavar="PEER")
    parser.add_argument("--models", nargs="*", default=["efficientnet_lite0", "resnet50"])
    parser.add_argument("--count", type=int, default=256, help="pictures that calibrate")
    parser.add_argument("--timeout", type=float, default=600)
    arguments = parser.parse_args()
    console = Console(width=110)
    efficientnet = arguments.shared / "models/efficientnet_lite0.onnx"
    if not efficientnet.is_file() or not (arguments.shared / "data/photos/calib").is_dir():
        console.print(f"skipped: there is no {efficientnet}, or no folder data/photos/calib beside models")
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pictures = photos(arguments.shared / "data/photos/calib", arguments.count)
        np.save(work / "calib.npy", np.resize(pictures, (arguments.count, *pictures.shape[1:])))
        models = {"efficientnet_lite0": efficientnet, "resnet50": work / "resnet50.onnx"}
        if "resnet50" in arguments.models:
            make_net("resnet50", pictures[:16], models["resnet50"])
        for name in arguments.models:
            compare(console, name, models[name], work / "calib.npy", arguments)


if __name__ == "__main__":
    main()
