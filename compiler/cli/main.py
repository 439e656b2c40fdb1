"""The command `vggc`: its sub-commands, and the exit status for each way it can end."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from vggc import __version__
from vggc.cli import (
    authoring_commands,
    bisect_command,
    cache_command,
    code_command,
    commands,
    compare_commands,
    completion_command,
    convert_command,
    data_command,
    export_command,
    format_command,
    function_pages,
    lsp_command,
    recipe_pages,
    report_command,
    schema_command,
    search_command,
    sweep_command,
    target_commands,
    view_command,
)
from vggc.cli.console import print_diagnostics, say
from vggc.cli.doctor_command import doctor, show_version
from vggc.cli.interrupts import end_on_signals, ignore_signals
from vggc.cli.machine_output import document
from vggc.cli.verbosity import verbosity_of, write_log
from vggc.diagnostics import CompileError, nearest
from vggc.grammar.shipped_recipes import SHIPPED, is_shipped, ready_recipes, shipped_recipes

DONE, WRONG_INPUT, USAGE, BUG, INTERRUPTED = 0, 1, 2, 70, 130

FIRST_STEPS = """
First steps: `vggc new int8 MODEL --data FOLDER` writes a recipe, `vggc data RECIPE MODEL` shows its samples, and
`vggc RECIPE MODEL` compiles.
"""

EXIT_STATUS = """
Exit status: 0 done; 1 the recipe, the model or the data is wrong; 2 wrong command-line usage;
3 a `require` was not met; 70 a bug in vggc; 130 interrupted.
"""


_FROM_PYTORCH = (
    "Write the function that makes the module in a Python file, and export it first: "
    "`vggc export FILE.py:FUNCTION --weights {name} --input 'x: 1x3x224x224'`."
)
_MODELS = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin", ".safetensors"), _FROM_PYTORCH),
    **dict.fromkeys((".tflite", ".pt2", ".h5", ".keras"), "Give the recipe first: `vggc RECIPE {name}`."),
    ".pb": "A frozen TensorFlow graph is converted with tf2onnx: python -m tf2onnx.convert --graphdef {name}.",
}
"""By suffix of a file that is given as the recipe: what to do with such a model."""

_HELP = 200
"""The most characters of a command's help in the list of commands."""


class RecipeGroup(click.Group):
    """A group whose first word may be a recipe: `vggc recipe.opt model.onnx` is `vggc compile ...`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        first = args[0]
        if first in self.commands:
            return super().resolve_command(ctx, args)
        if first.endswith(".onnx"):
            raise click.UsageError(_model_first(first, args[1:]), ctx)
        if advice := _MODELS.get(Path(first).suffix.lower()):
            raise click.UsageError(f"`{first}` is a model, not a recipe. {advice.format(name=first)}", ctx)
        if not first.endswith(".opt") and not is_shipped(Path(first)) and not Path(first).exists():
            close = nearest(first, [each for each in self.commands if each != "compile"])
            if f"{SHIPPED}{first}.opt" in ready_recipes():
                close = f"{SHIPPED}{first}.opt"
            hint = f"Did you mean `vggc {close}`?" if close else "A recipe's name ends in .opt."
            raise click.UsageError(f"`{first}` is neither a command nor a recipe. {hint}", ctx)
        return "compile", self.commands["compile"], args

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, the recipes here, and the ready recipes; all files when nothing of these fits."""
        here = sorted(each.name for each in Path().glob("*.opt"))
        recipes = [CompletionItem(each) for each in [*here, *shipped_recipes()] if each.startswith(incomplete or "?")]
        return [*super().shell_complete(ctx, incomplete), *recipes] or [CompletionItem(incomplete, type="file")]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, each.get_short_help_str(_HELP)) for name, each in self.commands.items() if not each.hidden]
        with formatter.section("Commands"):
            formatter.write_dl([("RECIPE MODEL", commands.compile_.get_short_help_str(_HELP)), *rows])


def _model_first(model: str, others: list[str]) -> str:
    """The message for a command that begins with a model."""
    recipe = next((each for each in others if each.endswith(".opt") or is_shipped(Path(each))), None)
    message = f"`{model}` is a model, not a recipe. The recipe comes first: `vggc {recipe or 'RECIPE'} {model}`."
    if recipe is not None:
        return message
    return f"{message} `vggc new int8 {model} --data FOLDER` writes one, and `vggc recipes` lists ready recipes."


@click.group(
    cls=RecipeGroup,
    epilog=FIRST_STEPS + EXIT_STATUS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    subcommand_metavar="RECIPE MODEL | COMMAND ...",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Show the version of vggc and of what it stands on.",
)
def vggc() -> None:
    """Compile an ONNX model by a recipe: rewrite it, check every rewrite, lower it to an engine."""


vggc.add_command(commands.compile_, "compile")
for command in (
    authoring_commands.new,
    authoring_commands.optimize,
    data_command.data,
    commands.check,
    commands.plan,
    search_command.search,
    sweep_command.sweep,
    format_command.fmt,
    commands.passes,
    target_commands.targets,
    function_pages.measures,
    function_pages.loaders,
    recipe_pages.recipes,
    commands.inspect,
    view_command.view,
    export_command.export,
    convert_command.convert,
    compare_commands.diff,
    compare_commands.bench,
    report_command.report,
    bisect_command.bisect,
    target_commands.lint,
    target_commands.rebuild,
    target_commands.validate,
    commands.explain,
    commands.lock,
    cache_command.cache,
    code_command.explain_error,
    schema_command.schema,
    lsp_command.lsp,
    doctor,
    completion_command.completion,
):
    vggc.add_command(command)


def main() -> NoReturn:
    """Run the command line and exit."""
    # A graph is many small objects that live until the end. Frequent collections would only walk over them again.
    gc.set_threshold(100_000, 50, 100)
    end_on_signals()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Names in models and paths may have characters that the terminal's encoding does not have.
            stream.reconfigure(errors="backslashreplace")
    status = run(sys.argv[1:])
    ignore_signals()
    sys.exit(status)


def run(arguments: list[str]) -> int:
    """Run the command line and return the exit status."""
    with verbosity_of(arguments), document() as print_document:
        status = _run(arguments)
        print_document(status)
        write_log(f"exit status {status}")
    return status


def _run(arguments: list[str]) -> int:
    try:
        # Commands return nothing, so a result is the status of a click Exit (`--help`, `fmt --check`).
        return vggc.main(arguments, prog_name="vggc", standalone_mode=False) or DONE
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        error.show()
        write_log(f"error: {error.format_message()}")
        return USAGE
    except CompileError as error:
        print_diagnostics(error.diagnostics)
        return error.status
    except (click.Abort, KeyboardInterrupt):
        say("interrupted: no output was written", style="bold", always=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has ended (`vggc passes | head`). Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except MemoryError:
        say("error: out of memory; nothing was written", style="bold red", always=True)
        return WRONG_INPUT
    except Exception as error:  # noqa: BLE001 - the user learns that it is a bug in vggc
        if _caused_by_interrupt(error):
            say("interrupted: no output was written", style="bold", always=True)
            return INTERRUPTED
        traceback.print_exc()
        write_log(traceback.format_exc())
        say(
            f"\nThis is a bug in vggc {__version__}, not in your recipe. Please report it with the lines above.",
            style="bold red",
            always=True,
        )
        return BUG


def _caused_by_interrupt(error: BaseException | None) -> bool:
    """Whether a KeyboardInterrupt caused `error`. C++ libraries raise ImportError when their loading is interrupted."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
