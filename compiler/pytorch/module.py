"""Load a PyTorch module in eval mode from `package.module:factory`."""

from __future__ import annotations

import copy
import importlib
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from vggc.diagnostics import Code, CompileError, fail, spelling_help
from vggc.diagnostics.packages import TORCH

_FACTORY = re.compile(r"(?P<place>[A-Za-z_][\w.]*|.*\.py):(?P<name>[A-Za-z_]\w*)")


def is_factory(text: str) -> bool:
    """Whether a text has the form `package.module:factory` or `file.py:factory`, and is not the name of a file."""
    return _FACTORY.fullmatch(text) is not None and not Path(text).exists()


def is_module(value: object) -> bool:
    """Whether a value is a torch.nn.Module. PyTorch is not loaded for it: it is loaded when there is a module."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def in_eval_mode(module: Any) -> Any:
    """A copy of a module in eval mode on the CPU; the module itself stays as it is, to be trained further."""
    return copy.deepcopy(module).cpu().eval()


def need_torch() -> Any:
    """Import torch. Raises CompileError that says what to install when it is missing."""
    try:
        import onnxscript  # noqa: F401
        import torch
        import torch.onnx
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "onnxscript"):
            raise
        raise fail(
            f"exporting needs `{error.name}`, which is not installed", help=TORCH.command, code=Code.MISSING_PACKAGE
        ) from None
    return torch


def load_module(text: str) -> Any:
    """Import the package or file, call the factory, and return its module in eval mode.

    The current folder is on the path, as with `python -m`; for a file it is the file's own folder. The name may refer
    to a module, or to anything that returns one when it is called without arguments. Raises CompileError.
    """
    torch = need_torch()
    match = _FACTORY.fullmatch(text)
    if match is None:
        raise fail(
            f"`{text}` is not a factory",
            help="write `package.module:function` or `folder/file.py:function`",
            code=Code.FACTORY,
        )
    home = _import(match["place"])
    name = match["name"]
    if not hasattr(home, name):
        own = [each for each, value in vars(home).items() if callable(value) and not each.startswith("_")]
        raise fail(f"`{match['place']}` has no `{name}`", help=spelling_help(name, own, "it has"), code=Code.FACTORY)
    module = getattr(home, name)
    if not isinstance(module, torch.nn.Module):
        if not callable(module):
            raise fail(
                f"`{text}` cannot be called: it has type {type(module).__name__}",
                help="name a function without arguments that returns the module",
                code=Code.FACTORY,
            )
        try:
            module = module()
        except (Exception, SystemExit) as error:
            raise raised(f"calling `{text}`", error) from error
    if not isinstance(module, torch.nn.Module):
        raise fail(
            f"`{text}` returned a {type(module).__name__}, not a torch.nn.Module",
            help="the function must return the module, and must not load its weights onto a GPU",
            code=Code.FACTORY,
        )
    return module.cpu().eval()


def _import(place: str) -> ModuleType:
    path = Path(place) if place.endswith(".py") else None
    if path is not None and not path.is_file():
        raise fail(f"there is no file `{path}`", code=Code.FACTORY)
    folder = str((path.parent if path is not None else Path()).resolve())
    if folder not in sys.path:
        # The folder stays on the path, because the factory may import files beside it when it is called.
        sys.path.insert(0, folder)
    name = path.stem if path is not None else place
    importlib.invalidate_caches()
    try:
        imported = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise _no_module(name, error.name or str(error), place) from None
    except (Exception, SystemExit) as error:
        raise raised(f"importing `{place}`", error) from error
    if path is not None and Path(imported.__file__ or "").resolve() != path.resolve():
        raise fail(
            f"`{path}` cannot be imported: another module has the name `{name}`",
            facts=(("other module", imported.__file__ or "built in"),),
            help="give the file another name",
            code=Code.FACTORY,
        )
    return imported


def _no_module(name: str, missing: str, place: str) -> CompileError:
    if missing == name or name.startswith(f"{missing}."):
        return fail(
            f"there is no module `{missing}`",
            facts=(("looked in", f"{Path.cwd()}, and what is installed for {sys.executable}"),),
            help="run vggc in the folder that contains the package, or name the file: `folder/file.py:factory`",
            code=Code.FACTORY,
        )
    return fail(
        f"importing `{place}` needs the module `{missing}`, which cannot be found",
        help=f"install it for {sys.executable}, or run vggc in the folder that contains it",
        code=Code.FACTORY,
    )


def raised(doing: str, error: BaseException) -> CompileError:
    """The message for an exception of the user's code, with its last line that is not in a library."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if "site-packages" not in each.filename and not _of_vggc(each.filename)]
    own = [each for each in own if not each.filename.startswith("<") and each.filename != importlib.__file__]
    place = (
        (("at", f"{own[-1].filename}:{own[-1].lineno}" + (f": {own[-1].line}" if own[-1].line else "")),) if own else ()
    )
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return fail(
        f"{doing} failed with {type(error).__name__}" + (f": {first}" if first else ""), facts=place, code=Code.FACTORY
    )


def _of_vggc(filename: str) -> bool:
    return Path(filename).is_relative_to(Path(__file__).parents[1])
