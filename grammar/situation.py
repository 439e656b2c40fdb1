"""The surroundings of a syntax error, in a form that the table of messages can match."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from vggc.diagnostics import Code, Diagnostic
from vggc.diagnostics.source import Source, Span
from vggc.grammar.brackets import CLOSER, OPENER
from vggc.grammar.keywords import KEYWORDS

# Where a message points: at the offending token, the one before it, both, the word around it, the first of the text.
Place = Literal["found", "last", "both", "word", "head"]

# Pieces of the columns of the table.
NAME = r"[a-z_]\w*"
WORD = r"[A-Za-z_]\w*"
COMPARE = r"==|!=|<=|>=|<|>"
KEYWORD = "|".join(sorted(KEYWORDS))
VALUE = r"[\w\"\[{(].*"  # its first character tells a value; the token it starts may be anything
END = ""

# How much of the statement before the error the table looks at, and how long a quoted token may get in a message.
_BEFORE = 400
_QUOTED = 40

_COMMENT_OR_STRING = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"|#[^\n]*')
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"|[A-Za-z0-9_]+%?|==|!=|<=|>=|=>|\?\?|\.\.\.?|\S')


@dataclass(frozen=True)
class Situation:
    """The parser stopped at `offset` of a statement that starts at `start` and ends at `end`.

    `found` is the token it could not use ("" at the statement's end), `expected` the terminals it could have used.
    """

    source: Source
    start: int
    end: int
    offset: int
    found: str
    expected: frozenset[str]

    @classmethod
    def of(cls, error: UnexpectedInput, statement: Span) -> Situation:
        source, start, end = statement.source, statement.start, statement.end
        if isinstance(error, UnexpectedCharacters):
            offset = start + (error.pos_in_stream or 0)
            return cls(source, start, end, offset, source.text[offset], frozenset(error.allowed or ()))
        if isinstance(error, UnexpectedToken) and error.token.type != "$END":
            offset = start + (error.token.start_pos or 0)
            return cls(source, start, end, offset, str(error.token), frozenset(error.accepts))
        return cls(source, start, end, end, "", frozenset(getattr(error, "accepts", ()) or ()))

    @cached_property
    def before(self) -> str:
        """The statement up to the error, without comments and with single spaces; of a long one, the last part."""
        first = max(self.start, self.offset - _BEFORE)
        text = _without_comments(self.source.text[first : self.offset])
        return ("… " if first > self.start else "") + " ".join(text.split())

    @cached_property
    def after(self) -> str:
        """The rest of the line, from the error on, cut at the statement's end."""
        line_end = self.source.text.find("\n", self.offset, self.end)
        return self.source.text[self.offset : self.end if line_end < 0 else line_end][:_BEFORE]

    @cached_property
    def head(self) -> str:
        """The first word of the statement."""
        word = re.compile(r"\w*").match(self.source.text, self.start, self.end)
        return word[0] if word else ""

    @cached_property
    def inside(self) -> str:
        """The innermost bracket open at the error, or ""."""
        open_: list[str] = []
        for match in re.finditer(r"[()\[\]{}]", _without_strings(self.source.text[self.start : self.offset])):
            if match[0] in CLOSER:
                open_.append(match[0])
            elif open_ and open_[-1] == OPENER[match[0]]:
                open_.pop()
        return open_[-1] if open_ else ""

    @cached_property
    def part(self) -> str:
        """The part of a rule's body that the error is in: "pattern", "term" (behind `where` or `let`) or "result"."""
        words = _without_strings(self.source.text[self.start : self.offset])
        if "=>" in words:
            return "result"
        return "term" if re.search(r"\b(?:where|let)\b", words) else "pattern"

    @cached_property
    def last(self) -> Span:
        """The token before the error."""
        first = max(self.start, self.offset - _BEFORE)
        text = _COMMENT_OR_STRING.sub(_blank_comment, self.source.text[first : self.offset])
        place = Span(self.source, self.start, self.start)
        for match in _TOKEN.finditer(text):
            place = Span(self.source, first + match.start(), first + match.end())
        return place

    @property
    def span(self) -> Span:
        """The offending token; at the statement's end, the empty place behind it."""
        return Span(self.source, self.offset, self.offset + len(self.found))

    @property
    def word(self) -> Span:
        """The letters, digits, `_` and `-` around the error."""
        text = self.source.text
        before = re.search(r"[\w-]*\Z", text[max(self.start, self.offset - _BEFORE) : self.offset])
        behind = re.match(r"[\w-]*", self.after)
        back, on = (len(each[0]) if each else 0 for each in (before, behind))
        return Span(self.source, self.offset - back, self.offset + on)

    def place(self, at: Place) -> Span:
        """The part of the statement that a message points at."""
        match at:
            case "found":
                return self.span
            case "last":
                return self.last
            case "both":
                return self.last.to(self.span)
            case "word":
                return self.word
            case "head":
                return Span(self.source, self.start, self.start + len(self.head))

    @property
    def quoted(self) -> str:
        """The offending token as a message may show it."""
        return self.found if len(self.found) <= _QUOTED else self.found[: _QUOTED - 1] + "…"


@dataclass(frozen=True)
class Row:
    """One malformed situation and what to say about it.

    The first four columns are regular expressions: `head` must match the whole first word of the statement ("" for
    any), `before` the end of the text before the error, `found` the whole offending token, and `ahead` the beginning of
    the text from there. `inside` lists brackets, one of which must be the innermost open one ("." for no open bracket,
    "" for any); `part` is the part of a rule ("" for any). `message` and `help` are templates over the named groups and
    `found`. A help may be a function; when it returns None the row does not apply. `code` is that of the table.
    """

    before: str
    found: str
    message: str
    help: str | Callable[[Situation, dict[str, str]], str | None]
    head: str = ""
    inside: str = ""
    ahead: str = ""
    part: str = ""
    at: Place = "found"
    code: Code = Code.STATEMENT

    def diagnose(self, situation: Situation) -> Diagnostic | None:
        """The message when the row applies, else None."""
        if self.head and not re.fullmatch(self.head, situation.head):
            return None
        if self.part and self.part != situation.part:
            return None
        token = re.fullmatch(self.found, situation.found, re.DOTALL)
        if not token or (self.ahead and not re.match(self.ahead, situation.after)):
            return None
        before = re.search(rf"(?:{self.before})\Z", situation.before)
        if not before or (self.inside and (situation.inside or ".") not in self.inside):
            return None
        words = {"found": situation.quoted, "head": situation.head} | {
            name: text or "" for name, text in before.groupdict().items()
        }
        help = self.help(situation, words) if callable(self.help) else self.help.format(**words)
        if help is None:
            return None
        return Diagnostic(self.message.format(**words), situation.place(self.at), help=help, code=self.code)


def _without_comments(text: str) -> str:
    return _COMMENT_OR_STRING.sub(lambda match: match[0] if match[0][0] == '"' else " ", text)


def _without_strings(text: str) -> str:
    return _COMMENT_OR_STRING.sub(" ", text)


def _blank_comment(match: re.Match[str]) -> str:
    return match[0] if match[0][0] == '"' else " " * len(match[0])
