"""The commands that compile, check and plan recipes, format them, and show passes and models."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vggc.cli.cache_command import no_cache_option
from vggc.cli.completion_command import completed, pass_names
from vggc.cli.console import print_diagnostics, say, stdout
from vggc.cli.export_command import module_options, onnx_file, stem
from vggc.cli.interrupts import LoadingCommand
from vggc.cli.lock_command import both, locked_compile, write_lock
from vggc.cli.machine_output import for_programs, json_option, sarif_option, set_result
from vggc.cli.machine_results import pass_result, report_result
from vggc.cli.progress import progress
from vggc.cli.target_commands import COMPUTE, FLAVOURS, check_compute
from vggc.cli.threads_option import threads_option
from vggc.cli.verbosity import verbosity, verbosity_options
from vggc.cli.workers_option import dismiss_workers, serves_as_worker, workers_option
from vggc.diagnostics.number_text import counted

if TYPE_CHECKING:
    from vggc.graph import Graph
    from vggc.pipeline.lock import LockedCompile
    from vggc.pipeline.model import Pipeline
    from vggc.pipeline.runner import Stepped
    from vggc.pipeline.verify import VerifyMode
    from vggc.report.record import Report

_PATH = click.Path(path_type=Path)
_RECIPE = click.argument("recipe", type=_PATH)
_MODEL = click.argument("model", type=_PATH)


def given_overrides(pairs: tuple[str, ...]) -> dict[str, str]:
    """Values of `--set NAME=VALUE` by name. Raises UsageError."""
    overrides: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise click.UsageError(f"--set takes NAME=VALUE, not `{pair}`")
        if name.strip() in overrides:
            raise click.UsageError(f"--set sets `{name.strip()}` twice")
        overrides[name.strip()] = value.strip()
    return overrides


def _checked(ctx: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> tuple[str, ...]:
    """The pairs as they are. A pair without a value is refused before what follows it is taken for another argument."""
    given_overrides(pairs)
    return pairs


SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    callback=_checked,
    metavar="NAME=VALUE",
    help="Override a `param` of the recipe (repeatable).",
)
NO_PYTHON = click.option(
    "--no-python", is_flag=True, help="Refuse a recipe that brings in Python files, which run with your permissions."
)


def bound(recipe: Path, pairs: tuple[str, ...], model: Path | None, *, python: bool) -> Pipeline:
    """The pipeline of a recipe. With a model, the images of a folder that `--set` gives are prepared for it."""
    from vggc.binding import bind_file

    overrides = given_overrides(pairs)
    if model is not None and overrides:
        overrides = prepared_overrides(recipe, overrides, model)
    pipeline = bind_file(recipe, overrides=overrides, python=python)
    print_diagnostics(pipeline.warnings)
    return pipeline


def prepared_overrides(recipe: Path, overrides: dict[str, str], model: Path) -> dict[str, str]:
    """Values of `--set` in which folders of images are prepared for a model, as loaders."""
    from vggc.authoring import prepared_folders
    from vggc.grammar.broken_recipe import BrokenRecipe
    from vggc.grammar.kept_trees import read_tree

    try:
        tree = read_tree(recipe)
    except BrokenRecipe:
        # Binding reports all that is wrong with it.
        return overrides
    overrides, sources = prepared_folders(tree, overrides, model)
    for name, source in sources.items():
        say(f"note: {name} = {source.call}")
        for guess in source.guesses:
            if not guess.certain and guess.reason:
                say(f"warning: `{guess.name}` is a guess: {guess.reason}", style="yellow")
    return overrides


@click.command("compile", cls=LoadingCommand, hidden=True)
@_RECIPE
@_MODEL
@click.option("-o", "--output", type=_PATH, metavar="DIR", help="The output folder. [default: build/<model>-<recipe>]")
@SET
@NO_PYTHON
@module_options
@click.option(
    "--verify",
    type=click.Choice(["each", "end", "off"]),
    default="end",
    show_default=True,
    help="When to compare the model before and after exact steps, on the same inputs.",
)
@no_cache_option
@click.option("--locked", is_flag=True, help="Refuse to compile when something differs from the recipe's lock file.")
@threads_option
@workers_option
@verbosity_options
@json_option
@click.option(
    "--print-after",
    metavar="STEP",
    shell_complete=completed(pass_names),
    help="Print the graph as text after the steps with this name, or with `changed` after every step that changed it.",
)
def compile_(
    *,
    recipe: Path,
    model: Path,
    output: Path | None,
    overrides: tuple[str, ...],
    no_python: bool,
    weights: Path | None,
    inputs: tuple[str, ...],
    dynamic: tuple[str, ...],
    verify: VerifyMode,
    locked: bool,
    print_after: str | None,
) -> None:
    """Compile MODEL by RECIPE into an output folder.

    MODEL is an ONNX file, a PyTorch module written as PACKAGE.MODULE:FACTORY, which vggc exports first (see
    `vggc export`), or a model of another framework, which vggc converts first (see `vggc convert`).
    """
    from vggc.binding import bind_file
    from vggc.cli.graph_printer import graph_printer
    from vggc.grammar.shipped_recipes import recipe_stem
    from vggc.pytorch import is_factory

    if serves_as_worker():
        return
    folder = output or Path("build") / f"{stem(model)}-{recipe_stem(recipe)}"
    if is_factory(str(model)):
        # A wrong recipe is reported before the export, which takes a while.
        bind_file(recipe, overrides=given_overrides(overrides), python=not no_python)
    model = onnx_file(model, folder, weights, inputs, dynamic)
    pipeline = bound(recipe, overrides, model, python=not no_python)
    lock = locked_compile(recipe, pipeline, model) if locked else None
    compile_and_show(pipeline, model, folder, verify=verify, stepped=graph_printer(pipeline, print_after), lock=lock)
    dismiss_workers()


def compile_and_show(
    pipeline: Pipeline,
    model: Path,
    folder: Path,
    *,
    verify: VerifyMode = "end",
    stepped: Stepped = lambda record, graph: None,
    lock: LockedCompile | None = None,
) -> None:
    """Compile the model in a file, and print the tables of the result or of what ran before a failure."""
    from vggc.cli.step_details import detailed
    from vggc.pipeline.compile import compile_model
    from vggc.pipeline.output_folder import PAGE
    from vggc.report.terminal_tables import declines, summary

    failures: list[tuple[Report, Path | None]] = []
    stepped = detailed(stepped)
    if lock is not None:
        stepped = both(stepped, lock.stepped)
    try:
        with progress() as show:
            report = compile_model(
                pipeline,
                model,
                folder,
                command=shlex.join(["vggc", *sys.argv[1:]]),
                verify=verify,
                progress=show,
                stepped=stepped,
                ran=lock.finish if lock is not None else lambda: None,
                failed=lambda report, left: failures.append((report, left)),
                warned=print_diagnostics,
            )
    except BaseException:
        for failure in failures:
            _show_failure(*failure)
        raise
    if for_programs():
        set_result(report_result(report, folder))
        return
    console = stdout()
    if not verbosity().quiet:
        console.print(summary(report, folder))
        console.print()
    console.print(f"report: {folder / PAGE}")
    for line in [line for step in report.steps for line in declines(step)]:
        say(f"declined: {line}", style="dim")
    known = sum(step.cached for step in report.steps)
    if known:
        which = f"{known} of {counted(len(report.steps), 'step')} {'is' if known == 1 else 'are'}"
        say(f"note: {which} from the cache; --no-cache runs them again", style="dim")
    for step in report.steps:
        for line in step.notes:
            say(f"note: {step.name}: {line}", style="dim")
    for line in report.warnings:
        say(f"warning: {line}", style="yellow")
    if not pipeline.targets:
        say(f"note: the recipe has no target, so {folder} contains only a report", style="dim")


def _show_failure(report: Report, folder: Path | None) -> None:
    """What ran and was measured before a compile failed, and where its report is. The messages follow."""
    from vggc.pipeline.output_folder import PAGE
    from vggc.report.terminal_tables import summary

    if for_programs():
        set_result(report_result(report, folder))
        return
    if (report.steps or report.requirements) and not verbosity().quiet:
        stdout().print(summary(report, Path()))
        stdout().print()
    for line in report.warnings:
        say(f"warning: {line}", style="yellow")
    if report.failure is not None and report.failure.look_at and not verbosity().quiet:
        steps = ", ".join(report.failure.look_at)
        stdout().print(f"steps to look at: {steps}; `vggc bisect` finds the one that costs the most")
    if folder is not None:
        stdout().print(f"report of what ran: {folder / PAGE}")


@click.command(cls=LoadingCommand)
@_RECIPE
@click.argument("model", type=_PATH, required=False)
@SET
@NO_PYTHON
@click.option("--rules", "only_rules", is_flag=True, help="Prove each rule of RECIPE on generated graphs.")
@verbosity_options
@json_option
@sarif_option
def check(recipe: Path, model: Path | None, overrides: tuple[str, ...], no_python: bool, only_rules: bool) -> None:
    """Report all errors of RECIPE at once, and with MODEL also what cannot work for the model. Compiles nothing."""
    if only_rules:
        if model is not None or overrides:
            raise click.UsageError("--rules takes a file of rules, without a model and without --set")
        _check_rules(recipe, python=not no_python)
        return
    from vggc.pipeline.precheck import check_model

    pipeline = bound(recipe, overrides, model, python=not no_python)
    print_diagnostics(check_model(pipeline, model))
    steps = sum(1 for _ in pipeline.steps())
    if for_programs():
        named = None if model is None else str(model)
        set_result({"recipe": str(recipe), "model": named, "steps": steps, "targets": len(pipeline.targets)})
        return
    stdout().print(f"{recipe}: no errors ({counted(steps, 'step')}, {counted(len(pipeline.targets), 'target')})")


def _check_rules(path: Path, *, python: bool) -> None:
    from vggc.binding.rule_files import bind_rule_file
    from vggc.grammar.kept_trees import read_tree
    from vggc.pattern.instances import proof_messages, prove_rule

    rules, warnings = bind_rule_file(read_tree(path), python=python)
    proofs = []
    with progress() as show:
        for rule in rules:
            show.begin(f"proving {rule.name}")
            proofs.append(prove_rule(rule))
    messages = proof_messages(proofs)
    messages.extend(warnings)
    messages.raise_errors()
    print_diagnostics(messages.messages)
    graphs, proved = sum(each.instances for each in proofs), sum(each.proved for each in proofs)
    if for_programs():
        set_result({"recipe": str(path), "rules": len(proofs), "proved": proved, "graphs": graphs})
        return
    stdout().print(f"{path}: {proved} of {len(proofs)} rules hold, on {graphs} graphs")


@click.command(cls=LoadingCommand)
@_RECIPE
@_MODEL
@SET
@NO_PYTHON
@no_cache_option
@threads_option
@verbosity_options
@json_option
def plan(recipe: Path, model: Path, overrides: tuple[str, ...], no_python: bool) -> None:
    """Show what each step of RECIPE would change in MODEL, and what it would decline and why. Writes nothing."""
    from vggc.cli.step_details import detailed
    from vggc.pipeline.compile import plan_model
    from vggc.report import terminal_tables

    pipeline = bound(recipe, overrides, model, python=not no_python)
    with progress() as show:
        report = plan_model(
            pipeline, model, progress=show, stepped=detailed(lambda record, graph: None), warned=print_diagnostics
        )
    if for_programs():
        set_result(report_result(report, None))
        return
    stdout().print(terminal_tables.plan(report))


@click.command(cls=LoadingCommand)
@_RECIPE
@_MODEL
@SET
@NO_PYTHON
@click.option("-o", "--output", type=_PATH, metavar="FILE", help="The lock file. [default: <recipe>.lock beside it]")
@no_cache_option
@threads_option
@verbosity_options
def lock(recipe: Path, model: Path, overrides: tuple[str, ...], no_python: bool, output: Path | None) -> None:
    """Run the steps and gates of RECIPE on MODEL, and write what they depend on and what they made to a lock file.

    A compile with --locked refuses to make anything else.
    """
    from vggc.pipeline.lock import lock_path

    write_lock(bound(recipe, overrides, model, python=not no_python), model, output or lock_path(recipe))


@click.command(cls=LoadingCommand)
@_MODEL
@click.argument("node")
def explain(model: Path, node: str) -> None:
    """Show which recipe line, pass and original nodes the node NODE of a compiled MODEL comes from."""
    from vggc.cli.model_pages import node_page
    from vggc.graph import Graph

    stdout().print(node_page(Graph.load(model), node))


@click.command(cls=LoadingCommand)
@click.argument("name", required=False, shell_complete=completed(pass_names))
@click.option("--markdown", is_flag=True, help="Write the pass catalogue of the documentation.")
@json_option
def passes(name: str | None, markdown: bool) -> None:
    """List the passes, or show one pass with its options."""
    from vggc.binding.registry import shipped
    from vggc.cli.pass_pages import catalogue, pass_list, pass_page

    if markdown:
        click.echo(catalogue(), nl=False)
        return
    page = pass_page(name) if name else pass_list()
    if for_programs():
        set_result(pass_result([name] if name else list(shipped().passes)))
        return
    stdout().print(page)


@click.command(cls=LoadingCommand)
@_MODEL
@click.option("--groups", is_flag=True, help="Show which channels must be pruned together, and which cannot be pruned.")
@click.option("--target", type=FLAVOURS, help="Show everything that this target refuses.")
@COMPUTE
@verbosity_options
@json_option
def inspect(model: Path, groups: bool, target: str | None, compute: tuple[str, ...]) -> None:
    """Show a model: operators, shapes, parameters, MACs, bytes, and what TensorRT would refuse."""
    from vggc.cli.diagnosis_page import diagnosis_page
    from vggc.cli.model_pages import groups_page, model_page
    from vggc.graph import Graph

    if compute and not target:
        raise click.UsageError("--compute needs --target")
    check_compute(compute)
    graph = Graph.load(model)
    graph.infer_shapes(check=True)
    if for_programs():
        set_result(_inspected(graph, model, target, compute, groups=groups))
        return
    if target:
        with progress() as show:
            show.begin(f"checking for {target}")
            page = diagnosis_page(graph, target, compute)
        stdout().print(page)
        return
    stdout().print(groups_page(graph) if groups else model_page(graph, model))


def _inspected(graph: Graph, model: Path, target: str | None, compute: tuple[str, ...], *, groups: bool) -> Any:
    """What `vggc inspect` says about a model to programs."""
    from vggc.cli.machine_results import findings_result, groups_result, model_result
    from vggc.targets.diagnosis import diagnose

    result = model_result(graph, model)
    if groups:
        result["groups"] = groups_result(graph)
    if target:
        with progress() as show:
            show.begin(f"checking for {target}")
            result["diagnosis"] = findings_result(target, diagnose(graph, target, compute))
    return result
