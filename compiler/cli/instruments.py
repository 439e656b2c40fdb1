"""The commands that look at models beside each other: `vggc diff`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vggc.cli.console import progress, stdout
from vggc.cli.interrupts import LoadingCommand

if TYPE_CHECKING:
    from vggc.data import Dataset

_PATH = click.Path(path_type=Path)


@click.command(cls=LoadingCommand)
@click.argument("first", metavar="A.onnx", type=_PATH)
@click.argument("second", metavar="B.onnx", type=_PATH)
@click.option(
    "--data",
    metavar="DATA",
    help="Samples to run both on: a file .npz or .npy, or a loader as recipes write it: 'images(\"cats\", size=224)'."
    " [default: seeded random numbers]",
)
@click.option(
    "--samples", type=click.IntRange(1), default=8, show_default=True, help="How many samples of DATA to run."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    metavar="R",
    help="How far a float may be away, relative to the largest of its value, before it diverges."
    " [default: by the coarsest type, 1e-5 for float32]",
)
@click.option("--json", "as_json", is_flag=True, help="Write everything as JSON, every value and every node.")
def diff(*, first: Path, second: Path, data: str | None, samples: int, tolerance: float | None, as_json: bool) -> None:
    """Compare two models: their structure, their numbers on the same inputs, and the first node that diverges."""
    from vggc.cli.diff_page import diff_page
    from vggc.diff import diff_models
    from vggc.graph import Graph

    loaded = _dataset(data)
    before, after = Graph.load(first), Graph.load(second)
    with progress() as tell:
        tell("comparing")
        found = diff_models(before, after, data=loaded, samples=samples, tolerance=tolerance)
    if as_json:
        click.echo(json.dumps({"a": str(first), "b": str(second), **found.as_dict()}, indent=2, allow_nan=False))
        return
    stdout().print(diff_page(found, first, second))


def _dataset(text: str | None) -> Dataset | None:
    """The samples that an option names, in the recipe's own words. Raises CompileError placed in the option."""
    from vggc.binding import bind_loader

    if text is None:
        return None
    suffix = Path(text).suffix
    return bind_loader(f'{suffix[1:]}("{text}")' if suffix in (".npz", ".npy") else text, "--data")
