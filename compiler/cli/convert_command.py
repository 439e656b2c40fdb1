"""`vggc convert`, and the conversion of a compile that begins with a model of another framework."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vggc.cli.console import stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.cli.progress import progress
from vggc.cli.threads_option import threads_option
from vggc.cli.verbosity import verbosity, verbosity_options
from vggc.diagnostics import Code, fail

if TYPE_CHECKING:
    from vggc.importers import Converted, Source

_PATH = click.Path(path_type=Path)


@click.command(cls=LoadingCommand)
@click.argument("model", type=_PATH)
@click.option("-o", "--output", type=_PATH, metavar="FILE", help="The model to write. [default: <model>.onnx]")
@click.option(
    "--layout",
    type=click.Choice(["nchw", "same"]),
    default="nchw",
    show_default=True,
    help="Images with their channels first, or as in MODEL.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    metavar="R",
    help="Allowed error of an output, relative to its largest number. [default: 1e-4, quantized 5e-2]",
)
@threads_option
@verbosity_options
def convert(*, model: Path, output: Path | None, layout: str, tolerance: float | None) -> None:
    """Convert MODEL to ONNX, and compare it with its framework on the same random inputs.

    MODEL is a Keras file (.keras, .h5), a SavedModel folder, a TFLite file, a Paddle inference model (its folder, or
    inference.json or .pdmodel), or a program of torch.export (.pt2). A PyTorch module is converted by `vggc export`.
    """
    from vggc.importers import source_of
    from vggc.pytorch import is_factory

    source = None if is_factory(str(model)) else source_of(model)
    if source is None:
        help = "a PyTorch module is exported by `vggc export PACKAGE.MODULE:FACTORY`; an ONNX model needs no conversion"
        raise fail(f"`{model}` is not a model of another framework", help=help, code=Code.SOURCE)
    path = output or Path(f"{model.stem}.onnx")
    with progress() as show:
        from vggc.importers import convert_source

        converted = convert_source(source, path, channels_first=layout == "nchw", tolerance=tolerance, progress=show)
    stdout().print(_summary(source, converted, path))


def converted_file(model: Path, folder: Path) -> Path:
    """The ONNX file to compile: `model`, or what it is converted to, a file beside the output folder, which is kept."""
    from vggc.importers import convert_source, source_of

    source = source_of(model)
    if source is None:
        return model
    path = folder.with_name(f"{folder.name}.converted.onnx")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fail(f"cannot write `{path}`: {error.strerror or error}", code=Code.CANNOT_WRITE) from None
    with progress() as show:
        converted = convert_source(source, path, progress=show)
    if not verbosity().quiet:
        stdout().print(_summary(source, converted, path), end="\n\n")
    return path


def _summary(source: Source, converted: Converted, path: Path) -> str:
    """`model.onnx: 24 nodes (13 Conv, ...), opset 17, by tf2onnx 1.17.0, ...`"""
    most = ", ".join(f"{count} {op}" for op, count in converted.nodes.most_common(4))
    return (
        f"{path}: {converted.nodes.total()} nodes ({most}), opset {converted.opset}, by {converted.converter}\n"
        f"compared with {source.title} in {converted.runs} runs on random inputs: "
        f"largest relative error {converted.error:.1e} ({converted.allowed:.0e} allowed)"
    )
