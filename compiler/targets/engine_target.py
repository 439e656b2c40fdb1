"""What both TensorRT targets do: verify the graph, build the engine, check it, and write its sidecar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vggc import __version__
from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.graph import Graph
from vggc.graph.signature import ValueType, inputs_of
from vggc.targets import flavours, sidecar
from vggc.targets.contract import Artifact, Lowering
from vggc.targets.diagnosis import with_importer
from vggc.targets.engine_messages import TITLES, ModelRefused
from vggc.targets.engine_process import Job, Profile, build
from vggc.targets.import_findings import import_findings, output_mismatches
from vggc.targets.node_names import describer, origins
from vggc.targets.profiles import profiles, profiles_problems
from vggc.targets.verifier import Finding, LoweredGraph, findings
from vggc.targets.verifier.branches import branch_ranks


def lower_engine(
    lowering: Lowering, package: str, options: Mapping[str, Any], capabilities: Callable[[Graph], tuple[str, ...]]
) -> list[Artifact]:
    """Build the engine, and write its sidecar and log. Raises CompileError, and then leaves none of these files."""
    graph = lowering.graph
    _refuse(_package_problems(package, options))
    graph.infer_shapes()
    shapes = profiles(inputs_of(graph), options["shapes"], options["batch"])
    compute = capabilities(graph)
    subject = LoweredGraph(graph, package, flavours.release(package), compute)
    verified = findings(subject, batch_varies=_batch_varies(shapes))
    if any(each.severity == "error" for each in verified):
        _refuse_all(with_importer(graph, package, verified))
    name = options["name"]
    files = {each: lowering.claim(name + suffix) for each, suffix in _SUFFIXES.items()}
    with lowering.model_file() as model:
        job = Job(
            package=package,
            model=str(model[0].path),
            engine=str(files["engine"]),
            name=_network_name(lowering),
            compute=tuple(each.upper() for each in compute),
            profiles=tuple(shapes),
            origins=origins(graph),
            timings=str(lowering.claim(f"{name}.timings")) if options.get("keep_timings") else None,
            log=str(files["log"]),
            **{each: options[each] for each in _PASSED_ON if each in options},
        )
        try:
            engine = build(job, describer(graph), timeout=options["timeout"])
        except ModelRefused as refused:
            raise _every_refusal(graph, package, refused) from None
    if mismatches := output_mismatches(graph, engine.outputs, TITLES[package]):
        for file in (files["engine"], files["log"]):
            file.unlink()
        _refuse([each.diagnostic() for each in mismatches])
    lowering.warn(f"{each.message}; {each.help}" for each in verified)
    lowering.engines[name] = (package, files["engine"])
    values = sidecar.contents(engine, job, model, lowering.provenance)
    return [
        Artifact(files["engine"].name, package, engine.bytes, engine.sha256),
        sidecar.write(files["sidecar"], values, lowering.directory, package),
        *(Artifact.of(file, lowering.directory, package) for file in _log_files(files["log"], job)),
    ]


def _network_name(lowering: Lowering) -> str:
    """The name inside the engine: `vgg16 (vggc 0.1.0, fold.opt 1a2b3c4d5e6f)`, with the hash of the recipe."""
    provenance = lowering.provenance
    recipe = Path(provenance["recipe"]).name
    return f"{lowering.model_name} (vggc {__version__}, {recipe} {provenance['recipe_sha256'][:12]})"


_SUFFIXES = {"engine": "", "sidecar": ".json", "log": ".log"}

_PASSED_ON = (*sidecar.OPTIONS, "tf32", "timing_cache")
"""Options that are passed to the build unchanged."""


def option_problems(package: str, inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    """What is wrong with a target's options for a model with these inputs, before anything is compiled."""
    return [
        *_package_problems(package, options),
        *profiles_problems(inputs, options["shapes"], options["batch"]),
    ]


def branch_problems(package: str, graph: Graph) -> list[Diagnostic]:
    """The If nodes that cannot be built while the sizes of the inputs vary.

    They are reported together with inputs that have no fixed shape, because the same shapes solve both.
    """
    if flavours.missing(package):
        return []
    return [each.diagnostic() for each in branch_ranks(LoweredGraph(graph, package, flavours.release(package)))]


def _package_problems(package: str, options: Mapping[str, Any]) -> list[Diagnostic]:
    problems = [each] if (each := flavours.missing(package)) else []
    for name in ("workspace", "timeout"):
        if options[name] is not None and options[name] <= 0:
            problems.append(Diagnostic(f"{name} must be more than 0, not {options[name]}", code=Code.TARGET_OPTIONS))
    return problems


def _refuse(problems: Sequence[Diagnostic]) -> None:
    if problems:
        raise CompileError(*problems)


def _refuse_all(refused: Sequence[Finding]) -> None:
    _refuse([each.diagnostic() for each in refused if each.severity == "error"])


def _batch_varies(shapes: Sequence[Profile]) -> bool:
    """Whether the first dimension of an input has more than one size, in one profile or in several."""
    sizes: dict[str, set[int]] = {}
    for profile in shapes:
        for name, limits in profile.items():
            sizes.setdefault(name, set()).update(limit[0] for limit in limits if limit)
    return any(len(each) > 1 for each in sizes.values())


def _every_refusal(graph: Graph, package: str, first: ModelRefused) -> CompileError:
    """All nodes that the importer refuses, where it stopped at the first."""
    refused: list[Finding] = import_findings(graph, package)
    # The second import reads another file and might succeed. Then the first error is reported.
    return CompileError(*(each.diagnostic() for each in refused)) if refused else first


def _log_files(log: Path, job: Job) -> list[Path]:
    return [log, *([Path(job.timings)] if job.timings else [])]
