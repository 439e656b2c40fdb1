"""Messages for the person who wrote the recipe: collected, then rendered in one layout."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from vggc.diagnostics.codes import Code
from vggc.diagnostics.source import Span

Severity = Literal["error", "warning"]

_STYLE = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "help": "\x1b[1;36m", "rule": "\x1b[1;34m"}
_RESET = "\x1b[0m"

# Columns of source shown under a message; a recipe in one line of a megabyte must not fill the screen.
_WIDEST_LINE = 160

_MOST_NAMES = 24
"""Names that a help line lists: a model can have 20,000 nodes."""


@dataclass(frozen=True)
class Diagnostic:
    """One message.

    `doing` stands behind the carets ("while running step 2 of 4"); `facts` are (label, text) pairs such as
    ("node", "Conv `features.7`") or ("note", "..."); `help` says what to write instead. `code` stays the same when the
    words change.
    """

    message: str
    span: Span | None = None
    doing: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    help: str = ""
    severity: Severity = "error"
    code: Code = Code.OWN


class CompileError(Exception):
    """The recipe, the model or the data is wrong (exit status 1). Carries every message at once."""

    status = 1

    def __init__(self, *diagnostics: Diagnostic) -> None:
        if not diagnostics:
            raise ValueError("a CompileError needs at least one diagnostic")
        super().__init__("; ".join(each.message for each in diagnostics))
        self.diagnostics = diagnostics


class RequirementNotMet(CompileError):
    """A `require` did not hold (exit status 3)."""

    status = 3


class Diagnostics:
    """Collects messages so that all errors of a recipe are reported in one run."""

    def __init__(self) -> None:
        self.messages: list[Diagnostic] = []

    def error(self, message: str, span: Span | None = None, **more: object) -> None:
        self.messages.append(Diagnostic(message, span, **more))  # type: ignore[arg-type]

    def warning(self, message: str, span: Span | None = None, **more: object) -> None:
        self.messages.append(Diagnostic(message, span, severity="warning", **more))  # type: ignore[arg-type]

    def extend(self, messages: Iterable[Diagnostic]) -> None:
        self.messages.extend(messages)

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(each for each in self.messages if each.severity == "error")

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keep the messages of a CompileError raised inside, and go on after the block."""
        try:
            yield
        except CompileError as error:
            self.extend(error.diagnostics)

    def raise_errors(self) -> None:
        """Raise one CompileError with everything collected, if any of it is an error."""
        if self.errors:
            raise CompileError(*self.messages)


def fail(
    message: str,
    span: Span | None = None,
    *,
    facts: tuple[tuple[str, str], ...] = (),
    help: str = "",
    code: Code = Code.OWN,
) -> CompileError:
    """A CompileError of one message, to be raised by the caller."""
    return CompileError(Diagnostic(message, span, facts=facts, help=help, code=code))


def first_line(error: Exception) -> str:
    """The first line of what an error of another library says, or its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def placed(error: CompileError, span: Span, doing: str = "") -> CompileError:
    """The same error, its unplaced messages now pointing at `span`."""
    messages = (
        each if each.span else replace(each, span=span, doing=each.doing or doing) for each in error.diagnostics
    )
    return type(error)(*messages)


@contextmanager
def at(span: Span, doing: str = "") -> Iterator[None]:
    """Errors raised inside that have no place of their own get this one."""
    try:
        yield
    except CompileError as error:
        raise placed(error, span, doing) from None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a misspelt one, or None when nothing is close."""
    candidates = sorted(set(known))
    by_folded = {each.casefold().replace("-", "_"): each for each in candidates}
    found = difflib.get_close_matches(name.casefold().replace("-", "_"), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def spelling_help(name: str, known: Iterable[str], what: str = "allowed") -> str:
    """A help line for an unknown name: the nearest right spelling, else what is allowed."""
    known = sorted(set(known))
    close = nearest(name, known)
    if close:
        return f"a similar name exists: `{close}`"
    shown = ", ".join(f"`{each}`" for each in known[:_MOST_NAMES])
    more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    return f"{what}: {shown}{more}" if known else ""


def _printable(text: str) -> str:
    """The text with U+FFFD for control characters, so that no recipe or model can move the cursor."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\t\n" else "\ufffd" for each in text)


def _excerpt(line: str, column: int) -> tuple[str, int]:
    """What a terminal can show of a source line, and where the column (from 0) stands in it.

    A long line is cut on both sides.
    """
    line = line.rstrip("\r")
    start, before, after = 0, "", ""
    if len(line) > _WIDEST_LINE:
        start = max(0, column - _WIDEST_LINE // 2)
        before, after = "…" if start else "", "…" if start + _WIDEST_LINE < len(line) else ""
    cut = line[start : start + _WIDEST_LINE]
    return before + _printable(cut) + after, column - start + len(before)


def short_text(diagnostic: Diagnostic) -> str:
    """A message in one line, for lists of warnings: `recipe.opt:4: message; help`."""
    span = diagnostic.span
    place = f"{span.source.path}:{span.line}: " if span else ""
    return f"{place}{diagnostic.message}" + (f"; {diagnostic.help}" if diagnostic.help else "")


def render(diagnostic: Diagnostic, *, color: bool = False, code: bool = False) -> str:
    """The terminal text of one message, without a final newline; with `code`, its code is behind the message."""

    def paint(style: str, text: str) -> str:
        return f"{_STYLE[style]}{text}{_RESET}" if color else text

    lines = [f"{paint(diagnostic.severity, diagnostic.severity)}: {_printable(diagnostic.message)}"]
    if code and diagnostic.code is not Code.OWN:
        lines[0] += f" [{diagnostic.code.id}]"
    margin = ""
    span = diagnostic.span
    if span is not None:
        number = str(span.line)
        margin = " " * len(number)
        text, first = _excerpt(span.source.lines[span.line - 1], span.column - 1)
        width = max(1, min(span.end - span.start, len(text) - first))
        # Tabs stay tabs under the source line, so that the carets line up whatever the tab width.
        indent = "".join("\t" if each == "\t" else " " for each in text[:first])
        doing = f" {diagnostic.doing}" if diagnostic.doing else ""
        bar = paint("rule", "|")
        lines += [
            f"{margin}{paint('rule', '-->')} {span.place}",
            f"{margin} {bar}",
            f"{paint('rule', number)} {bar} {text}".rstrip(),
            f"{margin} {bar} {indent}{paint(diagnostic.severity, '^' * width)}{doing}",
        ]
    for label, text in diagnostic.facts:
        lines.append(f"{margin} {paint('rule', '=')} {label}: {_printable(text)}")
    if diagnostic.help:
        lines.append(f"{paint('help', 'help')}: {_printable(diagnostic.help)}")
    return "\n".join(lines)
