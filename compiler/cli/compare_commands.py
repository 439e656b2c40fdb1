"""The commands that compare models: `vggc diff` and `vggc bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vggc.cli.console import replace_text, stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.cli.progress import progress
from vggc.cli.threads_option import threads_option
from vggc.cli.verbosity import verbosity_options

if TYPE_CHECKING:
    from vggc.data import Dataset

_PATH = click.Path(path_type=Path)
_LARGEST_BATCH = 65_536


@click.command(cls=LoadingCommand)
@click.argument("first", metavar="A.onnx", type=_PATH)
@click.argument("second", metavar="B.onnx", type=_PATH)
@click.option(
    "--data",
    metavar="DATA",
    help="Samples to run both models on: a .npz or .npy file, or a loader as in recipes: 'images(\"cats\", size=224)'."
    " [default: seeded random numbers]",
)
@click.option(
    "--samples", type=click.IntRange(1), default=8, show_default=True, help="How many samples of DATA to run."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    metavar="R",
    help="Allowed error of a float, relative to the largest number of its value."
    " [default: by the coarsest type, 1e-5 for float32]",
)
@threads_option
@verbosity_options
@click.option("--json", "as_json", is_flag=True, help="Write the whole comparison as JSON, with every value and node.")
def diff(*, first: Path, second: Path, data: str | None, samples: int, tolerance: float | None, as_json: bool) -> None:
    """Compare two models: their structure, their numbers on the same inputs, and the first node that diverges."""
    from vggc.cli.diff_page import diff_page
    from vggc.diff import diff_models
    from vggc.graph import Graph

    loaded = _dataset(data)
    before, after = Graph.load(first), Graph.load(second)
    with progress() as show:
        show.begin("comparing")
        comparison = diff_models(before, after, data=loaded, samples=samples, tolerance=tolerance)
    if as_json:
        click.echo(json.dumps({"a": str(first), "b": str(second), **comparison.as_dict()}, indent=2, allow_nan=False))
        return
    stdout().print(diff_page(comparison, first, second))


@click.command(cls=LoadingCommand)
@click.argument("models", metavar="MODEL_OR_DIR...", nargs=-1, required=True, type=_PATH)
@click.option(
    "--batch", default="1", show_default=True, metavar="N,...", help="Samples in one run; one size or several."
)
@click.option(
    "--seconds", type=click.FloatRange(0.01, 3600), default=2.0, show_default=True, help="How long to run each model."
)
@threads_option
@verbosity_options
@click.option(
    "--data",
    metavar="DATA",
    help="Samples to compare the classes of all models on: a .npz or .npy file, or a loader as in recipes.",
)
@click.option(
    "--samples", type=click.IntRange(1), default=256, show_default=True, help="How many samples of DATA to run."
)
@click.option("--json", "file", type=_PATH, metavar="FILE", help="Also write all results to FILE as JSON.")
@click.option("--plot", "picture", type=_PATH, metavar="FILE", help="Also draw the times to FILE as SVG.")
def bench(
    *,
    models: tuple[Path, ...],
    batch: str,
    seconds: float,
    data: str | None,
    samples: int,
    file: Path | None,
    picture: Path | None,
) -> None:
    """Measure models side by side: latency, throughput and memory, each model in its own process.

    The models take turns, so that other load on the machine affects all of them equally. DIR is the output folder of a
    compile: its models are measured, and its engines on the GPU. A note says why something cannot be measured. With
    --data, the table says for how many samples each model chooses the class of the first one, and the right class.
    """
    from vggc.bench import bench_models, measurable_files, plot
    from vggc.cli.bench_page import bench_page

    sizes = _sizes(batch)
    loaded = _dataset(data)
    files = [each for model in models for each in measurable_files(model)]
    with progress() as show:
        measurements = bench_models(files, sizes, seconds=seconds, data=loaded, samples=samples, progress=show)
    if file is not None:
        replace_text(file, json.dumps(measurements.as_dict(), indent=2, allow_nan=False) + "\n")
    if picture is not None and measurements.rows:
        replace_text(picture, plot(measurements))
    stdout().print(bench_page(measurements))


def _sizes(text: str) -> list[int]:
    words = [each.strip() for each in text.split(",")]
    if not all(each.isdecimal() and 0 < int(each) <= _LARGEST_BATCH for each in words):
        raise click.UsageError(f"--batch takes whole numbers from 1 to {_LARGEST_BATCH}, such as 1,8,32; not `{text}`")
    return list(dict.fromkeys(map(int, words)))


def _dataset(text: str | None) -> Dataset | None:
    """The samples that an option names, in the syntax of recipes. Raises CompileError with a place in the option."""
    from vggc.binding import bind_loader

    if text is None:
        return None
    suffix = Path(text).suffix
    return bind_loader(f'{suffix[1:]}("{text}")' if suffix in (".npz", ".npy") else text, "--data")
