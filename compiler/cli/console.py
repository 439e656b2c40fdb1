"""Consoles of the command line: results go to standard output, messages and progress to standard error."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from vggc.cli.machine_output import add_messages, for_programs
from vggc.cli.verbosity import verbosity, write_log
from vggc.diagnostics import Code, Diagnostic, fail, render

WIDE = 140
"""Columns of output to a file or a pipe, where the width of the reader's window is not known."""


def stdout() -> Console:
    """The console for results."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, markup=False)


def stderr() -> Console:
    """The console for messages and progress."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDE, highlight=False, markup=False)


def print_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Print messages to standard error with blank lines between them. With --quiet, warnings are left out.

    With --json or --sarif they go into the document.
    """
    found = list(diagnostics)
    if not found:
        return
    write_log("\n\n".join(render(each, code=True) for each in found))
    if for_programs():
        add_messages(found)
        return
    shown = [each for each in found if each.severity == "error" or not verbosity().quiet]
    if shown:
        print("\n\n".join(render(each, color=_in_color(), code=True) for each in shown), file=sys.stderr)


def _in_color() -> bool:
    """Whether messages are in colour: on a terminal or with FORCE_COLOR, never with NO_COLOR, as rich has it."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stderr.isatty()


def say(text: str, style: str = "", *, always: bool = False) -> None:
    """Print a note or warning to standard error. With --quiet or --json, only those that are `always` printed."""
    write_log(text)
    if always or not (verbosity().quiet or for_programs()):
        stderr().print(text, style=style)


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
        raise fail(f"cannot write `{path}`: {error.strerror or error}", code=Code.CANNOT_WRITE) from None
