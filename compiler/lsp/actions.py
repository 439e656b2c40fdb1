"""Quick fixes: what the help line of a message says to write, when this makes the recipe better."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from vggc.diagnostics import Diagnostic, Span
from vggc.lsp.recipe_text import RecipeText

_SIMILAR = re.compile(r"a similar (?:name|file) exists: `(?P<name>[^`]+)`")
_WRITE = re.compile(r"(?:write|it is a \w+: write) `(?P<text>[^`]+)`(?:, the ASCII sign)?")
_SIGN = re.compile(r"[=<>!&|*/+-]+")
_QUOTED = re.compile(r"`([^`]+)`")


class Fix(NamedTuple):
    """A change that a help line proposes: the text to put in place of a span."""

    title: str
    diagnostic: Diagnostic
    span: Span
    text: str


def fixes(recipe: RecipeText, start: int, end: int) -> Iterator[Fix]:
    """The fixes for the messages that touch a range of the recipe. Each leaves fewer errors than there are."""
    for message in recipe.messages:
        span = message.span
        if span is None or span.source.path != recipe.source.path or span.start > end or span.end < start:
            continue
        for fix in _proposed(recipe, message, span):
            text = recipe.text[: fix.span.start] + fix.text + recipe.text[fix.span.end :]
            if replace(recipe, text=text).errors < recipe.errors:
                yield fix
                break


def _proposed(recipe: RecipeText, message: Diagnostic, span: Span) -> Iterator[Fix]:
    if similar := _SIMILAR.fullmatch(message.help):
        for name in _QUOTED.findall(message.message):
            at = recipe.text.find(name, span.start, span.end)
            if at >= 0:
                yield Fix(f"Write `{similar['name']}`", message, Span(span.source, at, at + len(name)), similar["name"])
    if written := _WRITE.fullmatch(message.help):
        yield Fix(f"Write `{written['text']}`", message, span, written["text"])
        behind = Span(span.source, span.end, span.end)
        sign = next((each for each in _SIGN.finditer(recipe.text) if each.start() <= span.start < each.end()), None)
        if sign is not None:
            yield Fix(f"Write `{written['text']}`", message, Span(span.source, *sign.span()), written["text"])
        yield Fix(f"Add `{written['text']}`", message, behind, written["text"])
