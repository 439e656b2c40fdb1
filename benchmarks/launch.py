"""Run a command, and write its seconds and its peak memory: `python -I -S launch.py RESULT.json TIMEOUT COMMAND...`

This program imports little, so that it is small: the kernel counts the memory of whoever starts a process as memory of
that process, and a benchmark that has loaded numpy and onnx is larger than the tools that it measures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def main(result: str, timeout: str, *command: str) -> None:
    started = time.perf_counter()
    process = subprocess.Popen(command)
    status = usage = None
    while status is None:
        pid, code, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            status = os.waitstatus_to_exitcode(code)
        elif time.perf_counter() - started > float(timeout):
            process.kill()
            _, _, usage = os.wait4(process.pid, 0)
            break
        else:
            time.sleep(0.005)
    seconds = time.perf_counter() - started
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    # pathlib takes longer to import than all else here.
    with open(result, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump({"status": status, "seconds": seconds, "cpu": cpu, "peak": peak}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
