"""Where a name of a recipe is declared: in the recipe, in a recipe that it uses, or in its Python files."""

from __future__ import annotations

import re
from pathlib import Path

from vggc.diagnostics import CompileError, Source, Span
from vggc.grammar import syntax
from vggc.grammar.recipe_file import read_recipe
from vggc.lsp.neighbours import used_file, used_files, used_recipes
from vggc.lsp.recipe_text import RecipeText


def definition(recipe: RecipeText, offset: int) -> Span | None:
    """Where the name at an offset is declared, or the beginning of the file that a `use` names; None when unknown."""
    for statement in recipe.statements:
        if isinstance(statement, syntax.UseStatement) and statement.span.start <= offset <= statement.span.end:
            path = used_file(recipe, statement.path.value)
            return None if path is None else Span(Source(str(path), "\n"), 0, 0)
    word = recipe.word(offset)
    if word is None:
        return None
    for each in (recipe, *used_recipes(recipe)):
        for span in each.declarations(word.text):
            return span
    return _in_python(recipe, word.text)


def _in_python(recipe: RecipeText, name: str) -> Span | None:
    for each in (recipe, *used_recipes(recipe)):
        for path in used_files(each):
            if path.suffix == ".py" and (found := _function(path, name)):
                return found
    return None


def _function(path: Path, name: str) -> Span | None:
    try:
        text = read_recipe(path).text
    except CompileError:
        return None
    match = re.search(rf"^def ({re.escape(name)})\(", text, re.MULTILINE)
    return None if match is None else Span(Source(str(path), text), match.start(1), match.end(1))
