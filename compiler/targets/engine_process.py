"""Build an engine in a process of its own: however that ends, here it is a result or a message."""

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
"""Bytes of a log that are looked at after a crash."""


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
    weight_streaming: bool = False
    refit: bool = False
    strip: bool = False
    version_compatible: bool = False
    hardware: str | None = None
    optimization: int | None = None
    timing_cache: str | None = None
    """path of the timings of an earlier build to use"""
    timings: str | None = None
    """path to write this build's timings to"""
    log: str | None = None
    """path to keep the log at: a line for each message, from INFO upwards"""


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


def build(
    job: Job, describe: Describe, *, timeout: float | None = None, stall: float = supervised_process.STALL
) -> Engine:
    """Build an engine; `describe` names nodes for the user, `timeout` and `stall` are in seconds.

    Raises CompileError, without a span, unless the build went through without a single ERROR and without a warning
    that it changed the model's numbers; OSError when the engine cannot be written. In every other case than success,
    KeyboardInterrupt among them, the process is ended and no engine file left.
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
    """What a module that TensorRT runs in answers to a job, and the log of it. Raises CompileError and OSError."""
    package = job["package"]
    with tempfile.TemporaryDirectory(prefix="vggc-") as folder:
        file = Path(folder) / "job.json"
        file.write_text(json.dumps(job), encoding="utf-8")
        ended = supervised_process.run(module, file, package, timeout, stall)
    result = _result(ended.output)
    if result is None:
        raise crashed(package, ended.status, ended.said or _last_line(job.get("log")))
    if "failed" in result:
        raise failed(package, result, ended.said, describe)
    return result["done"], result["log"]


def _last_line(log: str | None) -> str:
    """What TensorRT logged last before its process ended without a word."""
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
