"""`data` statements: the loader and its options; samples are read when a step first needs them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from vggc.binding.arguments import bind_arguments
from vggc.binding.files import must_be_file, must_be_folder
from vggc.binding.loader_values import named_loader
from vggc.binding.scope import Declaration, Scope, Undetermined, UnknownValue
from vggc.data import Dataset, Loader
from vggc.diagnostics import Code, CompileError, Diagnostics, at, fail, nearest, spelling_help
from vggc.diagnostics.source import Source, Span
from vggc.grammar import syntax
from vggc.grammar.shipped_recipes import is_shipped
from vggc.options import Given, Reference
from vggc.pipeline.model import BoundData
from vggc.values import File, Folder

_GIVEN = Loader("given", lambda base: {}, label_help='give the class numbers too: {"labels": numbers}')
"""Stands for the loader of data that a program gives, which is not loaded."""


def bind_data(statement: syntax.DataStatement, scope: Scope, given: Dataset | None = None) -> BoundData | None:
    """Declare a data set. The files that its options name must exist; their contents are read later.

    When a data set is `given`, it takes the place of the one that the statement describes, whose files may be missing.
    Returns None when the value of an option is not known. Raises CompileError with everything wrong in the statement;
    the name is declared even then, with an unknown value.
    """
    name = statement.name
    declaration = Declaration(name.name, "data", UnknownValue(), name.span, name.span.source.path)
    diagnostics = Diagnostics()
    with diagnostics.collect():
        scope.add(declaration, name.span)
    bound = None
    with diagnostics.collect():
        bound = _bound(statement, scope, given)
    diagnostics.raise_errors()
    if bound:
        declaration.meaning = Given(Reference("data", name.name, bound), name.span)
    return bound


def given_data(name: str, given: Dataset, span: Span) -> BoundData:
    """A data set that a program gives; messages about it point at `span`."""
    renamed = copy(given)
    # Fitted data has the name of the data that it was made of.
    vars(renamed).pop("_fitted", None)
    renamed.name = name
    return BoundData(name, _GIVEN, {}, span, lambda: renamed)


def declare_given(name: str, given: Dataset, scope: Scope) -> BoundData:
    """Declare a data set that a program gives and no statement of the recipe describes.

    Raises CompileError when the name already has a meaning.
    """
    source = Source("data given from Python", f"data {name}")
    bound = given_data(name, given, Span(source, 0, len(source.text)))
    meaning = Given(Reference("data", name, bound), bound.span)
    scope.add(Declaration(name, "data", meaning, bound.span, source.path), bound.span)
    return bound


def _bound(statement: syntax.DataStatement, scope: Scope, given: Dataset | None) -> BoundData | None:
    call = named_loader(statement.loader, scope)
    loader = _loader(call, scope)
    try:
        options = bind_arguments(call, loader.schema, scope)
    except Undetermined:
        return None
    if given is not None:
        return given_data(statement.name.name, given, statement.span)
    diagnostics = Diagnostics()
    parameter = "" if call is statement.loader else statement.loader.name
    annotations = {each.parameter: each.annotation for each in loader.schema.options}
    for name, option in options.items():
        with diagnostics.collect():
            _must_be_there(option, call, scope.folder, parameter, _words(annotations[name]))
    diagnostics.raise_errors()

    def load() -> Dataset:
        with at(statement.span):
            return loader.load(statement.name.name, scope.folder, **options)

    return BoundData(statement.name.name, loader, options, statement.span, load)


def _loader(call: syntax.Call, scope: Scope) -> Loader:
    declared = scope.find(call.name)
    if declared is not None and isinstance(declared.meaning, Loader):
        return declared.meaning
    loader = scope.registry.loaders.get(call.name)
    if loader is not None:
        return loader
    if scope.incomplete and not nearest(call.name, scope.registry.loaders):
        raise Undetermined
    names = [*scope.registry.loaders, *scope.named("loader")]
    help = spelling_help(call.name, names, "loaders")
    raise fail(f"unknown loader `{call.name}`", call.name_span, help=help, code=Code.UNKNOWN_LOADER)


def _words(annotation: Any) -> list[str]:
    """The words that an option takes beside paths."""
    return [word for each in get_args(annotation) if get_origin(each) is Literal for word in get_args(each)]


def _must_be_there(option: object, call: syntax.Call, folder: Path, parameter: str, words: Sequence[str]) -> None:
    """Raise CompileError when an option is the path of a file or folder that does not exist.

    `parameter` has the call as its value; it is empty for a call in the `data` statement itself. `words` are what the
    option takes beside a path.
    """
    if not isinstance(option, File | Folder):
        return
    written = next((each.value.span for each in call.arguments if _says(each.value, option)), call.span)
    try:
        with at(written):
            if isinstance(option, Folder):
                must_be_folder(folder / option)
            else:
                must_be_file(folder / option)
    except CompileError as error:
        help = _other_loader(folder / option, isinstance(option, Folder))
        if option in words:
            help = f"write the word without quotes: {option}"
        elif parameter and is_shipped(Path(call.span.source.path)):
            # A ready recipe cannot be edited, and its folder is the current one.
            help = f"name yours, a folder of images or a file of arrays: --set {parameter}=/path/to/images"
        if not help:
            raise
        raise CompileError(*(replace(each, help=help) for each in error.diagnostics)) from None


def _other_loader(path: Path, wanted_folder: bool) -> str:
    """The loader that reads what lies at a path, when it is another one; else ""."""
    try:
        file, folder = path.is_file(), path.is_dir()
    except OSError:
        # The path is too long, which the error says.
        return ""
    if wanted_folder and path.suffix in (".npz", ".npy") and file:
        return f'read a file of arrays with {path.suffix[1:]}("{path.name}")'
    if not wanted_folder and folder:
        return f'read a folder of images with images("{path.name}")'
    return ""


def _says(value: syntax.Value, text: str) -> bool:
    return isinstance(value, syntax.String) and value.value == text
