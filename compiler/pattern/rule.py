"""A rule: its pattern, its condition, and how to build its replacement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vggc.diagnostics.source import Span
from vggc.grammar import pattern_syntax as syntax
from vggc.grammar.syntax import Word
from vggc.pattern.compiled import Pattern
from vggc.pattern.functions import Function


@dataclass(frozen=True)
class Body:
    """The right side of a rule of a recipe."""

    guard: syntax.Term | None
    lets: tuple[syntax.Let, ...]
    results: tuple[syntax.Result, ...]
    functions: Mapping[str, Function]


@dataclass(frozen=True, eq=False)
class Rule:
    """A rewrite rule, from a recipe (`body`) or from Python (`function`, called with a Match and the options)."""

    name: str
    pattern: Pattern
    span: Span | None = None
    """the whole rule, or the pattern's text"""
    name_span: Span | None = None
    tolerance: float | None = None
    """how far results may move, relative to the largest; None for an exact rule, infinite for one nobody checks"""
    opsets: tuple[int, int] = (1, 1 << 30)
    """the first and the last opset of a model the rule is for, as its guard says"""
    body: Body | None = None
    function: Callable[..., Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where the rule stands: `peephole.opt:4`."""
        if self.span is None:
            return self.name
        return f"{self.span.source.path}:{self.span.line}"

    def kept_labels(self) -> frozenset[str]:
        """Labels of matched nodes that the replacement reads: those nodes stay."""
        if self.body is None:
            return frozenset()
        lets = {each.name.name: each.value for each in self.body.lets}
        found: set[str] = set()
        for each in self.body.results:
            found |= _read(each, lets)
        return frozenset(name for name in found if self.pattern.kinds.get(name) == "node")


def _read(term: object, lets: Mapping[str, syntax.Term]) -> set[str]:
    """The names whose values, not whose numbers, a replacement uses."""
    match term:
        case syntax.Construct():
            return {name for each in term.inputs for name in _read(each, lets)}
        case Word():
            return _read(lets[term.name], lets) if term.name in lets else {term.name}
        case syntax.OutputOf():
            return {term.label.name}
        case syntax.DefaultTerm():
            return {name for each in term.choices for name in _read(each, lets)}
    return set()
