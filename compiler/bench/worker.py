"""A child process that holds one model and measures it on request."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vggc.bench.folders import is_runtime_model
from vggc.data.npz import write_npz
from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.execution.threads import thread_limit
from vggc.graph.arrays import Array, Feeds
from vggc.runtimes.model import runtime_of
from vggc.runtimes.packages import need, python_of
from vggc.runtimes.process import PROGRAMS


class Worker:
    """A model in a child process. `ready` waits until it is loaded and warmed up. The process ends with the block.

    Methods raise CompileError, naming the model, when the process cannot load or run it, or ends.
    """

    def __init__(self, model: Path, feeds: Feeds, folder: Path) -> None:
        self._model = model
        arrays = folder / "feeds.npz"
        _check_storable(model, feeds)
        write_npz(arrays, feeds)
        self._outputs = folder / "outputs.npz"
        job = folder / "job.json"
        described: dict[str, Any] = {"threads": thread_limit()}
        if is_runtime_model(model):
            runtime = runtime_of(model)
            need(f"measuring `{model}`", runtime.packages)
            runs = [[str(arrays), str(self._outputs)]]
            described |= {"sidecar": str(model), "program": str(runtime.program), "runs": runs}
            command = [python_of(runtime.packages) or sys.executable, "-P", str(PROGRAMS / "serve.py"), str(job)]
        else:
            described |= {"model": str(model), "feeds": str(arrays), "outputs": str(self._outputs)}
            command = [sys.executable, "-P", "-m", "vggc.bench.child", str(job)]
        job.write_text(json.dumps(described), encoding="utf-8")
        self._stderr = (folder / "stderr.txt").open("w+b")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()
        self._stderr.close()

    def ready(self) -> float:
        """Wait until the model is loaded. Returns the seconds that loading took."""
        return float(self._answer()["load_seconds"])

    def outputs(self) -> dict[str, Array]:
        """What the model computed for the feeds, once it is ready."""
        with np.load(self._outputs) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def times(self, seconds: float) -> list[float]:
        """Run the model for about `seconds`, at least once. Returns the seconds of each run."""
        self._ask(repr(seconds))
        return list(self._answer()["times"])

    def run(self, rows: Feeds, batch: int) -> dict[str, Array]:
        """The outputs for rows of samples, which the model runs in such batches."""
        inputs, outputs = (self._outputs.with_name(f"rows_{kind}.npz") for kind in ("in", "out"))
        write_npz(inputs, rows)
        self._ask(json.dumps([str(inputs), str(outputs), batch]))
        self._answer()
        with np.load(outputs) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def peak_bytes(self) -> int | None:
        """The most memory that the model has used so far; None when the system does not report it."""
        self._ask("memory")
        peak: int | None = self._answer()["peak_bytes"]
        return peak

    def _ask(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        if "raised" in answer:
            lines = answer["text"].strip().splitlines() or [""]
            raise fail(f"`{self._model}` does not run: {answer['raised']}: {lines[-1]}", code=Code.BENCH)
        if "failed" in answer:
            failed = answer["failed"]
            facts = (("model", f"`{self._model}`"), *((str(name), str(text)) for name, text in failed["facts"]))
            raise CompileError(
                Diagnostic(failed["message"], facts=facts, help=failed["help"], code=Code[failed["code"]])
            )
        return answer

    def _ended(self) -> CompileError:
        status = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        ending = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        help = "signal 9 usually means that the machine ran out of memory: try a smaller batch" if status == -9 else ""
        facts = (("last output", lines[-1]),) if lines else ()
        return fail(f"the process that measured `{self._model}` {ending}", facts=facts, help=help, code=Code.BENCH)


def _check_storable(model: Path, feeds: Feeds) -> None:
    """Raise CompileError for a type that .npz files do not support."""
    for name, array in feeds.items():
        if array.dtype.kind in "OV":
            raise fail(
                f"the input `{name}` of `{model}` has type {array.dtype}, which `vggc bench` does not support",
                code=Code.BENCH,
            )
