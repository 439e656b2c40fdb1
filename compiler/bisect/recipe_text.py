"""The text of a recipe that contains a single step of a bound recipe."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import vggc.recipes
from vggc.diagnostics.source import Source
from vggc.grammar import syntax
from vggc.grammar.shipped_recipes import is_shipped
from vggc.options import spell
from vggc.pipeline.execute import shipped
from vggc.pipeline.model import BoundData, BoundStep


def declarations(step: BoundStep, source: Source, folder: Path) -> list[str]:
    """The declarations that a recipe in `folder` needs to call the step's pass.

    A pass of a Python file needs a `use` of that file, a rule of another recipe a `use` of that recipe, and a rule of
    `source` its own text and a `use` of the Python files that `source` uses.
    """
    rules = [each for each in step.pass_.rules if each.body is not None and each.span is not None]
    if not rules:
        return [] if shipped(step.pass_) else [f'use "{_path(Path(inspect.getfile(step.pass_.function)), folder)}"']
    uses: dict[str, None] = {}
    for rule in rules:
        assert rule.span is not None
        if rule.span.source is source or rule.span.source.path == source.path:
            for path in _python_files(source):
                uses[f'use "{_path(path, folder)}"'] = None
        else:
            uses[f'use "{_recipe(Path(rule.span.source.path), folder)}"'] = None
    own = (each.span for each in rules if each.span is not None and each.span.source.path == source.path)
    return [*uses, *(span.text for span in own)]


def call(step: BoundStep) -> str:
    """The call of the step in a recipe, with its options. Several rules become a `repeat` block."""
    names = [each.name for each in step.pass_.rules if each.body is not None]
    if len(names) > 1:
        return "\n".join(["repeat {", *(f"    {each}" for each in names), "}"])
    name = names[0] if names else step.name
    words = {each.parameter for each in step.pass_.schema.options if _takes_words(each.annotation)}
    options = ", ".join(
        f"{key.rstrip('_')}={_value(value, is_word=key in words)}" for key, value in step.options.items()
    )
    return f"{name}({options})" if options else name


def _value(value: Any, *, is_word: bool) -> str:
    if isinstance(value, BoundData):
        return value.name
    return value if is_word and isinstance(value, str) else spell(value)


def _takes_words(annotation: Any) -> bool:
    """Whether an option takes one of several words, which are written without quotes in a recipe."""
    return get_origin(annotation) is Literal or any(_takes_words(each) for each in get_args(annotation))


def _python_files(source: Source) -> list[Path]:
    from vggc.grammar.parser import parse

    used = [each.path.value for each in parse(source).statements if isinstance(each, syntax.UseStatement)]
    return [Path(source.path).parent / each for each in used if each.endswith(".py")]


def _recipe(path: Path, folder: Path) -> str:
    if is_shipped(path):
        return path.as_posix()
    for library in vggc.recipes.__path__:
        if path.resolve().is_relative_to(Path(library).resolve()):
            return f"vggc:{path.resolve().relative_to(Path(library).resolve()).as_posix()}"
    return _path(path, folder)


def _path(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
