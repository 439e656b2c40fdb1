"""Find where each statement of a recipe starts and ends, and which braces open and close blocks of statements."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vggc.diagnostics import Code, Diagnostic
from vggc.diagnostics.source import Source, Span
from vggc.grammar.brackets import Brackets, match_brackets

# No real recipe has more statements than this; the rest is not read.
MAX_STATEMENTS = 10_000

# What a line looks like that starts a statement, for the lines below a bracket that nothing closes.
_LIKE_A_STATEMENT = re.compile(r"([ \t]*)(?:[A-Za-z_]\w*[ \t\r]*(?:\(|\{|#|$)|[}#]|\r?$)", re.MULTILINE)


@dataclass(frozen=True)
class Statement:
    """The text of one statement, or of a block's head, without the white space and comments around it.

    `brace` is the position of the `{` behind a block's head. `crowded` says that another statement starts the line.
    """

    span: Span
    brace: int | None
    crowded: bool


@dataclass(frozen=True)
class BlockEnd:
    """The `}` of a block."""

    span: Span


@dataclass(frozen=True)
class Outline:
    """A recipe as a flat list of statements and block ends, with the problems of its strings and brackets."""

    parts: tuple[Statement | BlockEnd, ...]
    problems: tuple[Diagnostic, ...]


def outline(source: Source) -> Outline:
    """Split a recipe into statements. The time is linear in its length; nothing is raised."""
    brackets = match_brackets(source)
    parts = _Cutter(source, brackets).run()
    problems = list(brackets.problems)
    if len(parts) > MAX_STATEMENTS:
        message = f"the recipe has more than {MAX_STATEMENTS:,} statements"
        problems.append(
            Diagnostic(message, parts[MAX_STATEMENTS].span, help="nothing was read from here on", code=Code.TOO_LARGE)
        )
    return Outline(tuple(parts[:MAX_STATEMENTS]), tuple(problems))


class _Cutter:
    def __init__(self, source: Source, brackets: Brackets) -> None:
        self.source = source
        self.brackets = brackets
        self.parts: list[Statement | BlockEnd] = []
        self.start = -1
        self.end = -1
        self.crowded = False
        self.unclosed = False  # a bracket of the current statement is never closed: guess where the statement ends
        self.fresh = True  # nothing read on this line yet
        self.line_start = 0
        self.indent = 0  # of the current statement

    def run(self) -> list[Statement | BlockEnd]:
        lexemes = self.brackets.lexemes
        block_ends = {self.brackets.partner[each] for each in self.brackets.blocks}
        index = 0
        while index < len(lexemes) and len(self.parts) <= MAX_STATEMENTS:
            lexeme = lexemes[index]
            if lexeme.kind == "\n":
                if not self.unclosed or self._next_line_starts_a_statement(lexeme.end):
                    self._finish()
                self.fresh = True
                self.line_start = lexeme.end
            elif index in self.brackets.blocks:
                if self.start < 0:
                    self._extend(lexeme.start, lexeme.start)
                self._finish(brace=lexeme.start)
                self.fresh = True
            elif index in block_ends:
                self._finish()
                self.parts.append(BlockEnd(Span(self.source, lexeme.start, lexeme.end)))
                self.fresh = False
            else:
                closing = self.brackets.partner.get(index, index)
                if closing is None:
                    self.unclosed = True
                else:
                    index = closing
                self._extend(lexeme.start, lexemes[index].end)
            index += 1
        self._finish()
        return self.parts

    def _extend(self, start: int, end: int) -> None:
        if self.start < 0:
            self.start = start
            self.indent = start - self.line_start
            self.crowded = not self.fresh
        self.end = end
        self.fresh = False

    def _finish(self, brace: int | None = None) -> None:
        if self.start >= 0:
            self.parts.append(Statement(Span(self.source, self.start, self.end), brace, self.crowded))
        self.start = -1
        self.unclosed = False

    def _next_line_starts_a_statement(self, line_start: int) -> bool:
        found = _LIKE_A_STATEMENT.match(self.source.text, line_start)
        return found is not None and len(found[1]) <= self.indent
