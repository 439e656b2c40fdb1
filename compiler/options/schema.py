"""The options of a pass, loader, measure or target, read from the signature of its function."""

from __future__ import annotations

import inspect
import re
import traceback
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from vggc.diagnostics import Code, CompileError, fail
from vggc.values import Bytes, Decibels, Declared, File, Folder, Interval, Names, Ratio, Seconds

_SCALARS = (bool, int, float, str, File, Folder, Path, Ratio, Bytes, Seconds, Decibels, Names, Interval)

_NOTHING: Mapping[str, type] = types.MappingProxyType({})


@dataclass(frozen=True)
class Option:
    """One option. Recipes call it `name`, Python calls it `parameter` (`except` and `except_`)."""

    name: str
    parameter: str
    annotation: Any
    default: Any
    required: bool
    positional: bool
    doc: str


@dataclass(frozen=True)
class Schema:
    """The options of a function, in the order in which they may be given without names."""

    options: tuple[Option, ...]
    returns: Any
    """the annotation of the result, or None"""

    @cached_property
    def by_name(self) -> dict[str, Option]:
        return {each.name: each for each in self.options}

    @property
    def positional(self) -> tuple[Option, ...]:
        return tuple(each for each in self.options if each.positional)


@dataclass(frozen=True)
class OptionFunction:
    """A function that recipes call by `name`; its signature says which options it has."""

    name: str
    function: Callable[..., Any]

    @property
    def shipped(self) -> bool:
        """Whether it is vggc's own: what goes wrong in it is a bug of vggc, not of the user's file."""
        return self.function.__module__.startswith("vggc.")

    def raised(self, kind: str, error: Exception) -> CompileError:
        """The error for an exception in a user's function, with its line. `kind` says what the function is."""
        frames = traceback.extract_tb(error.__traceback__)
        own = self.function.__code__.co_filename
        frame = next((each for each in reversed(frames) if each.filename == own), frames[-1])
        at = f"{frame.filename}:{frame.lineno}" + (f": {frame.line}" if frame.line else "")
        text = f": {error}" if str(error) else ""
        return fail(
            f"{kind} `{self.name}` raised {type(error).__name__}{text}",
            facts=(("raised at", at),),
            code=Code.PASS_RAISED,
        )

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.function) or ""

    @property
    def schema(self) -> Schema:
        """Its options. Raises CompileError when the signature cannot be a schema."""
        return schema(self.function)

    def with_defaults(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All options, by the parameters of the function: those given, and the defaults of the others."""
        _, *parameters = inspect.signature(self.function).parameters.values()
        return {each.name: each.default for each in parameters if each.default is not each.empty} | dict(options)


def schema(function: Callable[..., Any], *, filled: Mapping[str, type] = _NOTHING) -> Schema:
    """Read the options of a function from its signature, their meaning from its docstring's section "Options:".

    vggc fills the first parameter (the graph of a pass, the lowering of a target) and those whose type is among
    `filled`: they are not options, and no option may have one of those names. Raises CompileError when the signature
    cannot be a schema: an option has no type or a type that recipes cannot write, or there are `*args` or `**kwargs`.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        help = "a pass takes the graph first, a loader the folder, a measure the subject, a target the lowering"
        raise _unfit(function, "the first parameter, which vggc fills, is missing", help)
    hints = type_hints(function)
    docs = option_docs(inspect.getdoc(function) or "")
    options = []
    for parameter in parameters[1:]:
        if any(hints.get(parameter.name) is type_ for type_ in filled.values()):
            continue
        if parameter.name in filled:
            wanted = filled[parameter.name].__name__
            help = f"write `{parameter.name}: {wanted}`, and vggc fills it; or give the option another name"
            raise _unfit(function, f"its parameter `{parameter.name}` is not a {wanted}", help)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise _unfit(function, f"a recipe cannot name its parameter `{parameter}`", "give it a name and a type")
        if parameter.name not in hints:
            raise _unfit(
                function,
                f"its option `{parameter.name}` has no type",
                help=f"write, for example, `{parameter.name}: int`",
            )
        if not writable(hints[parameter.name]):
            raise _unfit(function, f"recipes cannot write the type of its option `{parameter.name}`", help=_TYPES)
        name = parameter.name.removesuffix("_")
        required = parameter.default is parameter.empty
        options.append(
            Option(
                name=name,
                parameter=parameter.name,
                annotation=hints[parameter.name],
                default=None if required else parameter.default,
                required=required,
                positional=parameter.kind is parameter.POSITIONAL_OR_KEYWORD,
                doc=docs.get(name, docs.get(parameter.name, "")),
            )
        )
    return Schema(tuple(options), hints.get("return"))


_TYPES = (
    "recipes write int, float, bool, str, Literal, list, tuple, dict[str, ...], Dataset and the types of vggc.values"
)


def type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The types of a function's parameters. Raises CompileError when an annotation cannot be read."""
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise _unfit(
            function,
            f"its signature names `{error.name}`, which its file does not define",
            help="import it at run time, not only for type checkers",
        ) from error
    except (TypeError, SyntaxError) as error:
        raise _unfit(function, f"the types in its signature cannot be read: {error}") from error


def _unfit(function: Callable[..., Any], problem: str, help: str = "") -> CompileError:
    message = f"`{function.__name__}` cannot be used in a recipe: {problem}"
    return fail(message, facts=defined_at(function), help=help, code=Code.PYTHON_FUNCTION)


def defined_at(function: Callable[..., Any]) -> tuple[tuple[str, str], ...]:
    """Where a function is defined, as facts of a diagnostic; empty when Python does not know."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return () if code is None else (("defined", f"{code.co_filename}:{code.co_firstlineno}"),)


def writable(annotation: Any) -> bool:
    """Whether a recipe can write values of this type."""
    if annotation in _SCALARS or annotation is type(None):
        return True
    if isinstance(annotation, type) and issubclass(annotation, Declared):
        return True
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return writable(arguments[0])
    if origin is Literal:
        return all(isinstance(each, str | int) for each in arguments)
    if origin in (Union, types.UnionType, list):
        return all(writable(each) for each in arguments)
    if origin is tuple:
        return all(each is ... or writable(each) for each in arguments)
    return origin is dict and arguments[0] is str and writable(arguments[1])


def option_docs(doc: str) -> dict[str, str]:
    """What the section "Options:" of a docstring says of each option, each joined to one line."""
    docs: dict[str, str] = {}
    heading: int | None = None
    entries: int | None = None
    name = ""
    for line in doc.splitlines():
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if heading is None:
            heading = indent if text == "Options:" else None
            continue
        if not text:
            continue
        if indent <= heading:
            break
        entries = indent if entries is None else entries
        entry = re.fullmatch(r"`{0,2}(\w+)`{0,2}:\s*(.*)", text) if indent == entries else None
        if entry:
            name = entry[1]
            docs[name] = entry[2]
        elif name:
            docs[name] = f"{docs[name]} {text}".strip()
    return docs
