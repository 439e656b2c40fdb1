"""The commands about targets: check a model for a target, build an engine again, run an engine, show targets."""

from __future__ import annotations

from pathlib import Path

import click

from vggc.cli.completion_command import completed, target_names
from vggc.cli.console import print_diagnostics, stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.cli.machine_output import add_messages, for_programs, json_option, sarif_option, set_result, wants
from vggc.cli.machine_results import lint_result, target_result
from vggc.cli.progress import progress
from vggc.cli.threads_option import threads_option
from vggc.cli.verbosity import verbosity_options
from vggc.diagnostics import Code, CompileError, fail

_PATH = click.Path(path_type=Path)
FLAVOURS = click.Choice(["tensorrt_rtx", "tensorrt"])
COMPUTE = click.option(
    "--compute", multiple=True, metavar="SM", help="A compute capability to check for, like sm86 (repeatable)."
)
_SIDECAR = click.argument("sidecar", type=_PATH)
_COMPILED = click.option(
    "--onnx", "model", type=_PATH, metavar="FILE", help="The compiled model. [default: found beside SIDECAR]"
)


@click.command(cls=LoadingCommand)
@click.argument("model", type=_PATH)
@click.option(
    "--target",
    type=FLAVOURS,
    default="tensorrt_rtx",
    show_default=True,
    help="The target to check for.",
)
@COMPUTE
@click.option("--all", "all_nodes", is_flag=True, help="Name every node, not only the first nodes of each cause.")
@verbosity_options
@json_option
@sarif_option
def lint(model: Path, target: str, compute: tuple[str, ...], all_nodes: bool) -> None:
    """Find what TARGET rejects, computes wrongly or runs slowly in MODEL: types, quantization, every node.

    Nodes with the same fault share a message, which is that of the first one. Ends with exit status 1 when
    there is an error, and with 0 when there are only warnings.
    """
    from vggc.cli.diagnosis_page import count_causes, title
    from vggc.graph import Graph
    from vggc.targets.diagnosis import causes, diagnose
    from vggc.targets.node_names import parser_name

    check_compute(compute)
    graph = Graph.load(model)
    graph.infer_shapes(check=True)
    with progress() as show:
        show.begin(f"checking for {target}")
        findings = diagnose(graph, target, compute)
    found = causes(findings)
    if wants("sarif"):
        for each in findings:
            add_messages([each.diagnostic()], model, parser_name(each.node) if each.node is not None else "")
    else:
        print_diagnostics([each.diagnostic(all_nodes=all_nodes) for each in found])
    if for_programs():
        set_result(lint_result(model, target, title(target), found))
    else:
        stdout().print(f"{model}: {count_causes(found)} ({title(target)})")
    if any(each.severity == "error" for each in findings):
        raise click.exceptions.Exit(1)


@click.command(cls=LoadingCommand)
@_SIDECAR
@_COMPILED
@verbosity_options
def rebuild(sidecar: Path, model: Path | None) -> None:
    """Build the engine that SIDECAR (model.engine.json) describes again, and compare the two engines.

    Ends with exit status 1 when they differ but should be the same. Writes nothing.
    """
    from vggc.targets.engine_file import read_sidecar
    from vggc.targets.rebuild import rebuild as build_again

    described = read_sidecar(sidecar)
    with progress() as show:
        show.begin("building the engine again")
        rebuilt = build_again(described, model)
    name, sha256 = described.engine.name, rebuilt.engine.sha256[:16]
    if rebuilt.same:
        stdout().print(f"{name}: built again from {rebuilt.model}, byte for byte the same ({sha256})")
    elif rebuilt.excuse:
        stdout().print(f"{name}: built again from {rebuilt.model}; its bytes differ, as expected: {rebuilt.excuse}")
    else:
        raise fail(
            f"the engine built again from `{rebuilt.model}` is not `{name}`: its SHA-256 is {sha256}...",
            help="the recorded engine was not built from this model in this way",
            code=Code.OTHER_ENGINE,
        )


@click.command(cls=LoadingCommand)
@_SIDECAR
@_COMPILED
@threads_option
@verbosity_options
def validate(sidecar: Path, model: Path | None) -> None:
    """Run the engine that SIDECAR (model.engine.json) describes on this machine's GPU, and compare with onnxruntime.

    The result is written into SIDECAR as `validated_on`.
    """
    from vggc.targets.engine_file import read_sidecar
    from vggc.targets.validation import validate as run_and_compare

    described = read_sidecar(sidecar)
    with progress() as show:
        show.begin("running the engine")
        result = run_and_compare(described, model)
    for run in result.facts["runs"]:
        shapes = ", ".join(f"{name} {shape}" for name, shape in run["shapes"].items())
        stdout().print(f"profile {run['profile']}: {shapes}: {run['milliseconds']:.3f} ms")
    gpu, name = result.facts["gpu"], described.engine.name
    stdout().print(f"{name}: runs on {gpu}, largest relative error {result.error:.1e} (allowed {result.tolerance:.0e})")


@click.command(cls=LoadingCommand)
@click.argument("name", required=False, shell_complete=completed(target_names))
@json_option
def targets(name: str | None) -> None:
    """List the targets, or show one target with its options."""
    from vggc.binding.registry import shipped
    from vggc.cli.target_pages import target_list, target_page

    page = target_page(name) if name else target_list()
    if for_programs():
        set_result(target_result([name] if name else list(shipped().targets)))
        return
    stdout().print(page)


def check_compute(compute: tuple[str, ...]) -> None:
    """Raise CompileError when engines cannot be built for a capability."""
    from vggc.targets.capabilities import compute_problems

    if compute and (problems := compute_problems(compute)):
        raise CompileError(*problems)
