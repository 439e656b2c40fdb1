"""How much a command says: the options --verbose, --quiet and --log of every command that computes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import click

from vggc import __version__
from vggc.diagnostics import Code, fail


class LogFile:
    """A file to which every message is appended with the time."""

    def __init__(self, path: Path) -> None:
        try:
            self._file: TextIO = path.open("a", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            message = f"cannot write the log `{path}`: {error.strerror or error}"
            raise fail(message, help="name a file in a folder that exists", code=Code.CANNOT_WRITE) from None

    def write(self, text: str) -> None:
        """Append a text of one or more lines."""
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="milliseconds")
        for line in text.splitlines() or [""]:
            self._file.write(f"{now}  {line}\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


@dataclass
class Verbosity:
    """What the options of the running command ask for."""

    verbose: bool = False
    quiet: bool = False
    log: LogFile | None = None
    words: tuple[str, ...] = ()


_current = Verbosity()


def verbosity() -> Verbosity:
    """What the running command was asked for."""
    return _current


def write_log(text: str) -> None:
    """Write a text to the log file, if there is one."""
    if _current.log is not None:
        _current.log.write(text)


@contextmanager
def verbosity_of(words: Sequence[str]) -> Iterator[None]:
    """Let the options of the command with these words hold in the block, at whose end the log is closed."""
    _current.words = tuple(words)
    try:
        yield
    finally:
        if _current.log is not None:
            _current.log.close()
        _current.verbose, _current.quiet, _current.log = False, False, None


def _set_verbose(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    _current.verbose = wanted
    _refuse_both()


def _set_quiet(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    _current.quiet = wanted
    _refuse_both()


def _refuse_both() -> None:
    if _current.verbose and _current.quiet:
        raise click.UsageError("--verbose and --quiet exclude each other")


def _set_log(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is not None and _current.log is None:
        _current.log = LogFile(path)
        write_log(f"vggc {__version__}: vggc {shlex.join(_current.words)}")


def verbosity_options(function: Any) -> Any:
    """Give a command the options --verbose, --quiet and --log, which hold for all that it prints to standard error."""
    options = (
        click.option(
            "-v", "--verbose", is_flag=True, expose_value=False, callback=_set_verbose,
            help="Say what each step does: its parts, its changes, and how often each rule was applied.",
        ),
        click.option(
            "-q", "--quiet", is_flag=True, expose_value=False, callback=_set_quiet,
            help="Print errors only, and of a compile the last line of its result.",
        ),
        click.option(
            "--log", type=click.Path(path_type=Path), metavar="FILE", expose_value=False, callback=_set_log,
            help="Append everything that happens to FILE, with the time.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function
