"""What a program may give instead of files: the text of a recipe, a model in memory, arrays, values of parameters."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from vggc.api.given_data import as_dataset
from vggc.binding import bind_file, bind_text, text_tree
from vggc.data import ArrayDataset, Dataset
from vggc.diagnostics import Code, fail
from vggc.diagnostics.progress import Progress
from vggc.grammar.shipped_recipes import is_shipped, recipe_stem
from vggc.options import spell
from vggc.pipeline.model import Pipeline
from vggc.pytorch import InputSpec, Request, export_model, is_module, parse_dynamic, parse_input

Recipe = str | Path
"""A path, `vggc:NAME.opt`, or the text of a recipe: a str that contains a line break."""

Inputs = Sequence[Any] | Mapping[str, Any]
"""The inputs of a module: texts as `vggc export --input` takes them, or example arrays or tensors."""

_STEM, _IN_MEMORY = "model", "model in memory"
"""The name of a model without a file: in paths, and in reports."""


def is_text(recipe: Recipe) -> TypeGuard[str]:
    """Whether a recipe is given as its text: no path in a str has a line break, and every recipe can have one."""
    return isinstance(recipe, str) and "\n" in recipe


def _names_a_file(recipe: str) -> bool:
    """Whether a str without a line break can be meant as the path of a recipe."""
    return recipe.endswith((".opt", ".onnx")) or is_shipped(Path(recipe)) or Path(recipe).exists()


def bound(recipe: Recipe, values: Mapping[str, Any] | None, data: Mapping[str, Dataset], *, python: bool) -> Pipeline:
    """The pipeline of a recipe, with values of its parameters and data sets. Raises CompileError."""
    if isinstance(recipe, str) and not is_text(recipe) and not _names_a_file(recipe):
        help = 'a text has a line break in it, also when it is one line: "simplify\\n"; a path ends in .opt'
        raise fail(f"there is no recipe `{recipe}`", help=help, code=Code.UNREADABLE_RECIPE)
    overrides = spelled_values(values)
    if is_text(recipe):
        return bind_text(recipe, overrides=overrides, python=python, data=data)
    return bind_file(Path(recipe), overrides=overrides, python=python, data=data)


def spelled_values(values: Mapping[str, Any] | None) -> dict[str, str]:
    """Values of parameters as `--set` takes them."""
    _must_be_mapping("set", values, '{"samples": "photos"}')
    return {
        name: str(value) if isinstance(value, str | Path) else spell(value) for name, value in (values or {}).items()
    }


def in_memory(data: Dataset) -> Dataset:
    """The same samples as arrays, which can be sent to other processes."""
    (arrays,) = data.batches(max(1, len(data)))
    return ArrayDataset(arrays, data.labels, data.description)


def datasets(data: Mapping[str, Any] | None) -> dict[str, Dataset]:
    """The data sets of what a program gives by name. Raises CompileError."""
    _must_be_mapping("data", data, '{"calib": images}')
    return {name: as_dataset(name, each) for name, each in (data or {}).items()}


def _must_be_mapping(argument: str, given: Any, example: str) -> None:
    if given is not None and not isinstance(given, Mapping):
        message = f"`{argument}` is an object of type `{type(given).__name__}`, not a dict by names"
        raise fail(message, help=f"write, for example, {argument}={example}", code=Code.NOT_A_MODEL)


def bound_for(
    model: Path,
    pipeline: Pipeline,
    recipe: Recipe,
    values: Mapping[str, Any] | None,
    data: Mapping[str, Dataset],
    *,
    python: bool,
) -> tuple[Pipeline, list[str]]:
    """The pipeline with folders of images that `values` name prepared for a model, and what of this was guessed.

    Raises CompileError when the model does not take images.
    """
    from vggc.authoring import prepared_folders
    from vggc.grammar.kept_trees import read_tree

    texts = {name: str(value) for name, value in (values or {}).items() if isinstance(value, str | Path)}
    if not texts:
        return pipeline, []
    given, sources = prepared_folders(text_tree(recipe) if is_text(recipe) else read_tree(Path(recipe)), texts, model)
    if not sources:
        return pipeline, []
    guesses = [guess for source in sources.values() for guess in source.guesses if guess.reason and not guess.certain]
    notes = [f"`{each.name}` of the images is a guess: {each.reason}" for each in guesses]
    return bound(recipe, {**(values or {}), **given}, data, python=python), notes


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
def model_file(model: Any, inputs: Inputs, dynamic: Sequence[str], progress: Progress) -> Iterator[ModelFile]:
    """The file of a model. A model in memory is written to a temporary folder, which lasts as long as the block.

    Raises CompileError for anything that is not a model, and what the export of a module raises.
    """
    module = is_module(model)
    if not module and (len(inputs) or dynamic):
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
            request = Request(model, _specs(model, inputs), dynamic=tuple(map(parse_dynamic, dynamic)))
            warning = export_model(request, path, progress=progress).warning
        else:
            warning = ""
            _save(model, path)
        yield ModelFile(path, _IN_MEMORY, (warning,) if warning else ())


def _specs(module: Any, inputs: Inputs) -> tuple[InputSpec, ...]:
    """The inputs of a module: as texts, or as example arrays in the order of the arguments of its `forward`."""
    if isinstance(inputs, str) or hasattr(inputs, "__array__"):
        return _specs(module, [inputs])
    if isinstance(inputs, Mapping):
        return tuple(_spec_of(name, each) for name, each in inputs.items())
    names = iter(inspect.signature(module.forward).parameters)
    specs = []
    for each in inputs:
        name = next(names, "x")
        specs.append(parse_input(each) if isinstance(each, str) else _spec_of(name, each))
    return tuple(specs)


def _spec_of(name: str, example: Any) -> InputSpec:
    array = getattr(example, "detach", lambda: example)()
    if not hasattr(array, "__array__"):
        help = 'give example tensors, inputs=[torch.zeros(1, 3, 32, 32)], or texts, inputs=["x: 1x3x32x32"]'
        message = f"the input `{name}` of the module is an object of type `{type(example).__name__}`"
        raise fail(message, help=help, code=Code.MODULE_INPUTS)
    found = np.asarray(array)
    return parse_input(f"{name}: {found.dtype} {'x'.join(map(str, found.shape))}")


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
