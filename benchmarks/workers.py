"""Work that may crash, hang or run out of memory, done one item at a time in processes that are replaced when it does.

with Workers(function, jobs=2, timeout=60) as workers:
    for item, result in workers.map(items): ...   # in the order of `items`; a result, or Died
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

_TAIL = 2000
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Died:
    """What became of a process that gave no result."""

    words: str


class Workers:
    """`jobs` processes that call `function` (of a module, so that it can be named in another process)."""

    def __init__(self, function: Callable[[Any], Any], *, jobs: int, timeout: float) -> None:
        self._free: SimpleQueue[_Worker] = SimpleQueue()
        self._threads = ThreadPoolExecutor(jobs)
        self._workers = [_Worker(function, timeout) for _ in range(jobs)]
        for each in self._workers:
            self._free.put(each)

    def map(self, items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Each item with its result. Items are drawn as they are needed, so that the caller may stop."""
        waiting: list[tuple[Any, Future[Any]]] = []
        for item in items:
            waiting.append((item, self._threads.submit(self._ask, item)))
            if len(waiting) > 2 * len(self._workers):
                first, result = waiting.pop(0)
                yield first, result.result()
        for item, result in waiting:
            yield item, result.result()

    def _ask(self, item: Any) -> Any:
        worker = self._free.get()
        try:
            return worker.ask(item)
        finally:
            self._free.put(worker)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._threads.shutdown(cancel_futures=True)
        for each in self._workers:
            each.stop()


class _Worker:
    def __init__(self, function: Callable[[Any], Any], timeout: float) -> None:
        self._function = function
        self._timeout = timeout
        self._process: Any = None
        self._pipe: Any = None
        self._said = Path()

    def ask(self, item: Any) -> Any:
        if self._process is None:
            self._start()
        try:
            self._pipe.send(item)
            if not self._pipe.poll(self._timeout):
                self.stop()
                return Died(f"took more than {self._timeout:.0f} s")
            return self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            said = self._said.read_text(errors="replace")[-_TAIL:].strip().splitlines()
            status = self._process.exitcode
            self.stop()
            return Died(f"the process ended with {status}" + (f": {said[-1]}" if said else ""))

    def _start(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix="worker-")
        os.close(descriptor)
        self._said = Path(name)
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, self._function, name), daemon=True)
        self._process.start()
        theirs.close()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._said.unlink(missing_ok=True)
            self._process = None


def _serve(pipe: Connection, function: Callable[[Any], Any], said: str) -> None:
    # What native code prints before it ends the process is the only thing that says why.
    file = os.open(said, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            pipe.send(function(pipe.recv()))
