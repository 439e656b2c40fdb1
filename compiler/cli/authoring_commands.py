"""`vggc new` writes a recipe for a model and its data; `vggc optimize` compiles by such a recipe at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vggc.cli.cache_command import no_cache_option
from vggc.cli.commands import compile_and_show
from vggc.cli.console import print_diagnostics, replace_text, say
from vggc.cli.interrupts import LoadingCommand
from vggc.cli.threads_option import threads_option
from vggc.cli.verbosity import verbosity_options
from vggc.diagnostics import Code, fail

if TYPE_CHECKING:
    from vggc.authoring import DataSource, Goal, Runtime
    from vggc.graph import Graph
    from vggc.values import Ratio

_PATH = click.Path(path_type=Path)
_GOALS = ("optimize", "int8", "fp16", "int8_fp16", "prune", "prune_int8")
_RUNTIMES = ("onnxruntime", "tensorrt_rtx", "tensorrt")
_DATA = click.option(
    "--data", type=_PATH, metavar="PATH", help="Samples: a folder of images, or a .npz file with arrays."
)
_FOR = click.option(
    "--for",
    "runtime",
    type=click.Choice(_RUNTIMES),
    default="onnxruntime",
    show_default=True,
    help="What runs the model: onnxruntime on the CPU, or an engine for an NVIDIA GPU.",
)


class _Goal(click.Choice[str]):
    """The name of a goal."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value.endswith(".onnx"):
            goals = ", ".join(_GOALS)
            self.fail(
                f"`{value}` is a model, and a goal comes before it: `vggc new int8 {value}`. Goals: {goals}", param, ctx
            )
        return super().convert(value, param, ctx)


@click.command(cls=LoadingCommand)
@click.argument("goal", type=_Goal(_GOALS))
@click.argument("model", type=_PATH, required=False)
@_DATA
@_FOR
@click.option("-o", "--output", type=_PATH, metavar="FILE", help="The recipe to write. [default: <model>-<goal>.opt]")
@verbosity_options
def new(goal: str, model: Path | None, data: Path | None, runtime: Runtime, output: Path | None) -> None:
    """Write a recipe with the goal GOAL for MODEL, with everything that the model and the data show.

    MODEL is an ONNX file; without it, the only one in the current folder. Each value that vggc found or guessed has a
    comment that says why.
    """
    from vggc.authoring import GOALS, recipe_text
    from vggc.binding import bind_file
    from vggc.pipeline.precheck import check_fit

    model = model or _only_model()
    path = output or Path(f"{model.stem}-{goal}.opt")
    if path.suffix != ".opt":
        raise fail(
            f"`{path}` is not the name of a recipe",
            help=f"a recipe's name ends in .opt: `{path}.opt`",
            code=Code.CANNOT_WRITE,
        )
    if path.exists():
        raise fail(f"`{path}` exists", help="name another file: -o FILE; or remove it", code=Code.CANNOT_WRITE)
    graph, source = _looked_at(model, data, path.parent, GOALS[goal])
    replace_text(path, recipe_text(graph, model.name, GOALS[goal], runtime, source))
    click.echo(f"wrote {path}")
    _show_guesses(source)
    pipeline = bind_file(path)
    print_diagnostics([*pipeline.warnings, *check_fit(pipeline, graph)])
    if source is not None:
        say(f"look at the data:  vggc data {path} {model}")
    say(f"compile:           vggc {path} {model}")


@click.command(cls=LoadingCommand)
@click.argument("model", type=_PATH)
@click.option("--int8", is_flag=True, help="Quantize to 8-bit integers (needs --data).")
@click.option("--fp16", is_flag=True, help="Cast to 16-bit floating point (needs --data).")
@click.option(
    "--prune", metavar="SHARE", help="Remove channels until this share of the MACs is left: 50% (needs --data)."
)
@_DATA
@_FOR
@click.option("-o", "--output", type=_PATH, metavar="DIR", help="The output folder. [default: build/<model>-optimized]")
@no_cache_option
@threads_option
@verbosity_options
def optimize(
    *, model: Path, int8: bool, fp16: bool, prune: str | None, data: Path | None, runtime: Runtime, output: Path | None
) -> None:
    """Compile MODEL without a recipe: print the recipe that `vggc new` would write, and compile by it.

    Without --int8, --fp16 and --prune, it applies all exact optimizations.
    """
    from vggc.authoring import Goal, recipe_text
    from vggc.binding import bind_text

    goal = Goal(int8, fp16, None if prune is None else _share(prune))
    graph, source = _looked_at(model, data, Path(), goal)
    text = recipe_text(graph, model.name, goal, runtime, source)
    click.echo(text)
    _show_guesses(source)
    pipeline = bind_text(text)
    print_diagnostics(pipeline.warnings)
    compile_and_show(pipeline, model, output or Path("build") / f"{model.stem}-optimized")


def _only_model() -> Path:
    """The ONNX file of the current folder. Raises CompileError when there is not exactly one."""
    models = sorted(Path().glob("*.onnx"))
    if len(models) == 1:
        return models[0]
    if not models:
        help = "name the model: vggc new int8 MODEL --data PATH"
        raise fail("there is no ONNX file in the current folder", help=help, code=Code.NO_MODEL)
    listed = ", ".join(f"`{each}`" for each in models[:5])
    raise fail(
        f"the current folder has {len(models)} ONNX files: {listed}",
        help="name one: vggc new int8 MODEL",
        code=Code.NO_MODEL,
    )


def _looked_at(model: Path, data: Path | None, folder: Path, goal: Goal) -> tuple[Graph, DataSource | None]:
    """The model, and the loader call for the data, relative to a folder. Raises CompileError when data is missing."""
    from vggc.authoring import data_source
    from vggc.graph import Graph

    if goal.lossy and data is None:
        help = "give a few hundred samples: --data FOLDER of images, or --data FILE.npz"
        raise fail(
            "this changes the model's results, so it needs samples to calibrate and to compare with",
            help=help,
            code=Code.NEEDS_SAMPLES,
        )
    if not goal.lossy and data is not None:
        raise fail(
            "exact optimizations use no samples",
            help="leave out --data, or choose a goal such as int8",
            code=Code.OPTION_CONFLICT,
        )
    graph = Graph.load(model)
    graph.infer_shapes(check=True)
    return graph, None if data is None else data_source(graph, data, folder)


def _show_guesses(source: DataSource | None) -> None:
    for guess in source.guesses if source is not None else ():
        if not guess.certain and guess.reason:
            say(f"warning: `{guess.name}` is a guess: {guess.reason}", style="yellow")


def _share(text: str) -> Ratio:
    from vggc.values import Ratio

    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0.01 <= share <= 0.99:
        raise click.UsageError(f"--prune takes a share from 1% to 99%, not `{text}`")
    return Ratio(share)
