"""A process that holds one model and measures it when it is told to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from vggc.diagnostics import CompileError, Diagnostic, fail
from vggc.graph.arrays import Feeds
from vggc.targets.npz import write_npz


class Worker:
    """A model in a process of its own, loaded and warmed up by `ready`. The process ends with the block.

    Raises CompileError, naming the model, when the process cannot load it, cannot run it, or dies.
    """

    def __init__(self, model: Path, feeds: Feeds, threads: int, folder: Path) -> None:
        self._model = model
        arrays = folder / "feeds.npz"
        _check_storable(model, feeds)
        write_npz(arrays, feeds)
        job = folder / "job.json"
        job.write_text(json.dumps({"model": str(model), "feeds": str(arrays), "threads": threads}), encoding="utf-8")
        self._said = (folder / "said.txt").open("w+b")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vggc.bench.child", str(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def ready(self) -> float:
        """Wait until the model is loaded; the seconds that took."""
        return float(self._answer()["load_seconds"])

    def times(self, seconds: float) -> list[float]:
        """The seconds of each run, at least one, in about `seconds`."""
        self._ask(repr(seconds))
        return list(self._answer()["times"])

    def peak_bytes(self) -> int | None:
        """The most memory that the model has taken so far; None where the system does not tell."""
        self._ask("memory")
        peak: int | None = self._answer()["peak_bytes"]
        return peak

    def _ask(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._died()
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            failed = answer["failed"]
            facts = (("model", f"`{self._model}`"), *((str(name), str(text)) for name, text in failed["facts"]))
            raise CompileError(Diagnostic(failed["message"], facts=facts, help=failed["help"]))
        return answer

    def _died(self) -> CompileError:
        status = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        advice = (
            "signal 9 mostly means that the machine had no memory left: try a smaller batch" if status == -9 else ""
        )
        facts = (("said", lines[-1]),) if lines else ()
        return fail(f"the process that measured `{self._model}` {how}", facts=facts, help=advice)


def _check_storable(model: Path, feeds: Feeds) -> None:
    """Raise CompileError for a type that an .npz file does not keep."""
    for name, array in feeds.items():
        if array.dtype.kind in "OV":
            raise fail(f"the input `{name}` of `{model}` is {array.dtype}, which `vggc bench` cannot make up")
