"""Build an engine in a child process: however that process ends, the caller gets a result or a message."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vggc.diagnostics import CompileError
from vggc.targets import supervised_process
from vggc.targets.engine_messages import Entry, crashed, failed, other_numbers
from vggc.targets.node_names import Describe

Profile = dict[str, tuple[list[int], list[int], list[int]]]
"""min, opt and max shape by input"""

_LAST = 4096
"""Bytes at the end of a log that are read after a crash."""


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
    """name of the network, kept in the engine"""
    compute: tuple[str, ...]
    """names of trt.ComputeCapability; empty when the flavour builds for this machine's GPU"""
    tf32: bool
    workspace: int | None
    """bytes, None for TensorRT's own choice"""
    profiles: tuple[Profile, ...]
    origins: dict[str, str]
    """by TensorRT's name of a node, the text about the recipe for the metadata of its layers"""
    weight_streaming: bool = False
    refit: bool = False
    strip: bool = False
    version_compatible: bool = False
    hardware: str | None = None
    optimization: int | None = None
    timing_cache: str | None = None
    """path to read the timings of an earlier build from"""
    timings: str | None = None
    """path to write this build's timings to"""
    log: str | None = None
    """path to write the log to: a line for each message, from INFO upwards"""


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
    """name, type and shape (-1 where it varies) in the network"""
    layers: int
    seconds: dict[str, float]
    warnings: list[str]


def build(
    job: Job, describe: Describe, *, timeout: float | None = None, stall: float = supervised_process.STALL
) -> Engine:
    """Build an engine; `describe` names nodes for the user, `timeout` and `stall` are in seconds.

    Raises CompileError, without a span, when the build logs an ERROR or a warning that it changed the model's numbers,
    and OSError when the engine cannot be written. Unless the build succeeds, the process is ended and its files are
    removed, also after KeyboardInterrupt.
    """
    finished = False
    try:
        done, log = ask("vggc.targets.build_engine", asdict(job), describe, timeout=timeout, stall=stall)
        if problems := other_numbers(job.package, log, describe):
            raise CompileError(*problems)
        finished = True
        warnings = [each["text"] for each in log if each["severity"] == "WARNING"]
        return Engine(**done, warnings=list(dict.fromkeys(warnings)))
    finally:
        if not finished:
            for file in (job.engine, job.timings, job.log):
                if file:
                    Path(file).unlink(missing_ok=True)


def ask(
    module: str,
    job: dict[str, Any],
    describe: Describe,
    *,
    timeout: float | None = None,
    stall: float = supervised_process.STALL,
) -> tuple[dict[str, Any], list[Entry]]:
    """Run a module with a job in a child process. Returns its answer and its log. Raises CompileError and OSError."""
    package = job["package"]
    with tempfile.TemporaryDirectory(prefix="vggc-") as folder:
        file = Path(folder) / "job.json"
        file.write_text(json.dumps(job), encoding="utf-8")
        ended = supervised_process.run(module, file, package, timeout, stall)
    result = _result(ended.output)
    if result is None:
        raise crashed(package, ended.status, ended.stderr or _last_line(job.get("log")))
    if "failed" in result:
        raise failed(package, result, ended.stderr, describe)
    return result["done"], result["log"]


def _last_line(log: str | None) -> str:
    """The end of TensorRT's log, for a process that ended without a message."""
    if not log or not Path(log).is_file():
        return ""
    with Path(log).open("rb") as file:
        file.seek(max(0, Path(log).stat().st_size - _LAST))
        return file.read().decode(errors="replace").strip()


def _result(output: bytes) -> dict[str, Any] | None:
    try:
        result = json.loads(output)
    except ValueError:
        return None
    return result if isinstance(result, dict) else None
