"""Match the arguments of a call to the options of the function that it calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vggc.binding.evaluate import evaluate
from vggc.binding.files import must_exist
from vggc.binding.scope import BindingErrors, Scope
from vggc.diagnostics import Code, Diagnostics, at, spelling_help
from vggc.diagnostics.number_text import counted
from vggc.diagnostics.source import Span
from vggc.grammar import syntax
from vggc.options import Schema, convert, wanted


def bind_arguments(
    call: syntax.Call, schema: Schema, scope: Scope, lacking: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The values of the options that a call gives, by the names of the function's parameters.

    An option of the type Path is a file or folder, which must exist: the recipe's folder is put before it.
    `lacking` explains why certain options do not exist, by their names.

    Raises CompileError with everything wrong in the call: unknown, repeated, missing and ill-typed options; and
    Undetermined when nothing is wrong but a value is not known.
    """
    diagnostics = BindingErrors()
    options: dict[str, Any] = {}
    names = list(schema.by_name)
    matched = match_arguments(call, [each.name for each in schema.positional], names, diagnostics, lacking or {})
    if not diagnostics.errors:
        for option in schema.options:
            if option.required and option.name not in matched:
                help = f"{option.name}: {option.doc or wanted(option.annotation)}"
                diagnostics.error(
                    f"`{call.name}` needs `{option.name}`", call.name_span, help=help, code=Code.MISSING_OPTION
                )
    for name, argument in matched.items():
        option = schema.by_name[name]
        with diagnostics.collect():
            given = evaluate(argument.value, scope)
            what = f"`{name}` of `{call.name}`"
            value = convert(given, option.annotation, what, scope.value_names())
            if isinstance(value, Path):
                value = scope.folder / value
                with at(argument.value.span):
                    must_exist(value)
            options[option.parameter] = value
    diagnostics.raise_errors()
    return options


def match_arguments(
    call: syntax.Call,
    positional: Sequence[str],
    names: Sequence[str],
    diagnostics: Diagnostics,
    lacking: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, syntax.Argument]:
    """The argument for each option in `names`; those in `positional` may be given without their names.

    Arguments that match no option are reported to `diagnostics`.
    """
    matched: dict[str, syntax.Argument] = {}
    named: Span | None = None
    for number, argument in enumerate(call.arguments):
        if argument.name is not None:
            named = named or argument.span
            name = argument.name.name
            if name not in names:
                help = lacking.get(name) or spelling_help(name, names, "its options") or "it takes none"
                diagnostics.error(
                    f"`{call.name}` has no option `{name}`", argument.name.span, help=help, code=Code.UNKNOWN_OPTION
                )
                continue
        elif named:
            diagnostics.error(
                "a value without a name follows one with a name",
                argument.span,
                help="write values without a name first",
                code=Code.OPTION_ORDER,
            )
            continue
        elif number >= len(positional):
            diagnostics.error(
                _too_many(call.name, len(positional)),
                argument.span,
                help=_names_help(positional, names),
                code=Code.OPTION_ORDER,
            )
            continue
        else:
            name = positional[number]
        if name in matched:
            note = ("note", f"it is first given at {matched[name].span.place}")
            diagnostics.error(
                f"`{name}` is given twice", argument.span, facts=(note,), help="give it once", code=Code.OPTION_ORDER
            )
            continue
        matched[name] = argument
    return matched


def _too_many(name: str, allowed: int) -> str:
    if not allowed:
        return f"`{name}` takes no value without a name"
    return f"`{name}` takes {counted(allowed, 'value')} without a name, not more"


def _names_help(positional: Sequence[str], names: Sequence[str]) -> str:
    if not names:
        return "it takes no values at all"
    free = [each for each in names if each not in positional] or names
    return f"name the option: {', '.join(f'`{each}=`' for each in free)}"
