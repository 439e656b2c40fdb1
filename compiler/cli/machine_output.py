"""What a command says to programs: one JSON document or one SARIF log on standard output, instead of tables.

A command with `--json` prints one document, whether it succeeds or fails; the exit status is the same as without. Its
messages are in the document, and nothing but progress goes to standard error. `vggc schema COMMAND` prints the JSON
schema of the document.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import click

from vggc import __version__
from vggc.cli.sarif import Located, sarif_log
from vggc.diagnostics import Diagnostic

FORMAT = 1
"""The number of the envelope's format; another number means that programs have to change."""


@dataclass
class Document:
    """What the running command has said so far. `kind` is None when it speaks to people."""

    command: str = ""
    kind: Literal["json", "sarif"] | None = None
    messages: list[Located] = field(default_factory=list)
    result: dict[str, Any] | None = None


_current = Document()


def for_programs() -> bool:
    """Whether the running command speaks to programs."""
    return _current.kind is not None


def add_messages(diagnostics: Iterable[Diagnostic], artifact: Path | None = None, node: str = "") -> None:
    """Add messages to the document: about a place in a recipe, or about a node of a model in the file `artifact`."""
    _current.messages += [Located(each, artifact, node) for each in diagnostics]


def wants(kind: Literal["json", "sarif"]) -> bool:
    """Whether the running command writes this kind of document."""
    return _current.kind == kind


def set_result(result: dict[str, Any]) -> None:
    """What the command has found out: the document's `result`."""
    _current.result = result


@contextmanager
def document() -> Iterator[Callable[[int], None]]:
    """Begin a command that says nothing yet. The function of the block prints the document, with the exit status."""
    global _current  # noqa: PLW0603 - one command runs at a time, as in `verbosity`
    _current = Document()
    try:
        yield _print
    finally:
        _current = Document()


def _print(status: int) -> None:
    if _current.kind == "sarif":
        _write(sarif_log(_current.messages, status))
    elif _current.kind == "json":
        _write(
            {
                "format": FORMAT,
                "vggc": __version__,
                "command": _current.command,
                "status": status,
                "diagnostics": [diagnostic_json(each.diagnostic) for each in _current.messages],
                "result": _current.result,
            }
        )


def _write(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def diagnostic_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """A message as plain JSON values; lines and columns count from 1, and `end_column` is behind the last character."""
    span = diagnostic.span
    place = None
    if span is not None:
        line, column = span.source.position(span.start)
        end_line, end_column = span.source.position(span.end)
        place = {
            "path": span.source.path,
            "line": line,
            "column": column,
            "end_line": end_line,
            "end_column": end_column,
        }
    return {
        "code": diagnostic.code.id,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "place": place,
        "doing": diagnostic.doing,
        "facts": [{"label": label, "text": text} for label, text in diagnostic.facts],
        "help": diagnostic.help,
    }


def json_option(function: Any) -> Any:
    """Give a command the option --json."""
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_set_kind,
        help="Print one JSON document: see `vggc schema`.",
    )(function)


def sarif_option(function: Any) -> Any:
    """Give a command the option --sarif."""
    return click.option(
        "--sarif",
        is_flag=True,
        expose_value=False,
        callback=_set_kind,
        help="Print a SARIF 2.1.0 log for scanners.",
    )(function)


def _set_kind(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    if _current.kind is not None:
        raise click.UsageError("--json and --sarif exclude each other")
    _current.kind = "json" if parameter.name == "json" else "sarif"
    _current.command = context.info_name or ""
