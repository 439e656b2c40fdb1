"""What may follow at an offset of a recipe: statements, names of passes and targets, options, values, nodes."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from vggc.binding.registry import shipped
from vggc.data import Dataset
from vggc.grammar import syntax
from vggc.grammar.keywords import STATEMENT_KEYWORDS
from vggc.grammar.shipped_recipes import shipped_recipes
from vggc.lsp.hover import KEYWORD_TEXTS, function_named
from vggc.lsp.neighbours import model_of, node_names, used_recipes
from vggc.lsp.recipe_text import Cursor, RecipeText, walk
from vggc.options.schema import Option, OptionFunction
from vggc.options.type_text import catalogue_text
from vggc.values import File, Names

Kind = Literal["keyword", "pass", "target", "loader", "measure", "option", "value", "name", "node", "file"]

_MOST_NODES = 2000
"""Names of nodes that are offered: editors filter a list, but should not get 20,000 entries for each key."""


class Item(NamedTuple):
    """One proposal: the text to insert, its kind, and what is shown beside it."""

    text: str
    kind: Kind
    detail: str = ""


def complete(recipe: RecipeText, offset: int, model: Path | None = None) -> list[Item]:
    """The proposals at an offset. `model` is the model that the editor's settings name."""
    cursor = recipe.cursor(offset)
    return list(_items(recipe, cursor, model))


def _items(recipe: RecipeText, cursor: Cursor, model: Path | None) -> Iterator[Item]:
    called = function_named(cursor.call)
    if cursor.quoted is not None:
        yield from _quoted(recipe, cursor, called, model)
    elif cursor.call == "has":
        yield from _operators()
    elif called is not None and cursor.option:
        if cursor.option in called.schema.by_name:
            yield from _values(recipe, called.schema.by_name[cursor.option])
    elif called is not None:
        yield from _arguments(recipe, cursor, called)
    elif not cursor.head:
        yield from _statements(recipe)
    elif cursor.head == "target":
        yield from _functions(shipped().targets.values(), "target")
    elif cursor.head == "data" and "=" in cursor.line:
        yield from _functions(shipped().loaders.values(), "loader")
    elif cursor.head == "require" and re.search(r"\belse\s+\w*$", cursor.line):
        yield from (Item(each, "keyword") for each in ("fail", "rollback", "warn"))
    elif cursor.head in ("require", "when"):
        yield from _functions(shipped().measures.values(), "measure")
        yield Item("original", "keyword", KEYWORD_TEXTS["original"])
        yield from (Item(each, "keyword") for each in ("has", "dynamic"))
        yield from _declared(recipe, syntax.ParamStatement)


def _statements(recipe: RecipeText) -> Iterator[Item]:
    yield from _functions(shipped().passes.values(), "pass")
    for each in (recipe, *used_recipes(recipe)):
        yield from _declared(each, syntax.DefineStatement, syntax.RuleStatement)
    yield from (Item(each, "keyword", KEYWORD_TEXTS.get(each, "")) for each in STATEMENT_KEYWORDS)


def _functions(functions: Any, kind: Kind) -> Iterator[Item]:
    for each in functions:
        yield Item(each.name, kind, " ".join(each.doc.partition("\n\n")[0].split()))


def _declared(recipe: RecipeText, *kinds: type[syntax.Syntax]) -> Iterator[Item]:
    for each in walk(recipe.statements):
        if isinstance(each, kinds):
            assert isinstance(
                each, syntax.ParamStatement | syntax.DataStatement | syntax.DefineStatement | syntax.RuleStatement
            )
            yield Item(each.name.name, "name", each.span.text.splitlines()[0])


def _arguments(recipe: RecipeText, cursor: Cursor, called: OptionFunction) -> Iterator[Item]:
    """The options that are not given yet, and values for those that may be given without a name."""
    given = set(re.findall(r"(\w+)\s*=(?!=)", cursor.given))
    for option in called.schema.options:
        if option.name not in given:
            yield Item(f"{option.name}=", "option", f"{catalogue_text(option.annotation)}: {option.doc}")
    if not given:
        number = cursor.given.count(",")
        for option in called.schema.positional[number : number + 1]:
            yield from _values(recipe, option)


def _values(recipe: RecipeText, option: Option) -> Iterator[Item]:
    members = _members(option.annotation)
    for each in members:
        if get_origin(each) is Literal:
            yield from (Item(str(word), "value") for word in get_args(each))
        elif each is bool:
            yield from (Item("true", "value"), Item("false", "value"))
        elif isinstance(each, type) and issubclass(each, Dataset):
            yield from _declared(recipe, syntax.DataStatement)
    yield from _declared(recipe, syntax.ParamStatement)


def _members(annotation: Any) -> list[Any]:
    """The types of a union, without limits."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for each in get_args(annotation) for member in _members(each)]
    return [annotation]


def _quoted(recipe: RecipeText, cursor: Cursor, called: OptionFunction | None, model: Path | None) -> Iterator[Item]:
    if cursor.head == "use":
        yield from (Item(each, "file") for each in shipped_recipes())
        yield from (Item(each.name, "file") for each in _beside(recipe, ".opt", ".py") if each != recipe.path)
        return
    options = () if called is None else called.schema.options
    if cursor.option:
        options = tuple(each for each in options if each.name == cursor.option)
    kinds = {member for each in options for member in _members(each.annotation)}
    if Names in kinds:
        yield from (Item(each, "node") for each in node_names(model_of(recipe.path, model))[:_MOST_NODES])
    if File in kinds:
        yield from (Item(each.name, "file") for each in _beside(recipe, ".npz", ".npy", ".csv"))


def _beside(recipe: RecipeText, *suffixes: str) -> list[Path]:
    return sorted(each for each in recipe.path.parent.glob("*") if each.suffix in suffixes)


def _operators() -> Iterator[Item]:
    import onnx

    names = {each.name for each in onnx.defs.get_all_schemas()}
    yield from (Item(each, "value") for each in sorted(names))
