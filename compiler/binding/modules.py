"""Import the Python files that a recipe brings in with `use`, and find the passes and the like that they define."""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from vggc.data import Loader
from vggc.diagnostics import Code, CompileError, fail
from vggc.grammar.keywords import KEYWORDS
from vggc.measures import Measure
from vggc.options import defined_at
from vggc.rewrite import Pass, Predicate
from vggc.targets.contract import Target

TEXT_HASH = "__vggc_sha256__"
"""The name under which an imported module has the hash of the text that was run."""


def import_file(path: Path) -> ModuleType:
    """Import a Python file as a module of its own, without leaving byte code beside it.

    Raises CompileError, which names the file and line, for whatever the file raises.
    """
    name = f"_vggc_used_{path.stem}_{abs(hash(path.resolve())):x}"
    module = ModuleType(name)
    module.__file__ = str(path.absolute())
    # Dataclasses and pickle look a class's module up by name while the file runs.
    sys.modules[name] = module
    try:
        text = path.read_bytes()
        module.__dict__[TEXT_HASH] = hashlib.sha256(text).hexdigest()
        # The path as the recipe gives it is the one that messages show.
        exec(compile(text, str(path), "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _raised(path, error) from error
    return module


def definitions(module: ModuleType) -> Iterator[tuple[str, str, Any]]:
    """The passes, loaders, measures, predicates and targets that a used file defines itself: (kind, name, object).

    Raises CompileError for one that no recipe can call, because of its name or of a type in its signature.
    """
    kinds: tuple[tuple[type, str], ...] = (
        (Pass, "pass"),
        (Loader, "loader"),
        (Measure, "measure"),
        (Predicate, "predicate"),
        (Target, "target"),
    )
    for value in vars(module).values():
        kind = next((word for type_, word in kinds if isinstance(value, type_)), None)
        if kind is None or value.function.__module__ != module.__name__:
            continue
        place = defined_at(value.function)
        if not (value.name.isidentifier() and value.name[0].islower() and value.name.isascii()):
            message = f"no recipe can name the {kind} `{value.name}`"
            raise fail(
                message,
                facts=place,
                help="a name is a lower-case letter, followed by letters, digits and _",
                code=Code.PYTHON_FUNCTION,
            )
        if value.name in KEYWORDS:
            raise fail(
                f"the {kind} `{value.name}` is named like a keyword of the language",
                facts=place,
                code=Code.PYTHON_FUNCTION,
            )
        if kind != "predicate" and value.schema.returns is None and kind == "measure":
            help = "write what it gives: `-> Ratio`, `-> Bytes`, `-> Seconds`, `-> int` or `-> float`"
            raise fail(
                f"the measure `{value.name}` has no result type", facts=place, help=help, code=Code.PYTHON_FUNCTION
            )
        yield kind, value.name, value


def _raised(path: Path, error: BaseException) -> CompileError:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        help = "the message is Python's own"
        return fail(
            f"`{path}` is not valid Python: {error.msg}",
            facts=(("at", f"{path}:{error.lineno}"),),
            help=help,
            code=Code.PYTHON_FILE,
        )
    if isinstance(error, OSError) and error.filename == str(path):
        return fail(f"`{path}` cannot be read: {error.strerror}", code=Code.PYTHON_FILE)
    own = [each for each in traceback.extract_tb(error.__traceback__) if each.filename == str(path)]
    facts = (("at", f"{path}:{own[-1].lineno}: {own[-1].line}"),) if own else ()
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    help = ""
    if isinstance(error, ModuleNotFoundError):
        help = f"install `{error.name}` for this Python; a file beside the recipe is brought in by its own `use`"
    return fail(f"importing `{path}` failed with {what}", facts=facts, help=help, code=Code.PYTHON_FILE)
