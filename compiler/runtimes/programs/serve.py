"""Load the model that a sidecar describes, run it once, and then measure it on request: `python -P serve.py JOB.json`.

The job's keys are `sidecar`, `program` (the file whose class `Model` runs it), `runs` (pairs of .npz files: inputs, and
where to write outputs) and `threads` (null for one for each core). The process answers each line of its standard input
with a line of JSON. A line with a number of seconds gets the times of the runs that fit into it. A line with a list,
[inputs, outputs, batch], runs the rows of an .npz file in such batches, and writes the outputs of all. Any other line
gets the memory of the process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

WARM_UP_RUNS = 3
WARM_UP_SECONDS = 0.2


def main(arguments: list[str]) -> None:
    """Load, run, and serve until the input ends."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    # Standard output is for answers only. Libraries print too, also from C, which then goes to standard error.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        _serve(job, sys.stdin, out)
    except Exception as error:  # noqa: BLE001 - the parent reports whatever a runtime raises
        send(out, {"raised": type(error).__name__, "text": str(error)})


def run_once(job: str, seconds: float) -> list[float]:
    """Run the model on all inputs of the job. Returns the seconds of runs on the last inputs."""
    model, feeds, _, _ = _load(json.loads(Path(job).read_text(encoding="utf-8")))
    _times(model, feeds, 0.0)
    return _times(model, feeds, seconds)


def _serve(job: dict[str, Any], commands: TextIO, out: TextIO) -> None:
    model, feeds, loaded, before = _load(job)
    warm: list[float] = []
    while len(warm) < WARM_UP_RUNS or sum(warm) < WARM_UP_SECONDS:
        warm += _times(model, feeds, 0.0)
    send(out, {"load_seconds": loaded})
    answer(commands, out, before, lambda seconds: _times(model, feeds, seconds), model.run)


def answer(
    commands: TextIO,
    out: TextIO,
    before: int | None,
    times: Callable[[float], list[float]],
    run: Callable[[dict[str, Any]], Mapping[str, Any]],
) -> None:
    """Answer lines until the input ends: seconds with times, a list after its runs, any other with memory.

    The memory is that beyond `before`. `run` gives the outputs for inputs, both by name.
    """
    for line in commands:
        if line.startswith("["):
            inputs, outputs, batch = json.loads(line)
            run_rows(inputs, outputs, batch, run)
            send(out, {"done": True})
            continue
        try:
            seconds = float(line)
        except ValueError:
            peak = memory("VmHWM")
            send(out, {"peak_bytes": None if peak is None or before is None else peak - before})
        else:
            send(out, {"times": times(seconds)})


def _load(job: dict[str, Any]) -> tuple[Any, dict[str, Any], float, int | None]:
    """The model after its runs, its last inputs, the seconds of loading, and the memory before."""
    sidecar = Path(job["sidecar"])
    described = json.loads(sidecar.read_text(encoding="utf-8"))
    # Load the runtime first, because its libraries are not part of the model's memory.
    model_class = _model_class(Path(job["program"]))
    before = memory("VmRSS")
    started = time.perf_counter()
    model = model_class(str(sidecar.with_name(described["model"])), described, job["threads"])
    loaded = time.perf_counter() - started
    feeds: dict[str, Any] = {}
    for source, destination in job["runs"]:
        with np.load(source) as arrays:
            feeds = {name: arrays[name] for name in arrays.files}
        _write(Path(destination), model.run(feeds))
    return model, feeds, loaded, before


def run_rows(inputs: str, outputs: str, batch: int, run: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Run the rows of the arrays in `inputs` (.npz) in batches, and write what they give to `outputs`."""
    with np.load(inputs) as archive:
        arrays = {name: archive[name] for name in archive.files}
    rows = len(next(iter(arrays.values())))
    parts = [run({name: array[at : at + batch] for name, array in arrays.items()}) for at in range(0, rows, batch)]
    _write(Path(outputs), {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]})


def _model_class(program: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"vggc_{program.stem}", program)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.Model


def _times(model: Any, feeds: Mapping[str, Any], seconds: float) -> list[float]:
    """Run for about `seconds`, at least once. Returns the seconds of each run."""
    taken: list[float] = []
    while not taken or sum(taken) < seconds:
        started = time.perf_counter()
        model.run(feeds)
        taken.append(time.perf_counter() - started)
    return taken


def _write(path: Path, arrays: Mapping[str, Any]) -> None:
    # numpy.savez cannot write an array with the name `file`.
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


def memory(key: str) -> int | None:
    """Bytes of this process according to Linux: VmRSS is the current number, VmHWM the peak. None on other systems.

    The peak of `resource.getrusage` cannot be used, because it includes the peak of the parent process.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    lines = (line.split() for line in status.read_text(encoding="ascii", errors="replace").splitlines())
    return next((int(words[1]) * 1024 for words in lines if words and words[0] == f"{key}:"), None)


def send(out: TextIO, message: dict[str, Any]) -> None:
    """Write a line of JSON."""
    out.write(json.dumps(message) + "\n")
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
