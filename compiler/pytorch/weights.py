"""Load a weights file into a module, and report weights that do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.diagnostics.packages import TORCH
from vggc.pytorch.module import need_torch

_NESTED = ("state_dict", "model_state_dict", "model")
"""The keys under which training scripts save the weights in a checkpoint with other content."""

_PARALLEL = "module."
"""The prefix that DataParallel adds to every name."""

_COUNTER = "num_batches_tracked"
"""A batch norm's count of batches, which is missing in files of old PyTorch versions and not needed for inference."""

_SHOWN = 5


def load_weights(module: Any, path: Path) -> None:
    """Load the weights of a file (torch.save of a state_dict, or safetensors) into a module.

    The weights of a checkpoint may be under the key `state_dict`, `model_state_dict` or `model`. DataParallel's prefix
    is removed. No code of the file is run (weights_only). Raises CompileError with all names that are missing,
    unexpected, or have another shape.
    """
    given = _weights(_read(path), path)
    wanted = module.state_dict()
    if given and all(name.startswith(_PARALLEL) for name in given):
        stripped = {name.removeprefix(_PARALLEL): tensor for name, tensor in given.items()}
        given = given if given.keys() & wanted.keys() else stripped
    messages = _misfits(given, wanted)
    if messages:
        raise CompileError(
            *(
                Diagnostic(f"the weights in `{path}` do not fit: {each}", code=Code.CHECKPOINT)
                for each in messages[:-1]
            ),
            Diagnostic(
                f"the weights in `{path}` do not fit: {messages[-1]}", help=_advice(given, wanted), code=Code.CHECKPOINT
            ),
        )
    for name in wanted.keys() - given.keys():
        given[name] = wanted[name]
    module.load_state_dict({name: given[name] for name in wanted})


def _read(path: Path) -> Any:
    torch = need_torch()
    if not path.is_file():
        raise fail(f"there is no weights file `{path}`", code=Code.CHECKPOINT)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - UnpicklingError, RuntimeError, EOFError and others
        note = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise fail(
            f"`{path}` cannot be read as weights",
            facts=(("note", note),),
            help="loading a whole module would run its code: write torch.save(module.state_dict(), FILE) instead",
            code=Code.CHECKPOINT,
        ) from None


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError:
        raise fail(
            f"reading `{path}` needs `safetensors`, which is not installed",
            help=TORCH.command,
            code=Code.MISSING_PACKAGE,
        ) from None
    try:
        return load_file(path)
    except SafetensorError as error:
        raise fail(f"`{path}` is not a safetensors file", facts=(("note", str(error)),), code=Code.CHECKPOINT) from None


def _weights(content: Any, path: Path) -> dict[str, Any]:
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not all(hasattr(each, "shape") for each in content.values()):
        kind = f"a {type(content).__name__}"
        if isinstance(content, Mapping):
            kind = f"a dict with {', '.join(f'`{each}`' for each in list(content)[:_SHOWN])}"
        raise fail(
            f"`{path}` contains {kind}, not weights",
            help="write the weights with torch.save(module.state_dict(), FILE)",
            code=Code.CHECKPOINT,
        )
    return dict(content)


def _misfits(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    problems = []
    if missing := [each for each in wanted if each not in given and each.rpartition(".")[2] != _COUNTER]:
        problems.append(f"the file does not contain {_names(missing)} of the module")
    if unexpected := [each for each in given if each not in wanted]:
        problems.append(f"the module has no {_names(unexpected)}")
    for name in [each for each in wanted if each in given and given[each].shape != wanted[each].shape][:_SHOWN]:
        shapes = f"{list(given[name].shape)} in the file, but {list(wanted[name].shape)} in the module"
        problems.append(f"`{name}` is {shapes}")
    return problems


def _names(names: list[str]) -> str:
    shown = ", ".join(f"`{each}`" for each in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _advice(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    if not given.keys() & wanted.keys():
        return "no name matches: these are the weights of another module, or their names have a prefix"
    return "the factory must build the module that the weights were trained with: the same widths, blocks and classes"
