"""A recipe with the values of a trial written in, as text."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from vggc.grammar import syntax
from vggc.grammar.shipped_recipes import is_shipped
from vggc.options import spell


def chosen_recipe(recipe: syntax.Recipe, values: Mapping[str, str], folder: Path) -> str:
    """The text of a recipe whose parameters have these values, for a file in `folder`.

    Paths of files that are there are written relative to `folder`, as far as texts in `data`, `use` and parameters name
    them.
    """
    base = Path() if is_shipped(Path(recipe.source.path)) else Path(recipe.source.path).parent
    text = recipe.source.text
    for start, end, new in sorted(_changes(recipe, values, base, folder), reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _changes(
    recipe: syntax.Recipe, values: Mapping[str, str], base: Path, folder: Path
) -> Iterator[tuple[int, int, str]]:
    """Start and end of each text that changes, and the new text."""
    for statement in recipe.statements:
        texts: list[syntax.String] = []
        if isinstance(statement, syntax.ParamStatement):
            new = values.get(statement.name.name)
            if new is not None:
                if isinstance(statement.value, syntax.String) and not new.startswith("["):
                    new = spell(_moved(new.strip('"'), base, folder))
                yield statement.value.span.start, statement.value.span.end, new
            elif isinstance(statement.value, syntax.String):
                texts = [statement.value]
        elif isinstance(statement, syntax.DataStatement):
            texts = [each.value for each in statement.loader.arguments if isinstance(each.value, syntax.String)]
        elif isinstance(statement, syntax.UseStatement):
            texts = [statement.path]
        for each in texts:
            moved = _moved(each.value, base, folder)
            if moved != each.value:
                yield each.span.start, each.span.end, spell(moved)


def _moved(text: str, base: Path, folder: Path) -> str:
    """A path relative to `base` as one relative to `folder`, when it names something that is there."""
    if not text or is_shipped(Path(text)) or Path(text).is_absolute() or not (base / text).exists():
        return text
    return Path(os.path.relpath(base / text, folder)).as_posix()
