"""Consoles of the command line: results go to standard output, messages and progress to standard error."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from vggc.diagnostics import Diagnostic, fail, render

WIDE = 140
"""Columns of output to a file or a pipe, where the width of the reader's window is not known."""


def stdout() -> Console:
    """The console for results."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, markup=False)


def stderr() -> Console:
    """The console for messages and progress."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDE, highlight=False, markup=False)


def print_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Print all messages with blank lines between them, in colour on a terminal unless NO_COLOR is set."""
    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    print("\n\n".join(render(each, color=color) for each in diagnostics), file=sys.stderr)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line that shows the current work, on a terminal only. Yields the function that changes its text."""
    console = stderr()
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("starting") as status:
        # Names of nodes may hold what rich takes for markup.
        yield lambda text: status.update(Text(text))


def replace_text(path: Path, text: str) -> None:
    """Replace a text file, or the file that a link points to, completely or not at all. Raises CompileError."""
    target = path.resolve()
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8", newline="")
        if target.exists():
            shutil.copymode(target, fresh)
        fresh.replace(target)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise fail(f"cannot write `{path}`: {error.strerror or error}") from None
