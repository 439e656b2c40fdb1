"""What a program may give instead of files: the text of a recipe, a model in memory, arrays, values of parameters."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from vggc.binding import bind_file, bind_text
from vggc.data import Dataset
from vggc.data.loader import Streamed, arrays_dataset
from vggc.diagnostics import Code, fail
from vggc.diagnostics.number_text import counted
from vggc.diagnostics.progress import Progress
from vggc.grammar.shipped_recipes import recipe_stem
from vggc.options import spell
from vggc.pipeline.model import Pipeline
from vggc.pytorch import Request, export_model, is_module, parse_dynamic, parse_input

Recipe = str | Path
"""A path, `vggc:NAME.opt`, or the text of a recipe: a str that contains a line break."""

_STEM, _IN_MEMORY = "model", "model in memory"
"""The name of a model without a file: in paths, and in reports."""


def is_text(recipe: Recipe) -> TypeGuard[str]:
    """Whether a recipe is given as its text: no path in a str has a line break, and every recipe can have one."""
    return isinstance(recipe, str) and "\n" in recipe


def bound(
    recipe: Recipe, values: Mapping[str, Any] | None, data: Mapping[str, Any] | None, *, python: bool
) -> Pipeline:
    """The pipeline of a recipe, with values of its parameters and data sets. Raises CompileError."""
    overrides = {name: value if isinstance(value, str) else spell(value) for name, value in (values or {}).items()}
    datasets = {name: as_dataset(name, each) for name, each in (data or {}).items()}
    if is_text(recipe):
        return bind_text(recipe, overrides=overrides, python=python, data=datasets)
    return bind_file(Path(recipe), overrides=overrides, python=python, data=datasets)


def as_dataset(name: str, given: Any) -> Dataset:
    """Data that a program gives: a Dataset, arrays by the names of inputs, one array, or an iterable of such dicts.

    The array "labels" has the class numbers. Raises CompileError for anything else.
    """
    where = f"data `{name}`"
    if isinstance(given, Dataset):
        return given
    if isinstance(given, Mapping):
        held = arrays_dataset(given, where)
    elif hasattr(given, "__array__"):
        held = arrays_dataset({name: given}, where)
    elif isinstance(given, Iterable) and not isinstance(given, Iterator | str | bytes):
        streamed = Streamed(lambda: iter(given), name)
        streamed.description = f"{counted(len(streamed), 'sample')} from a {type(given).__name__}"
        return streamed
    else:
        raise fail(
            f"{where} cannot be made of an object of type `{type(given).__name__}`",
            help="give a dict of arrays named like the model's inputs, or an object that yields such dicts when looped",
            code=Code.NOT_A_MODEL,
        )
    held.description = f"{counted(len(held), 'sample')} from memory"
    return held


def default_folder(recipe: Recipe, model: Any) -> Path:
    """The output folder when none is given, as on the command line: `build/<model>-<recipe>`."""
    of_model = Path(model).stem if isinstance(model, str | Path) else _STEM
    return Path("build") / f"{of_model}-{'recipe' if is_text(recipe) else recipe_stem(Path(recipe))}"


class ModelFile(NamedTuple):
    """The file of a model; `name` is what reports call it, None for its path, and `warnings` are about its export."""

    path: Path
    name: str | None = None
    warnings: tuple[str, ...] = ()


@contextmanager
def model_file(model: Any, inputs: Sequence[str], dynamic: Sequence[str], progress: Progress) -> Iterator[ModelFile]:
    """The file of a model. A model in memory is written to a temporary folder, which lasts as long as the block.

    Raises CompileError for anything that is not a model, and what the export of a module raises.
    """
    module = is_module(model)
    if not module and (inputs or dynamic):
        raise fail(
            "`inputs` and `dynamic` are for PyTorch modules",
            help="an ONNX model declares its own inputs",
            code=Code.NOT_A_MODEL,
        )
    if isinstance(model, str | Path):
        yield ModelFile(Path(model))
        return
    with tempfile.TemporaryDirectory(prefix="vggc-") as folder:
        path = Path(folder) / f"{_STEM}.onnx"
        if module:
            request = Request(model, tuple(map(parse_input, inputs)), dynamic=tuple(map(parse_dynamic, dynamic)))
            warning = export_model(request, path, progress=progress).warning
        else:
            warning = ""
            _save(model, path)
        yield ModelFile(path, _IN_MEMORY, (warning,) if warning else ())


def _save(model: Any, path: Path) -> None:
    import onnx

    if not isinstance(model, onnx.ModelProto):
        help = "give the path of an ONNX file, an onnx.ModelProto, or a torch.nn.Module with `inputs`"
        raise fail(f"an object of type `{type(model).__name__}` is not a model", help=help, code=Code.NOT_A_MODEL)
    try:
        path.write_bytes(model.SerializeToString())
    except ValueError:
        # protobuf cannot write messages of more than 2 GiB.
        raise fail(
            "the model is larger than 2 GiB",
            help="save it with external data, and give its path",
            code=Code.NOT_A_MODEL,
        ) from None
