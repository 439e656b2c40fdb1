"""Call a function in a child process: however that process ends, the caller gets a result or a CompileError."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from vggc.diagnostics import Code, CompileError, fail
from vggc.diagnostics.packages import Optional
from vggc.runtimes.packages import need, python_of

TIMEOUT = 1800.0
"""Seconds that a conversion may take."""

PROGRAMS = Path(__file__).with_name("programs")

_LAST = 2000


class Raised(Exception):
    """The exception that the function raised in the child process: the name of its type, its text, and its help."""

    def __init__(self, kind: str, text: str, help: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.help = help

    @property
    def lines(self) -> list[str]:
        """The lines of the text that are not blank."""
        return [line.strip() for line in str(self).splitlines() if line.strip()] or [self.kind]


def call(
    packages: Optional,
    function: str,
    arguments: dict[str, Any],
    doing: str,
    *,
    timeout: float = TIMEOUT,
    folder: Path = PROGRAMS,
) -> Any:
    """Call a function of a program ("openvino_model:convert") with JSON values, and return its JSON result.

    The Python that has `packages` runs the program. `doing` completes "the process that ...". Raises Raised for an
    exception of the function, and CompileError when the process crashes or takes longer than `timeout` seconds.
    """
    need(doing, packages)
    python = python_of(packages)
    assert python is not None
    with tempfile.TemporaryDirectory(prefix="vggc-") as temporary:
        job, answer = Path(temporary, "job.json"), Path(temporary, "answer.json")
        values = {"function": function, "arguments": arguments, "answer": str(answer), "folder": str(folder)}
        job.write_text(json.dumps(values), encoding="utf-8")
        try:
            ended = subprocess.run(
                [python, "-P", str(PROGRAMS / "child.py"), str(job)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise fail(
                f"the process that {doing} did not end within {timeout:g} s", code=Code.CONVERSION_ENDED
            ) from None
        if not answer.is_file():
            raise crashed(doing, ended.returncode, ended.stderr)
        result = json.loads(answer.read_text(encoding="utf-8"))
    if "raised" in result:
        raise Raised(result["raised"], result["text"], result["help"])
    return result["done"]


def crashed(doing: str, status: int, stderr: bytes) -> CompileError:
    """The error for a process that ended without an answer. `status` is negative for a signal."""
    ending = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    lines = stderr[-_LAST:].decode(errors="replace").strip().splitlines()
    return fail(
        f"the process that {doing} {ending}",
        facts=(("last output", lines[-1].strip()),) if lines else (),
        help="signal 9 usually means that the machine ran out of memory" if status == -9 else "",
        code=Code.CONVERSION_ENDED,
    )
