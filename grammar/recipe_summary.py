"""What a recipe says of itself: the purpose, the gain and the cost in its opening comment, and its parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile

from vggc.grammar import syntax

_PART = re.compile(r"(Gain|Cost) +")


@dataclass(frozen=True)
class Parameter:
    """A `param` of a recipe: its value and its limits as they are written, and the comment above it in one line."""

    name: str
    value: str
    comment: str


@dataclass(frozen=True)
class RecipeSummary:
    """A recipe in a few lines. A part that the opening comment does not have is empty."""

    purpose: str
    gain: str
    cost: str
    parameters: tuple[Parameter, ...]


def summary_of(recipe: syntax.Recipe) -> RecipeSummary:
    """The summary of a recipe whose opening comment has lines `# Gain ...` and `# Cost ...`."""
    parts = {"": "", "Gain": "", "Cost": ""}
    part = ""
    for line in takewhile(lambda line: line.startswith("#"), recipe.source.lines):
        text = line.removeprefix("#").strip()
        if start := _PART.match(text):
            part, text = start[1], text[start.end() :]
        parts[part] = f"{parts[part]} {text}".strip()
    parameters = (_parameter(each) for each in recipe.statements if isinstance(each, syntax.ParamStatement))
    return RecipeSummary(parts[""], parts["Gain"], parts["Cost"], tuple(parameters))


def _parameter(statement: syntax.ParamStatement) -> Parameter:
    above = reversed(statement.span.source.lines[: statement.span.line - 1])
    comment = reversed(list(takewhile(lambda line: line.startswith("#"), above)))
    written = statement.value.span if statement.bounds is None else statement.value.span.to(statement.bounds.span)
    return Parameter(statement.name.name, written.text, " ".join(each.removeprefix("#").strip() for each in comment))
