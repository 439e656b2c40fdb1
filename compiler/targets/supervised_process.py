"""Run TensorRT in a child process, and end it when it takes too long, makes no progress, or nobody waits for it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vggc.targets.engine_messages import stalled, timed_out

STALL = 120.0
"""Seconds without processor time after which a process counts as deadlocked.

TensorRT RTX can deadlock when memory is short. A build that makes progress is never idle for so long, not even while
it waits for a GPU to time its kernels.
"""

_POLL = 0.25
_IDLE = 0.05
"""Seconds of processor time that a deadlocked process may use during that time, for waking up now and then."""


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit status (negative for a signal), standard output, the end of standard error."""

    status: int
    output: bytes
    stderr: str


def run(module: str, job: Path, package: str, timeout: float | None, stall: float = STALL) -> Ended:
    """Run `python -m MODULE JOB` to its end. `timeout` and `stall` are in seconds.

    Raises CompileError when it takes longer than `timeout` or does nothing for `stall`. The process has ended when
    this returns or raises, also after KeyboardInterrupt.
    """
    # -P: do not import a file `json.py` from the user's current folder.
    command = [sys.executable, "-P", "-m", module, str(job)]
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        # With a new session, Ctrl-C in the terminal reaches only this process, which then ends the child.
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=errors, start_new_session=True)
        pulse = _Pulse(process.pid, stall)
        try:
            while True:
                try:
                    # Short turns, because on some platforms Ctrl-C does not interrupt a wait.
                    status = process.wait(min(_POLL, max(0.0, deadline - time.monotonic())))
                    break
                except subprocess.TimeoutExpired:
                    if timeout is not None and time.monotonic() >= deadline:
                        raise timed_out(package, timeout) from None
                    if pulse.stopped():
                        raise stalled(package, stall) from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdin:
                process.stdin.close()
        return Ended(status, _read(output), _read(errors)[-2000:].decode(errors="replace").strip())


class _Pulse:
    """Whether a process still makes progress. This is known on Linux only; elsewhere it never counts as stopped."""

    def __init__(self, pid: int, stall: float) -> None:
        self._stat = Path(f"/proc/{pid}/stat")
        self._stall = stall
        self._worked = self._work()
        self._since = time.monotonic()

    def stopped(self) -> bool:
        work = self._work()
        if work is None or self._worked is None:
            return False
        if work > self._worked + _IDLE:
            self._worked, self._since = work, time.monotonic()
        return time.monotonic() - self._since >= self._stall

    def _work(self) -> float | None:
        """Seconds of processor time that all threads of the process have used so far."""
        if sys.platform != "linux":
            return None
        try:
            # The name in the second field may contain blanks and brackets; user and system time are fields 14 and 15.
            fields = self._stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
