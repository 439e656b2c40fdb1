"""Run TensorRT in a process of its own, and end it when it takes too long, stands still, or nobody waits for it."""

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
"""Seconds without any work of the processor after which a process is taken for deadlocked.

TensorRT RTX can deadlock when memory is short. A build that works, also one that waits for a GPU to time its kernels,
is never idle for so long.
"""

_POLL = 0.25
_IDLE = 0.05
"""Seconds of processor time that reading and waking now and then may take in that while."""


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit status (negative for a signal), standard output, the end of standard error."""

    status: int
    output: bytes
    said: str


def run(module: str, job: Path, package: str, timeout: float | None, stall: float = STALL) -> Ended:
    """Run `python -m MODULE JOB` to its end. `timeout` and `stall` are in seconds.

    Raises CompileError when it takes longer than `timeout` or does nothing for `stall`. However this ends,
    KeyboardInterrupt among the ways, the process is gone afterwards.
    """
    # -P: a file `json.py` in the folder the user happens to be in is none of ours.
    command = [sys.executable, "-P", "-m", module, str(job)]
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        # A session of its own: Ctrl-C in the terminal is for this process, which then ends the other one.
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
    """Whether a process still gets anything done. Only Linux tells; elsewhere nothing ever seems to stand still."""

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
        """Seconds of processor time the process has taken so far, all its threads together."""
        if sys.platform != "linux":
            return None
        try:
            # The name in the second field may hold blanks and brackets; user and system time are fields 14 and 15.
            fields = self._stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
