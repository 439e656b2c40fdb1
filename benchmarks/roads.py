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
TARGETS = {
    "openvino": "openvino",
    "tvm": "tvm",
    "litert": "litert",
    "ort": "onnxruntime(format=ort)",
}
FOLD = "simplify\nfold_batch_norm\n"
QUANTIZE = "quantize(int8, data=calib, rounding=nearest)\n"
LITERT = {
    "fold litert": "target litert\n",
    "int8 litert": 'target litert(weights=int8, data=calib, tolerance=0.2, name="int8.tflite")\n',
}
"""TFLite's converter quantizes the folded model itself, so that one recipe and one conversion by onnx2tf make both.

The int8 model is compared with the float model, so that its error is that of quantization: with random weights, it is
larger than the default tolerance allows.
"""

COLUMNS = ("converted", *(f"{form} {target}" for form in ("fold", "int8") for target in TARGETS))
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
            for column in COLUMNS:
                if f"{net}/{framework}/{column}" in cells or time.monotonic() > end:
                    continue
                for name, value in cell(chosen, net, framework, column).items():
                    cells[f"{net}/{framework}/{name}"] = value
                    print(f"{net}/{framework}/{name}", value, flush=True)
                file.write_text(json.dumps(cells, indent=1))
    if chosen.write:
        text = chosen.write.read_text(encoding="utf-8")
        head, _, rest = text.partition(BEGIN)
        tail = rest.partition(END)[2]
        chosen.write.write_text(f"{head}{BEGIN}\n\n{table(cells)}\n{END}{tail}", encoding="utf-8")


def cell(chosen: Any, net: str, framework: str, column: str) -> dict[str, str]:
    """A cell by its column, and others that the same work gives: errors as text, or reasons."""
    folder = chosen.state / f"{net}-{framework}"
    model = folder / "model.onnx"
    if column == "converted":
        return {column: converted(chosen, net, framework, folder)}
    if not model.is_file():
        return {column: "not converted"}
    form, target = column.split(" ")
    if target != "litert":
        steps = FOLD if form == "fold" else FOLD + QUANTIZE
        found = compiled(chosen, folder, model, f"{steps}target {TARGETS[target]}\n")
        return {column: found if isinstance(found, str) else found[0]}
    both = compiled(chosen, folder, model, FOLD + "".join(LITERT.values()))
    if not isinstance(both, str):
        return dict(zip(LITERT, both, strict=True))
    # One of them failed, and a compile writes nothing then.
    found = compiled(chosen, folder, model, FOLD + LITERT[column])
    return {column: found if isinstance(found, str) else found[0]}


def converted(chosen: Any, net: str, framework: str, folder: Path) -> str:
    """The largest error of the ONNX model beside the framework."""
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
        return f"{convert_source(source, folder / 'model.onnx').error:.0e}"
    except CompileError as error:
        return error.diagnostics[0].message


def compiled(chosen: Any, folder: Path, model: Path, recipe_text: str) -> list[str] | str:
    """The largest error of each target's model, from the report of a compile in a process of its own; or a reason."""
    samples = folder / "samples.npz"
    if not samples.is_file():
        (value,) = inputs_of(Graph.load(model))
        shape = (chosen.samples, *(int(each) for each in (value.shape or ())[1:] if isinstance(each, int)))
        np.savez(samples, **{value.name: np.random.default_rng(0).normal(size=shape).astype(np.float32)})
    recipe = folder / "road.opt"
    recipe.write_text(f'data calib = npz("samples.npz")\n{recipe_text}', encoding="utf-8")
    command = [sys.executable, "-m", "vggc", str(recipe), str(model), "-o", str(folder / "out"), "--verify", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        return lines[0].removeprefix("error: ") if lines else f"exit status {done.returncode}"
    report = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    return [f"{run['largest_error']:.0e}" for run in report["runs"]]


def table(cells: dict[str, str]) -> str:
    """The table in Markdown, and under it the reasons of cells without a number."""
    reasons: list[str] = []
    lines = [f"| net | from | {' | '.join(COLUMNS)} |", f"|{'---|' * (len(COLUMNS) + 2)}"]
    for net, framework in dict.fromkeys(tuple(key.split("/")[:2]) for key in cells):
        row = []
        for column in COLUMNS:
            value = cells.get(f"{net}/{framework}/{column}", "not run")
            if not value[:1].isdigit():
                if value not in reasons:
                    reasons.append(value)
                value = f"({reasons.index(value) + 1})"
            row.append(value)
        lines.append(f"| {net} | {framework} | {' | '.join(row)} |")
    notes = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*lines, "", *notes, *([""] if notes else [])])


if __name__ == "__main__":
    main()
