"""Show what a command is doing: as one line of a terminal that changes, or elsewhere as lines that stay.

On a terminal, the line shows the step, its number, and after a second the time since it began; when the step counts
its parts, also their share and the time that the rest will take. Elsewhere, as in CI, there is a line when a piece of
work begins and one when it ends, and in between at most one line in 15 seconds.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click
from rich.text import Text

from vggc.cli.console import stderr
from vggc.cli.verbosity import verbosity, write_log
from vggc.diagnostics.progress import Progress

INTERVAL = 15.0
"""Seconds between lines within a piece of work."""

_SHORT = 1.0
"""The time of a piece of work is shown when it takes at least this many seconds."""

Clock = Callable[[], float]
Show = Callable[[str], None]

_MODES = ("lines", "off")


@dataclass
class _Work:
    """A piece of work: its name, when it began, and which part of it is done."""

    name: str
    began: float
    is_step: bool = False
    what: str = ""
    what_began: float = 0.0
    first: int = 0
    done: int = 0
    total: int = 0

    def inside(self, what: str, done: int, total: int, now: float) -> bool:
        """Note the part that is worked on. Returns whether another kind of work has begun."""
        changed = (what, total) != (self.what, self.total)
        if changed:
            self.what, self.total, self.what_began, self.first = what, total, now, done
        self.done = done
        return changed

    def part(self) -> str:
        """What is worked on, and which part of it: `solve weights: 14 of 93`."""
        if not self.what or not self.total:
            return self.what
        return f"{self.what}: {min(self.done + 1, self.total)} of {self.total}"

    def text(self, now: float, *, times: bool) -> str:
        """One line: the name, the part, and with `times` the share that is done, the elapsed and the remaining time."""
        text = self.name + (f": {self.part()}" if self.what else "")
        if not times:
            return text
        share = f", {self.done / self.total:.0%}" if self.total else ""
        rest = self._remaining(now)
        remaining = "" if rest is None else f", {duration(rest)} remaining"
        return f"{text}{share}, {duration(now - self.began)} elapsed{remaining}"

    def _remaining(self, now: float) -> float | None:
        """Seconds that the rest of the counted parts takes at the speed of those that are done."""
        counted = self.done - self.first
        if counted <= 0 or self.done > self.total:
            return None
        return (now - self.what_began) / counted * (self.total - self.done)


def duration(seconds: float) -> str:
    """`0:07`, `12:30` or `1:02:30`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ShownProgress(Progress):
    """Follows the work. With `lines`, it shows a line when a piece begins, at times in between, and when it ends.

    The end of a piece that is not a step is shown when it took a second or longer.

    The log gets every line; with `verbose` a line shows each kind of work inside a piece. `clock` gives seconds.
    """

    def __init__(self, show: Show, *, lines: bool, verbose: bool, clock: Clock = time.monotonic) -> None:
        self._show = show
        self._lines = lines
        self._verbose = verbose
        self._clock = clock
        self._work: _Work | None = None
        self._last = 0.0
        self._lock = threading.RLock()

    def begin(self, work: str, number: int = 0, total: int = 0) -> None:
        with self._lock:
            self.end()
            name = f"step {number} of {total}: {work}" if number else work
            self._work = _Work(name, self._clock(), is_step=bool(number))
            self._say(name, shown=self._lines)

    def inside(self, what: str, done: int = 0, total: int = 0) -> None:
        with self._lock:
            work = self._work
            if work is None:
                return
            changed = work.inside(what, done, total, self._clock())
            self._say(f"{work.name}: {work.part()}", shown=changed and self._verbose)
            self.tick()

    def tick(self) -> None:
        """Write a line when there was none for a while."""
        with self._lock:
            now = self._clock()
            if self._lines and self._work is not None and now - self._last >= INTERVAL:
                self._say(self._work.text(now, times=True), shown=True)

    def end(self) -> None:
        """The current piece of work, if there is one, has ended."""
        with self._lock:
            if self._work is not None:
                seconds = self._clock() - self._work.began
                shown = self._lines and (self._work.is_step or seconds >= _SHORT)
                self._say(f"{self._work.name}: {seconds:.1f} s", shown=shown)
            self._work = None

    def _say(self, text: str, *, shown: bool) -> None:
        write_log(text)
        if shown:
            self._last = self._clock()
            self._show(text)

    def __rich__(self) -> Text:
        """The line of a terminal, made anew each time it is drawn."""
        with self._lock:
            if self._work is None:
                return Text("starting")
            now = self._clock()
            # Names of nodes may hold what rich takes for markup, so this is a Text.
            return Text(self._work.text(now, times=now - self._work.began > _SHORT))


@contextmanager
def progress() -> Iterator[Progress]:
    """Show the work inside of the block. Raises UsageError for a wrong value of VGGC_PROGRESS."""
    mode = _mode()
    shown = ShownProgress(_print, lines=mode == "lines", verbose=verbosity().verbose)
    if mode == "bar":
        with stderr().status(shown):
            yield shown
    elif mode == "lines":
        with _ticking(shown):
            yield shown
    else:
        yield shown
    shown.end()


def _mode() -> str:
    wanted = os.environ.get("VGGC_PROGRESS", "")
    if wanted and wanted not in _MODES:
        raise click.UsageError(f"VGGC_PROGRESS is `{wanted}`, which is not one of {', '.join(_MODES)}")
    if verbosity().quiet:
        return "off"
    return wanted or ("bar" if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else "lines")


def _print(text: str) -> None:
    stderr().print(text, soft_wrap=True)


@contextmanager
def _ticking(shown: ShownProgress) -> Iterator[None]:
    """Let lines appear also while a step says nothing."""
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(1.0):
            shown.tick()

    thread = threading.Thread(target=tick, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
