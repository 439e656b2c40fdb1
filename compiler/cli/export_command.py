"""`vggc export`, and the options with which a compile begins at a module of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vggc.cli.console import progress, stderr, stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.diagnostics import fail

if TYPE_CHECKING:
    from vggc.pytorch import Made, Request

_PATH = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--weights", type=_PATH, metavar="FILE", help="Weights of a module: a state_dict, or safetensors."),
    click.option(
        "--input",
        "inputs",
        multiple=True,
        metavar="SPEC",
        help='An argument of a module\'s forward: "x: 1x3x32x32", "ids: int64 1x128" (one for each, in order).',
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
    help="How far an output may be from PyTorch's, relative to its largest. [default: by its type, 1e-5 for float32]",
)
def export(
    *,
    factory: str,
    weights: Path | None,
    inputs: tuple[str, ...],
    dynamic: tuple[str, ...],
    output: Path | None,
    tolerance: float | None,
) -> None:
    """Export a PyTorch module to ONNX, batch norms kept, and compare the two on random inputs.

    FACTORY is a function without arguments that returns the module. Needs the extra `torch`.
    """
    path = output or Path(f"{factory.rpartition(':')[2]}.onnx")
    made = _export(_request(factory, weights, inputs, dynamic, tolerance), path)
    stdout().print(_told(made, path))


def stem(model: Path) -> str:
    """What the output folder of a compile is named after: `vgg16` for `nets/vgg16.onnx` and for `nets.vgg:vgg16`."""
    from vggc.pytorch import is_factory

    return str(model).rpartition(":")[2] if is_factory(str(model)) else model.stem


def onnx_file(
    model: Path, folder: Path, weights: Path | None, inputs: tuple[str, ...], dynamic: tuple[str, ...]
) -> Path:
    """The ONNX file of what a compile is given: a module is exported beside the output folder, where it stays.

    Raises CompileError when the options for a module stand beside an ONNX file, and what exporting raises.
    """
    from vggc.pytorch import is_factory

    if not is_factory(str(model)):
        if weights is not None or inputs or dynamic:
            help = "an ONNX model has its weights and its inputs; a module is named `package.module:factory`"
            raise fail(f"--weights, --input and --dynamic are for PyTorch modules, and `{model}` is none", help=help)
        return model
    request = _request(str(model), weights, inputs, dynamic, None)
    path = folder.with_name(f"{folder.name}.exported.onnx")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fail(f"cannot write `{path}`: {error.strerror or error}") from None
    stdout().print(_told(_export(request, path), path), end="\n\n")
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


def _export(request: Request, path: Path) -> Made:
    from vggc.pytorch import export_model

    with progress() as tell:
        made = export_model(request, path, progress=tell)
    if made.vacuous:
        stderr().print(
            f"warning: the module's outputs hardly depend on its inputs ({made.told:.1e} of the largest), so that the"
            " comparison says little; are its weights trained?",
            style="yellow",
            soft_wrap=True,
        )
    return made


def _told(made: Made, what: Path) -> str:
    """`model.onnx: 24 nodes (13 Conv, ...), opset 20; ...`"""
    most = ", ".join(f"{count} {op}" for op, count in made.nodes.most_common(4))
    return (
        f"{what}: {made.nodes.total()} nodes ({most}), opset {made.opset}\n"
        f"compared with PyTorch in {made.runs} runs on random inputs: largest relative error {made.worst.error:.1e}"
        f" ({made.worst.tolerance:.0e} allowed)"
    )
