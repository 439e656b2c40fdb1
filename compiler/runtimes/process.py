"""Call a function in a child process: however that process ends, the caller gets a result or a CompileError."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vggc.diagnostics import Code, CompileError, Diagnostic, fail

TIMEOUT = 1800.0
"""Seconds that a conversion may take."""

_LAST = 2000


class Raised(Exception):
    """The exception that the function raised in the child process: the name of its type, and its text."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text

    @property
    def lines(self) -> list[str]:
        """The lines of the text that are not blank."""
        return [line.strip() for line in self.text.splitlines() if line.strip()] or [self.kind]


def call(
    function: str,
    arguments: dict[str, Any],
    doing: str,
    *,
    timeout: float = TIMEOUT,
    path: Sequence[str] = (),
) -> Any:
    """Call `function` ("vggc.runtimes.openvino:convert") with JSON values, and return its JSON result.

    `doing` completes "the process that ...". `path` is put in front of the folders that Python imports from. Raises
    Raised for an exception of the function, CompileError for one that it raised as such, and when the process crashes
    or takes longer than `timeout` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="vggc-") as folder:
        job, answer = Path(folder, "job.json"), Path(folder, "answer.json")
        values = {"function": function, "arguments": arguments, "answer": str(answer)}
        job.write_text(json.dumps(values), encoding="utf-8")
        environment = dict(os.environ)
        if path:
            environment["PYTHONPATH"] = os.pathsep.join([*path, *filter(None, [environment.get("PYTHONPATH")])])
        try:
            ended = subprocess.run(
                [sys.executable, "-P", "-m", "vggc.runtimes.child", str(job)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise fail(
                f"the process that {doing} did not end within {timeout:g} s", code=Code.CONVERSION_ENDED
            ) from None
        if not answer.is_file():
            raise _crashed(doing, ended)
        result = json.loads(answer.read_text(encoding="utf-8"))
    if "failed" in result:
        raise CompileError(*(_diagnostic(each) for each in result["failed"]))
    if "raised" in result:
        raise Raised(result["raised"], result["text"])
    return result["done"]


def _diagnostic(values: dict[str, Any]) -> Diagnostic:
    facts = tuple((str(name), str(text)) for name, text in values["facts"])
    return Diagnostic(values["message"], facts=facts, help=values["help"], code=Code[values["code"]])


def _crashed(doing: str, ended: subprocess.CompletedProcess[bytes]) -> CompileError:
    status = ended.returncode
    ending = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    lines = ended.stderr[-_LAST:].decode(errors="replace").strip().splitlines()
    return fail(
        f"the process that {doing} {ending}",
        facts=(("last output", lines[-1].strip()),) if lines else (),
        help="signal 9 usually means that the machine ran out of memory" if status == -9 else "",
        code=Code.CONVERSION_ENDED,
    )
