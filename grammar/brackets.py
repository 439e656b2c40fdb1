"""Pair brackets before anything is parsed, so that one wrong bracket affects one statement only."""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from vggc.diagnostics import Code, Diagnostic
from vggc.diagnostics.source import Source, Span

CLOSER = {"(": ")", "[": "]", "{": "}"}
OPENER = {closing: opening for opening, closing in CLOSER.items()}

# Heads whose `{` opens a block of statements.
BLOCK_HEADS = ("define", "repeat", "when", "else")

# How many brackets may be open at once; the limit keeps recursive functions over their contents safe.
MAX_NESTED = 64

# How many problems are kept of one text: a megabyte of `(` must not become a million messages.
MOST_PROBLEMS = 1000

# Strings and comments hide brackets; a string ends with its line whether it is closed or not.
_LEXEME = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"?|#[^\n]*|\n|[()\[\]{}]|[^"#\n()\[\]{}]+')
# White space of the language; any other is an unknown character.
_BLANK = " \t\r"

# No value holds two words in a row, so such a line opens a statement even where a bracket is still open.
_SURELY_A_STATEMENT = re.compile(
    r"[ \t]*(?:(?:param|data|use|rule|define|when|require|target)[ \t]+(?!(?:and|or|of|in)\b)[A-Za-z\"]"
    r"|(?:repeat|else)[ \t]*\{)"
)


class Lexeme(NamedTuple):
    """A bracket, a line end (kind `\\n`), a string (kind `"`) or a run of other text (kind `t`)."""

    kind: str
    start: int
    end: int


@dataclass
class Brackets:
    """The lexemes of a text without its comments, and how its brackets pair.

    `partner` leads from the index of an opening lexeme to that of its closing one, or to None where nothing closes it.
    `blocks` are the `{` that open a block of statements, `rules` those that open the body of a rule; every other `{`
    opens a mapping.
    """

    lexemes: list[Lexeme]
    partner: dict[int, int | None] = field(default_factory=dict)
    blocks: set[int] = field(default_factory=set)
    rules: set[int] = field(default_factory=set)
    problems: list[Diagnostic] = field(default_factory=list)


def match_brackets(source: Source) -> Brackets:
    """Pair the brackets of a recipe. Those that cannot be paired are among the problems, in order of position."""
    return _Matcher(source).run()


