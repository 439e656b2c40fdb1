"""The syntax trees of recipe files, kept between runs in the user's cache folder.

Reading a tree takes some milliseconds, parsing the rule library half a second, and making the tables of the grammar
another quarter. A tree depends on the text of the recipe and on the code of this package, and both are in its key.
"""

from __future__ import annotations

import dataclasses
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from vggc.cache import Store, Unusable, open_store
from vggc.diagnostics.source import Source, Span
from vggc.grammar import pattern_syntax, syntax
from vggc.grammar.recipe_file import read_recipe

_KIND = "recipes"

_CLASSES = {
    name: each
    for module in (syntax, pattern_syntax)
    for name, each in vars(module).items()
    if isinstance(each, type) and issubclass(each, syntax.Syntax)
}
_FIELDS = {each: [field.name for field in dataclasses.fields(each)] for each in _CLASSES.values()}


def read_tree(path: Path) -> syntax.Recipe:
    """The syntax tree of a recipe file. Raises CompileError like read_recipe and parse.

    The cache only saves time: an entry that cannot be used is made again, and a folder that cannot be written is left.
    """
    source = read_recipe(path)
    store = _store()
    key = hashlib.sha256(f"{_code()} {source.text}".encode()).hexdigest()
    if store is not None and (kept := _kept(store, key, source)) is not None:
        return syntax.Recipe(source, kept)
    # lark takes a while to load, and is not needed for a tree that is kept.
    from vggc.grammar.parser import parse

    tree = parse(source)
    if store is not None:
        _keep(store, key, tree)
    return tree


def _store() -> Store | None:
    try:
        return open_store()
    except RuntimeError:
        # A user without a home folder.
        return None


def _kept(store: Store, key: str, source: Source) -> tuple[syntax.Statement, ...] | None:
    try:
        content = store.read_json(_KIND, key)
        tree = None if content is None else _Unpacking(source).part(content)
    except (Unusable, IndexError, KeyError, TypeError, ValueError):
        return None
    return tree if isinstance(tree, tuple) and all(isinstance(each, syntax.Statement) for each in tree) else None


def _keep(store: Store, key: str, tree: syntax.Recipe) -> None:
    try:
        store.write_json(_KIND, key, _packed(tree.statements))
    except (OSError, RecursionError, ValueError):
        # ValueError: a number that JSON does not have. RecursionError: a term nested more deeply than JSON may be.
        return


def _packed(part: Any) -> Any:
    """A part of a tree as JSON: a node as the name of its class and its fields, a tuple as a list behind ""."""
    if isinstance(part, syntax.Syntax):
        fields = [_packed(getattr(part, each)) for each in _FIELDS[type(part)]]
        return [type(part).__name__, *fields]
    if isinstance(part, tuple):
        return ["", *map(_packed, part)]
    return ["-", part.start, part.end] if isinstance(part, Span) else part


class _Unpacking:
    """Makes a tree of what `_packed` returned, with places in `source`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def part(self, content: Any) -> Any:
        if type(content) is not list:
            return content
        name = content[0]
        if name == "-":
            _, start, end = content
            return Span(self._source, start, end)
        if name == "":
            return tuple([self.part(each) for each in content[1:]])
        return _CLASSES[name](*[self.part(each) for each in content[1:]])


@cache
def _code() -> str:
    """A hash of the grammar and of the code that makes trees: while it is worked on, its version stays the same."""
    files = sorted(each for each in Path(__file__).parent.iterdir() if each.suffix in (".py", ".lark"))
    code = b"".join(hashlib.sha256(each.read_bytes()).digest() for each in files)
    return hashlib.sha256(code).hexdigest()
