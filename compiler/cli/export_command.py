"""`vggc export`, and the options of a compile that begins with a PyTorch module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vggc.cli.console import say, stdout
from vggc.cli.convert_command import converted_file
from vggc.cli.interrupts import LoadingCommand
from vggc.cli.progress import progress
from vggc.cli.threads_option import threads_option
from vggc.cli.verbosity import verbosity, verbosity_options
from vggc.diagnostics import Code, fail

if TYPE_CHECKING:
    from vggc.pytorch import ExportedModel, Request

_PATH = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--weights", type=_PATH, metavar="FILE", help="Weights of a module: a state_dict, or safetensors."),
    click.option(
        "--input",
        "inputs",
        multiple=True,
        metavar="SPEC",
        help='An argument of a module\'s forward: "x: 1x3x32x32", "ids: int64 1x128" (repeatable, in order).',
    ),
    click.option(
        "--dynamic",
        multiple=True,
        metavar="NAME",
        help="A dimension of any size: `batch`, the first axis of every input, or `height=x:2` (repeatable).",
    ),
)


def module_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --weights, --input and --dynamic."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command(cls=LoadingCommand)
@click.argument("factory", metavar="PACKAGE.MODULE:FACTORY")
@module_options
@click.option("-o", "--output", type=_PATH, metavar="FILE", help="The model to write. [default: <factory>.onnx]")
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    metavar="R",
    help="Allowed error of an output, relative to its largest number. [default: by its type, 1e-5 for float32]",
)
@threads_option
@verbosity_options
def export(
    *,
    factory: str,
    weights: Path | None,
    inputs: tuple[str, ...],
    dynamic: tuple[str, ...],
    output: Path | None,
    tolerance: float | None,
) -> None:
    """Export a PyTorch module to ONNX, keep its batch norms, and compare both models on random inputs.

    FACTORY is a function without arguments that returns the module. Needs the extra `torch`.
    """
    path = output or Path(f"{factory.rpartition(':')[2]}.onnx")
    exported = _export(_request(factory, weights, inputs, dynamic, tolerance), path)
    stdout().print(_summary(exported, path))


def stem(model: Path) -> str:
    """The name of a model for the output folder: `vgg16` for `nets/vgg16.onnx` and for `nets.vgg:vgg16`."""
    from vggc.pytorch import is_factory

    return str(model).rpartition(":")[2] if is_factory(str(model)) else model.stem


def onnx_file(
    model: Path, folder: Path, weights: Path | None, inputs: tuple[str, ...], dynamic: tuple[str, ...]
) -> Path:
    """The ONNX file to compile. A module is exported, and a model of another framework converted, to a file beside
    the output folder, which is kept.

    Raises CompileError when options for a module are given for an ONNX file, and what the export raises.
    """
    from vggc.pytorch import is_factory

    if not is_factory(str(model)):
        if weights is not None or inputs or dynamic:
            help = "an ONNX model contains its weights and inputs; a module is written as `package.module:factory`"
            raise fail(
                f"--weights, --input and --dynamic are for PyTorch modules, but `{model}` is not one",
                help=help,
                code=Code.NOT_A_MODEL,
            )
        return converted_file(model, folder)
    request = _request(str(model), weights, inputs, dynamic, None)
    path = folder.with_name(f"{folder.name}.exported.onnx")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fail(f"cannot write `{path}`: {error.strerror or error}", code=Code.CANNOT_WRITE) from None
    exported = _export(request, path)
    if not verbosity().quiet:
        stdout().print(_summary(exported, path), end="\n\n")
    return path


def _request(
    factory: str, weights: Path | None, inputs: tuple[str, ...], dynamic: tuple[str, ...], tolerance: float | None
) -> Request:
    from vggc.pytorch import Request, parse_dynamic, parse_input

    return Request(
        factory,
        tuple(parse_input(each) for each in inputs),
        weights,
        tuple(parse_dynamic(each) for each in dynamic),
        tolerance,
    )


def _export(request: Request, path: Path) -> ExportedModel:
    from vggc.pytorch import export_model

    with progress() as show:
        exported = export_model(request, path, progress=show)
    if exported.warning:
        say(f"warning: {exported.warning}", style="yellow")
    return exported


def _summary(exported: ExportedModel, path: Path) -> str:
    """`model.onnx: 24 nodes (13 Conv, ...), opset 20; ...`"""
    most = ", ".join(f"{count} {op}" for op, count in exported.nodes.most_common(4))
    return (
        f"{path}: {exported.nodes.total()} nodes ({most}), opset {exported.opset}\n"
        f"compared with PyTorch in {exported.runs} runs on random inputs: "
        f"largest relative error {exported.worst.error:.1e} ({exported.worst.tolerance:.0e} allowed)"
    )