class _Matcher:
    """Reads the lexemes once, with a stack of open brackets: linear for any text."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.found = Brackets(_lexemes(source.text))
        self.open: list[int] = []
        # Open brackets since the innermost block or rule began: a `)` never reaches across that `{`.
        self.depth = {"(": 0, "[": 0}
        self.outer_depths: list[dict[str, int]] = []
        self.braces = 0
        self.line_of: dict[int, int] = {}
        self.unclosed: list[int] = []

    def run(self) -> Brackets:
        text = self.source.text
        line = 0
        head = ""  # first word of the statement being read
        before = ""  # last character read
        broken: set[int] = set()  # lines with an unclosed string, which may have swallowed a bracket
        for index, lexeme in enumerate(self.found.lexemes):
            match lexeme.kind:
                case "\n":
                    line += 1
                    if self._in_value() and _SURELY_A_STATEMENT.match(text, lexeme.end):
                        while self._in_value():
                            self._give_up()
                    if not self._in_value():
                        head = ""
                    continue
                case "(" | "[" | "{":
                    self.line_of[index] = line
                    self._opens(index, head, before)
                    if index in self.found.blocks:
                        head = ""
                case ")" | "]" | "}":
                    self._closes(index, line)
                    if not self._in_value() and lexeme.kind == "}":
                        head = ""
                case '"' if not _closed(text[lexeme.start : lexeme.end]):
                    broken.add(line)
                    self._problem(lexeme, "the string is never closed", 'write the closing `"` on the same line')
                case "t" if not head:
                    word = re.search(r"\w+", text[lexeme.start : lexeme.end])
                    head = word[0] if word else ""
            before = text[lexeme.end - 1]
        while self.open:
            self._give_up()
        for index in heapq.nsmallest(MOST_PROBLEMS, self.unclosed):
            if self.line_of[index] not in broken:
                self._unclosed(index)
        self.found.problems.sort(key=lambda each: each.span.start if each.span else 0)
        return self.found

    def _in_value(self) -> bool:
        return bool(self.open) and self.open[-1] not in self.found.blocks

    def _opens(self, index: int, head: str, before: str) -> None:
        kind = self.found.lexemes[index].kind
        if kind != "{":
            self.depth[kind] += 1
        else:
            self.braces += 1
            if not self._in_value():
                if head == "rule":
                    self.found.rules.add(index)
                elif head in BLOCK_HEADS or before not in tuple("=,:<>+-*/"):
                    self.found.blocks.add(index)
            if index in self.found.rules or index in self.found.blocks:
                self.outer_depths.append(self.depth)
                self.depth = {"(": 0, "[": 0}
        self.open.append(index)
        if len(self.open) == MAX_NESTED + 1:
            self._problem(
                self.found.lexemes[index],
                f"brackets are nested more than {MAX_NESTED} deep",
                "split this into smaller parts",
            )

    def _closes(self, index: int, line: int) -> None:
        lexemes = self.found.lexemes
        closing = lexemes[index]
        wanted = OPENER[closing.kind]
        if self.braces if wanted == "{" else self.depth[wanted]:
            while lexemes[self.open[-1]].kind != wanted:
                self._give_up()
            self.found.partner[self._pop()] = index
        elif self._in_value() and self.line_of[self.open[-1]] == line:
            opening = lexemes[self.open[-1]].kind
            self.found.partner[self._pop()] = index
            self._problem(closing, f"`{closing.kind}` does not close `{opening}`", f"write `{CLOSER[opening]}` here")
        else:
            self._problem(closing, f"`{closing.kind}` closes nothing", f"remove it, or write the `{wanted}` it closes")

    def _pop(self) -> int:
        index = self.open.pop()
        kind = self.found.lexemes[index].kind
        if kind != "{":
            self.depth[kind] -= 1
        else:
            self.braces -= 1
            if index in self.found.rules or index in self.found.blocks:
                self.depth = self.outer_depths.pop()
        return index

    def _give_up(self) -> None:
        index = self._pop()
        self.found.partner[index] = None
        self.unclosed.append(index)

    def _unclosed(self, index: int) -> None:
        lexeme = self.found.lexemes[index]
        closing = CLOSER[lexeme.kind]
        if index in self.found.blocks or index in self.found.rules:
            help = f"write `{closing}` on a line of its own where the block ends"
        else:
            help = f"write `{closing}` after its last value"
        self._problem(lexeme, f"`{lexeme.kind}` is never closed", help)

    def _problem(self, lexeme: Lexeme, message: str, help: str) -> None:
        if len(self.found.problems) < MOST_PROBLEMS:
            self.found.problems.append(
                Diagnostic(message, Span(self.source, lexeme.start, lexeme.end), help=help, code=Code.BRACKET)
            )


def _lexemes(text: str) -> list[Lexeme]:
    lexemes = []
    for match in _LEXEME.finditer(text):
        written = match[0]
        if written[0] in '"\n()[]{}':
            lexemes.append(Lexeme(written[0], match.start(), match.end()))
        elif written[0] != "#" and (trimmed := written.strip(_BLANK)):
            start = match.end() - len(written.lstrip(_BLANK))
            lexemes.append(Lexeme("t", start, start + len(trimmed)))
    return lexemes


def _closed(string: str) -> bool:
    """Whether the last quote of a string lexeme is neither its first character nor escaped."""
    return re.sub(r"\\.", "", string[1:]).endswith('"')
