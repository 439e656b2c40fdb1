"""A step of a bound recipe as the text of a recipe of its own."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import vggc.recipes
from vggc.diagnostics.source import Source
from vggc.grammar import syntax
from vggc.grammar.parser import parse
from vggc.options import schema
from vggc.pipeline.execute import shipped
from vggc.pipeline.model import BoundData, BoundStep
from vggc.values import Bytes, Interval, Ratio, Seconds


def declarations(step: BoundStep, source: Source, folder: Path) -> list[str]:
    """What a recipe in `folder` has to declare so that it can call the step's pass.

    A pass of a Python file needs its `use`, a rule of another recipe that one's, a rule of `source` its own text with
    the Python files that `source` uses.
    """
    rules = [each for each in step.pass_.rules if each.body is not None and each.span is not None]
    if not rules:
        return [] if shipped(step.pass_) else [f'use "{_path(Path(inspect.getfile(step.pass_.function)), folder)}"']
    found: dict[str, None] = {}
    for rule in rules:
        assert rule.span is not None
        if rule.span.source is source or rule.span.source.path == source.path:
            for path in _python_files(source):
                found[f'use "{_path(path, folder)}"'] = None
        else:
            found[f'use "{_recipe(Path(rule.span.source.path), folder)}"'] = None
    own = (each.span for each in rules if each.span is not None and each.span.source.path == source.path)
    return [*found, *(span.text for span in own)]


def call(step: BoundStep) -> str:
    """The step as a recipe calls it, every option with the value it had; rules that ran together repeat."""
    names = [each.name for each in step.pass_.rules if each.body is not None]
    if len(names) > 1:
        return "\n".join(["repeat {", *(f"    {each}" for each in names), "}"])
    name = names[0] if names else step.name
    words = {each.parameter for each in schema(step.pass_.function).options if _takes_words(each.annotation)}
    given = ", ".join(
        f"{key.rstrip('_')}={value if key in words and isinstance(value, str) else literal(value)}"
        for key, value in step.options.items()
    )
    return f"{name}({given})" if given else name


def literal(value: Any) -> str:
    """A value of an option as a recipe writes it."""
    if value is None:
        return "none"
    if isinstance(value, BoundData):
        return value.name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Ratio):
        # Seventeen digits would bring back the very number; twelve are more than anybody writes.
        return f"{100 * value:.12g}%"
    if isinstance(value, Bytes):
        power = next(each for each in (30, 20, 10, 0) if value % (1 << each) == 0)
        return f"{value >> power}{ {30: 'GiB', 20: 'MiB', 10: 'KiB', 0: 'B'}[power] }"
    if isinstance(value, Seconds):
        return f"{value:g}s"
    if isinstance(value, Interval):
        return str(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(key)}: {literal(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Iterable):
        return f"[{', '.join(literal(each) for each in value)}]"
    short = f"{value:.12g}"
    return short if float(short) == value else repr(value)


def _takes_words(annotation: Any) -> bool:
    """Whether an option is one of several words, which a recipe writes without quotes."""
    return get_origin(annotation) is Literal or any(_takes_words(each) for each in get_args(annotation))


def _python_files(source: Source) -> list[Path]:
    used = [each.path.value for each in parse(source).statements if isinstance(each, syntax.Use)]
    return [Path(source.path).parent / each for each in used if each.endswith(".py")]


def _recipe(path: Path, folder: Path) -> str:
    for library in vggc.recipes.__path__:
        if path.resolve().is_relative_to(Path(library).resolve()):
            return f"vggc:{path.resolve().relative_to(Path(library).resolve()).as_posix()}"
    return _path(path, folder)


def _path(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
