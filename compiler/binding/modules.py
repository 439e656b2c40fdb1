"""Python files that a recipe brings in with `use`: imported under a private name, searched for what they define."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from vggc.data import Loader
from vggc.diagnostics import CompileError, fail
from vggc.grammar.tree import KEYWORDS
from vggc.measures import Measure
from vggc.options import schema
from vggc.rewrite import Pass

_PREFIX = "_vggc_used_"


def import_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own.

    Raises CompileError, which names the file and line, for whatever the file raises. No byte code is left beside it.
    """
    name = f"{_PREFIX}{path.stem}_{abs(hash(path.resolve())):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise fail(f"`{path}` is no Python file", help="a Python file is named `NAME.py`")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look a class's module up by name while the file runs.
    sys.modules[name] = module
    keep_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _raised(path, error) from error
    finally:
        sys.dont_write_bytecode = keep_bytecode
    return module


def definitions(module: ModuleType, path: Path) -> Iterator[tuple[str, str, Any]]:
    """The passes, loaders and measures that a used file defines itself, each as (kind, name, object).

    Raises CompileError for one that no recipe can call: its name or a type in its signature is not of the language.
    """
    kinds: tuple[tuple[type, str], ...] = ((Pass, "pass"), (Loader, "loader"), (Measure, "measure"))
    for value in vars(module).values():
        kind = next((word for type_, word in kinds if isinstance(value, type_)), None)
        if kind is None or value.function.__module__ != module.__name__:
            continue
        place = (("defined", f"{path}:{value.function.__code__.co_firstlineno}"),)
        if not (value.name.isidentifier() and value.name[0].islower() and value.name.isascii()):
            message = f"no recipe can name the {kind} `{value.name}`"
            raise fail(message, facts=place, help="names begin with a small letter, and go on in letters, digits and _")
        if value.name in KEYWORDS:
            raise fail(f"the {kind} `{value.name}` has the name of a word of the language", facts=place)
        if schema(value.function).returns is None and kind == "measure":
            help = "write what it gives: `-> Ratio`, `-> Bytes`, `-> Seconds`, `-> int` or `-> float`"
            raise fail(f"the measure `{value.name}` has no result type", facts=place, help=help)
        yield kind, value.name, value


def _raised(path: Path, error: BaseException) -> CompileError:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return fail(f"`{path}` is not valid Python: {error.msg}", facts=(("at", f"{path}:{error.lineno}"),))
    if isinstance(error, OSError) and error.filename == str(path):
        return fail(f"`{path}` cannot be read: {error.strerror}")
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if each.filename == str(path)]
    facts = (("at", f"{path}:{own[-1].lineno}: {own[-1].line}"),) if own else ()
    text = str(error)
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    help = ""
    if isinstance(error, ModuleNotFoundError):
        help = f"install `{error.name}` in this environment; files beside the recipe are brought in with `use`"
    return fail(f"importing `{path}` failed with {what}", facts=facts, help=help)
