"""The commands about targets: what one would refuse of a model, and whether an engine can be built again."""

from __future__ import annotations

from pathlib import Path

import click

from vggc.cli.console import print_diagnostics, progress, stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.diagnostics import CompileError, fail

_PATH = click.Path(path_type=Path)
FLAVOURS = click.Choice(["tensorrt_rtx", "tensorrt"])
COMPUTE = click.option(
    "--compute", multiple=True, metavar="SM", help="A compute capability to hold it against, as sm86 (repeatable)."
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
    help="For whom.",
)
@COMPUTE
def lint(model: Path, target: str, compute: tuple[str, ...]) -> None:
    """Find what TARGET rejects, runs otherwise than MODEL says, or runs slowly: types, quantization, every node.

    Ends with exit status 1 when there is an error, with 0 when there are warnings only.
    """
    from vggc.cli.diagnosis import count, title
    from vggc.graph import Graph
    from vggc.targets.diagnosis import diagnose

    check_compute(compute)
    graph = Graph.load(model)
    graph.infer_shapes(check=True)
    with progress() as tell:
        tell(f"asking {target}")
        found = diagnose(graph, target, compute)
    messages = [each.diagnostic() for each in found]
    if any(each.severity == "error" for each in found):
        raise CompileError(*messages)
    if messages:
        print_diagnostics(messages)
    stdout().print(f"{model}: {count(found)} ({title(target)})")


@click.command(cls=LoadingCommand)
@_SIDECAR
@_COMPILED
def rebuild(sidecar: Path, model: Path | None) -> None:
    """Build the engine that SIDECAR (model.engine.json) describes again, and say whether it is the same.

    Ends with exit status 1 when it is not and should be. Writes nothing.
    """
    from vggc.targets.engine_file import read_sidecar
    from vggc.targets.rebuild import rebuild as build_again

    described = read_sidecar(sidecar)
    with progress() as tell:
        tell("building the engine again")
        made = build_again(described, model)
    name = described.engine.name
    if made.same:
        stdout().print(f"{name}: built again from {made.model}, byte for byte the same ({made.engine.sha256[:16]})")
    elif made.excuse:
        stdout().print(f"{name}: built again from {made.model}; its bytes differ, which says nothing: {made.excuse}")
    else:
        raise fail(
            f"the engine built again from `{made.model}` is not `{name}`: its SHA-256 is {made.engine.sha256[:16]}...",
            help="the recorded engine was not built from this model in this way",
        )


@click.command(cls=LoadingCommand)
@_SIDECAR
@_COMPILED
def validate(sidecar: Path, model: Path | None) -> None:
    """Run the engine that SIDECAR (model.engine.json) describes on the GPU here, and compare it with onnxruntime.

    What comes of it is written into SIDECAR as `validated_on`.
    """
    from vggc.targets.engine_file import read_sidecar
    from vggc.targets.validation import validate as run_and_compare

    described = read_sidecar(sidecar)
    with progress() as tell:
        tell("running the engine")
        found = run_and_compare(described, model)
    for each in found.facts["runs"]:
        shapes = ", ".join(f"{name} {shape}" for name, shape in each["shapes"].items())
        stdout().print(f"profile {each['profile']}: {shapes}: {each['milliseconds']:.3f} ms")
    gpu, name = found.facts["gpu"], described.engine.name
    stdout().print(f"{name}: runs on {gpu}, largest relative error {found.error:.1e} (allowed {found.tolerance:.0e})")


@click.command(cls=LoadingCommand)
@click.argument("name", required=False)
def targets(name: str | None) -> None:
    """List the targets, or show one target with its options."""
    from vggc.cli.target_pages import target_list, target_page

    stdout().print(target_page(name) if name else target_list())


def check_compute(compute: tuple[str, ...]) -> None:
    """Raise CompileError when a capability is none that engines are built for."""
    from vggc.targets.capabilities import compute_problems

    if compute and (problems := compute_problems(compute)):
        raise CompileError(*problems)
