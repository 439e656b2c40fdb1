"""Build an engine in a process of its own: however that ends, here it is a result or a message."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from vggc.diagnostics import CompileError
from vggc.targets.engine_messages import crashed, failed, other_numbers, timed_out
from vggc.targets.node_names import Describe

Profile = dict[str, tuple[list[int], list[int], list[int]]]
"""min, opt and max shape by input"""

_POLL = 0.25


@dataclass(frozen=True)
class Job:
    """What to build. Its fields are the keys of the JSON that `build_engine` reads."""

    package: str
    """the flavour's Python package: "tensorrt" or "tensorrt_rtx" """
    model: str
    """path of the ONNX file, its external data beside it"""
    engine: str
    """path to write the engine to"""
    name: str
    """of the network, kept in the engine"""
    compute: tuple[str, ...]
    """names of trt.ComputeCapability; empty where the flavour builds for the GPU it runs on"""
    tf32: bool
    workspace: int | None
    """bytes, None for TensorRT's own choice"""
    profiles: tuple[Profile, ...]
    origins: dict[str, str]
    """by TensorRT's name of a node, what its layers' metadata say of the recipe"""


@dataclass(frozen=True)
class Engine:
    """An engine as it was built."""

    version: str
    bytes: int
    sha256: str
    compute: list[str]
    flags: list[str]
    workspace: int
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    """name, type and shape (-1 where it varies) as the network has them"""
    layers: int
    seconds: dict[str, float]
    warnings: list[str]


def build(job: Job, describe: Describe, *, timeout: float | None = None) -> Engine:
    """Build an engine; `describe` names nodes for the user, `timeout` is in seconds.

    Raises CompileError, without a span, unless the build went through without a single ERROR and without a warning
    that it changed the model's numbers; OSError when the engine cannot be written. In every other case than success,
    KeyboardInterrupt among them, the process is ended and no engine file left.
    """
    finished = False
    try:
        with tempfile.TemporaryDirectory(prefix="vggc-") as folder:
            file = Path(folder) / "job.json"
            file.write_text(json.dumps(asdict(job)), encoding="utf-8")
            status, output, said = _run(file, job.package, timeout)
        result = _result(output)
        if result is None:
            raise crashed(job.package, status, said)
        if "failed" in result:
            raise failed(job.package, result, said, describe)
        if problems := other_numbers(job.package, result["log"], describe):
            raise CompileError(*problems)
        finished = True
        warnings = [each["text"] for each in result["log"] if each["severity"] == "WARNING"]
        return Engine(**result["built"], warnings=list(dict.fromkeys(warnings)))
    finally:
        if not finished:
            Path(job.engine).unlink(missing_ok=True)


def _run(job: Path, package: str, timeout: float | None) -> tuple[int, bytes, str]:
    """Exit status, standard output and the end of standard error of the build."""
    # -P: a file `json.py` in the folder the user happens to be in is none of ours.
    command = [sys.executable, "-P", "-m", "vggc.targets.build_engine", str(job)]
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        # A session of its own: Ctrl-C in the terminal is for this process, which then ends the other one.
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=errors, start_new_session=True)
        try:
            while True:
                try:
                    # Short turns, because on some platforms Ctrl-C does not interrupt a wait.
                    status = process.wait(min(_POLL, max(0.0, deadline - time.monotonic())))
                    break
                except subprocess.TimeoutExpired:
                    if timeout is not None and time.monotonic() >= deadline:
                        raise timed_out(package, timeout) from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdin:
                process.stdin.close()
        return status, _read(output), _read(errors)[-2000:].decode(errors="replace").strip()


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _result(output: bytes) -> dict[str, Any] | None:
    try:
        result = json.loads(output)
    except ValueError:
        return None
    return result if isinstance(result, dict) else None
