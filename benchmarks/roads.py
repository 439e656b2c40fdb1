"""Take nets of each framework through fold and int8 to each target, and write the table of docs/roads.md.

    python benchmarks/roads.py --nets mobilenet resnet50 vgg16 --write docs/roads.md

Each net has random weights. It is converted and compared with its framework; then each target converts the folded and
the int8 model, runs it and compares it with onnxruntime. A cell is the largest error of an output, relative to the
output's largest number, or the reason why there is none. Results are kept in --state, so that a run goes on where the
last one ended. `--framework` needs the variables VGGC_PYTHON_... of docs/roads.md, or the packages in this Python.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from vggc.diagnostics import CompileError
from vggc.diagnostics.packages import PADDLE, TENSORFLOW, TORCH_EXPORT
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
from vggc.importers import convert_source, source_of
from vggc.runtimes.packages import python_of

FRAMEWORKS = {"keras": TENSORFLOW, "tflite": TENSORFLOW, "paddle": PADDLE, "torch": TORCH_EXPORT}
TARGETS = ("openvino", "tvm", "litert", "onnxruntime(format=ort)")
STEPS = {
    "fold": "simplify\nfold_batch_norm\n",
    "int8": "simplify\nfold_batch_norm\nquantize(int8, data=calib, rounding=nearest)\n",
}
BEGIN, END = "<!-- made by benchmarks/roads.py -->", "<!-- end -->"
HERE = Path(__file__).parent


def main() -> None:
    """Fill the cells that are not known, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nets", nargs="+", default=["mobilenet", "resnet50", "vgg16"])
    parser.add_argument("--frameworks", nargs="+", default=list(FRAMEWORKS), choices=list(FRAMEWORKS))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--state", type=Path, default=Path("build/roads"))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no cell after this time")
    chosen = parser.parse_args()
    chosen.state.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + chosen.seconds
    file = chosen.state / "cells.json"
    cells: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
    for net in chosen.nets:
        for framework in chosen.frameworks:
            for column in ("converted", *(f"{steps} {target}" for steps in STEPS for target in TARGETS)):
                key = f"{net}/{framework}/{column}"
                if key in cells or time.monotonic() > end:
                    continue
                cells[key] = cell(chosen, net, framework, column)
                print(key, cells[key], flush=True)
                file.write_text(json.dumps(cells, indent=1))
    if chosen.write:
        text = chosen.write.read_text(encoding="utf-8")
        head, _, rest = text.partition(BEGIN)
        tail = rest.partition(END)[2]
        chosen.write.write_text(f"{head}{BEGIN}\n\n{table(cells)}\n{END}{tail}", encoding="utf-8")


def cell(chosen: Any, net: str, framework: str, column: str) -> str:
    """One cell: an error as text, or a reason."""
    folder = chosen.state / f"{net}-{framework}"
    model = folder / "model.onnx"
    if column == "converted":
        python = python_of(FRAMEWORKS[framework])
        if python is None:
            return f"no {framework} here"
        command = [python, str(HERE / "roads_models.py"), framework, net, str(chosen.size), str(folder / "source")]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            return f"the framework failed: {(made.stderr.strip().splitlines() or ['?'])[-1]}"
        try:
            source = source_of(Path(made.stdout.strip().splitlines()[-1]))
            assert source is not None
            return f"{convert_source(source, model).error:.0e}"
        except CompileError as error:
            return error.diagnostics[0].message
    if not model.is_file():
        return "not converted"
    steps, target = column.split(" ")
    return compiled(chosen, folder, model, steps, target)


def compiled(chosen: Any, folder: Path, model: Path, steps: str, target: str) -> str:
    """The largest error of a target's model, from the report of a compile in a process of its own."""
    samples = folder / "samples.npz"
    if not samples.is_file():
        (value,) = inputs_of(Graph.load(model))
        shape = (chosen.samples, *(int(each) for each in (value.shape or ())[1:] if isinstance(each, int)))
        np.savez(samples, **{value.name: np.random.default_rng(0).normal(size=shape).astype(np.float32)})
    recipe = folder / "road.opt"
    recipe.write_text(f'data calib = npz("samples.npz")\n{STEPS[steps]}target {target}\n', encoding="utf-8")
    command = [sys.executable, "-m", "vggc", str(recipe), str(model), "-o", str(folder / "out"), "--verify", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        return lines[0].removeprefix("error: ") if lines else f"exit status {done.returncode}"
    report = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    return f"{report['runs'][0]['largest_error']:.0e}"


def table(cells: dict[str, str]) -> str:
    """The table in Markdown, and under it the reasons of cells without a number."""
    reasons: list[str] = []
    columns = ["converted", *(f"{steps} {target}" for steps in STEPS for target in TARGETS)]
    heads = [each.replace("onnxruntime(format=ort)", "ort") for each in columns]
    lines = [f"| net | from | {' | '.join(heads)} |", f"|{'---|' * (len(heads) + 2)}"]
    for net, framework in dict.fromkeys(tuple(key.split("/")[:2]) for key in cells):
        row = []
        for column in columns:
            value = cells.get(f"{net}/{framework}/{column}", "not run")
            if not value[:1].isdigit():
                reason = general(value)
                if reason not in reasons:
                    reasons.append(reason)
                value = f"({reasons.index(reason) + 1})"
            row.append(value)
        lines.append(f"| {net} | {framework} | {' | '.join(row)} |")
    notes = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*lines, "", *notes, ""])


def general(reason: str) -> str:
    """A reason without the name of the node, so that cells share it."""
    words = reason.split("`")
    return "`...`".join(words[::2]) if "onnx2tf would compute" in reason else reason


if __name__ == "__main__":
    main()
