"""Values of the type `loader`: a call such as `npz("calib.npz")`, or the path of a file or folder that one can read.

`param samples: loader = "calib.npz"` lets `--set samples=` name a folder of images, a file of arrays, or any loader
with its options. A `data` statement names the parameter in place of a loader: `data calib = samples`.
"""

from __future__ import annotations

import re
from pathlib import Path

from vggc.binding.scope import Scope, Undetermined, UnknownValue
from vggc.diagnostics import Code, fail
from vggc.grammar import syntax
from vggc.options import Given, Reference, describe, spell

LOADER = "loader"
"""The word for the type."""

_CALL = re.compile(r"[A-Za-z_]\w*\s*\(.*\)\s*", re.DOTALL)
_ARRAYS = {".npz": "npz", ".npy": "npy"}
"""The loader of a file by its suffix. `images` reads everything else, which must be a folder."""


def is_path(text: str) -> bool:
    """Whether the text after `--set NAME=` is a path, and not a call or a quoted text."""
    return not text.startswith('"') and _CALL.fullmatch(text) is None


def loader_call(value: syntax.Value) -> Given | None:
    """The value of a parameter that is written as a call; None when it is not a call."""
    return Given(Reference(LOADER, value.span.text, value), value.span) if isinstance(value, syntax.Call) else None


def loader_of_path(given: Given, what: str) -> Given:
    """A value of the type `loader`: a path becomes a call of the loader that reads it.

    Raises CompileError when the value is neither a path nor a call. `what` names it in messages.
    """
    if isinstance(given.value, Reference) and given.value.statement == LOADER:
        return given
    if not isinstance(given.value, str) or not given.value:
        help = 'a folder of images, a file of arrays, or a loader: npz("calib.npz")'
        raise fail(
            f"{what} must be a loader or a path, not {describe(given.value)}",
            given.span,
            help=help,
            code=Code.OPTION_TYPE,
        )
    name = _ARRAYS.get(Path(given.value).suffix.lower(), "images")
    path = syntax.Argument(given.span, None, syntax.String(given.span, given.value))
    call = syntax.Call(given.span, name, given.span, (path,))
    return Given(Reference(LOADER, f"{name}({spell(given.value)})", call), given.span, given.origin)


def named_loader(call: syntax.Call, scope: Scope) -> syntax.Call:
    """The call that a `data` statement means: its own, or the value of the parameter that it names.

    Raises CompileError for a parameter of another type, and Undetermined when its value is not known.
    """
    declared = scope.find(call.name)
    if declared is None or declared.kind not in ("param", "argument") or call.arguments:
        return call
    if isinstance(declared.meaning, UnknownValue):
        raise Undetermined
    assert isinstance(declared.meaning, Given)
    value = declared.meaning.value
    if isinstance(value, Reference) and isinstance(value.target, syntax.Call):
        return value.target
    help = f"declare it as one: `param {call.name}: {LOADER} = ...`; or read the file that it names: npz({call.name})"
    raise fail(f"`{call.name}` is {describe(value)}, not a loader", call.name_span, help=help, code=Code.OPTION_TYPE)
