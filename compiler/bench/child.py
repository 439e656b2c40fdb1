"""The child process that measures one model: `python -P -m vggc.bench.child JOB.json`.

The job's keys are `model` (an ONNX file), `feeds` (an .npz file), `outputs` (an .npz file to write) and `threads` (null
for one for each core). The process answers each line of its standard input with a line of JSON, as
`vggc.runtimes.programs.serve` does for models of other runtimes, which has what both need.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from vggc.data.npz import write_npz
from vggc.diagnostics import CompileError
from vggc.execution.latency import times, warm_up
from vggc.execution.session import Session
from vggc.runtimes.programs.serve import answer, memory, send


def main(arguments: list[str]) -> None:
    """Load the model, warm up, and serve until the input ends."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    # Standard output is for answers only. Libraries may print too, which then goes to standard error.
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        _serve(job, sys.stdin, out)
    except CompileError as error:
        first = error.diagnostics[0]
        send(
            out,
            {
                "failed": {
                    "message": first.message,
                    "facts": list(first.facts),
                    "help": first.help,
                    "code": first.code.name,
                }
            },
        )


def _serve(job: dict[str, Any], commands: TextIO, out: TextIO) -> None:
    # Load onnxruntime first, because its libraries are not part of the model's memory.
    import onnxruntime  # noqa: F401

    before = memory("VmRSS")
    with np.load(job["feeds"]) as arrays:
        feeds = {name: arrays[name] for name in arrays.files}
    started = time.perf_counter()
    session = Session(Path(job["model"]), optimise="all", threads=job["threads"], spinning=True)
    loaded = time.perf_counter() - started
    write_npz(Path(job["outputs"]), session.run(feeds))
    warm_up(session, feeds)
    send(out, {"load_seconds": loaded})
    answer(commands, out, before, lambda seconds: times(session, feeds, seconds), session.run)


if __name__ == "__main__":
    main(sys.argv[1:])
