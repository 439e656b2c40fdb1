"""One model, measured in a process of its own: `python -P -m vggc.bench.child JOB.json`.

The job: `model` (a file), `feeds` (an .npz file) and `threads`. The process answers every line of its standard input
with a line of JSON: a number of seconds with the times of the runs that fit into them, anything else with its memory.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from vggc.diagnostics import CompileError
from vggc.execution.session import Session

WARM_UP_RUNS = 3
WARM_UP_SECONDS = 0.2


def main(arguments: list[str]) -> None:
    """Load the model, warm up, and serve until the input ends."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    # What libraries print does not belong among the answers.
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        _serve(job, sys.stdin, out)
    except CompileError as error:
        first = error.diagnostics[0]
        _tell(out, {"failed": {"message": first.message, "facts": list(first.facts), "help": first.help}})


def _serve(job: dict[str, Any], commands: TextIO, out: TextIO) -> None:
    # onnxruntime's own libraries are no part of the model.
    import onnxruntime  # noqa: F401

    before = _memory("VmRSS")
    with np.load(job["feeds"]) as arrays:
        feeds = {name: arrays[name] for name in arrays.files}
    started = time.perf_counter()
    session = Session(Path(job["model"]), optimise="all", threads=job["threads"], spinning=True)
    loaded = time.perf_counter() - started
    warm_up(session, feeds)
    _tell(out, {"load_seconds": loaded})
    for line in commands:
        try:
            seconds = float(line)
        except ValueError:
            peak = _memory("VmHWM")
            _tell(out, {"peak_bytes": None if peak is None or before is None else peak - before})
        else:
            _tell(out, {"times": times(session, feeds, seconds)})


def warm_up(session: Session, feeds: dict[str, Any]) -> None:
    """Run until caches, buffers and the clock of the processor have settled."""
    until = time.perf_counter() + WARM_UP_SECONDS
    done = 0
    while done < WARM_UP_RUNS or time.perf_counter() < until:
        session.run(feeds)
        done += 1


def times(session: Session, feeds: dict[str, Any], seconds: float) -> list[float]:
    """The seconds of each run, at least one, for about this long in all."""
    found: list[float] = []
    until = time.perf_counter() + seconds
    while not found or time.perf_counter() < until:
        started = time.perf_counter()
        session.run(feeds)
        found.append(time.perf_counter() - started)
    return found


def _memory(key: str) -> int | None:
    """Bytes of memory that Linux counts for this process: VmRSS now, VmHWM at most; None elsewhere.

    `resource.getrusage` would not do: its peak includes that of the process this one was started from.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    lines = (line.split() for line in status.read_text(encoding="ascii", errors="replace").splitlines())
    return next((int(words[1]) * 1024 for words in lines if words and words[0] == f"{key}:"), None)


def _tell(out: TextIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
