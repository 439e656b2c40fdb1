"""The targets `tensorrt_rtx` and `tensorrt`: an engine and its sidecar, through one adapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from vggc.diagnostics import CompileError, Diagnostic, fail, spelling_help
from vggc.graph import Graph
from vggc.signature import ValueType, inputs_of, outputs_of, shape_text, type_text
from vggc.targets import flavours, sidecar, tensorrt_rules
from vggc.targets.contract import Artifact, Lowering, target
from vggc.targets.engine_messages import TITLES
from vggc.targets.engine_process import Engine, Job, build
from vggc.targets.node_names import describer, origins
from vggc.targets.profiles import profile, profile_problems
from vggc.values import Bytes, Dimension, Seconds

Capability = Literal["sm75", "sm80", "sm86", "sm89", "sm120", "sm121"]
"""Compute capabilities of the GPUs that TensorRT RTX builds for: sm86 is 8.6."""

DEFAULT_CAPABILITIES: tuple[Capability, ...] = ("sm80", "sm86", "sm89", "sm120")
"""Built for unless the recipe says otherwise, as far as they have the model's types. sm75 has no float32 Gemm."""

_HOUR = Seconds(3600)


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    return (options["name"], f"{options['name']}.json")


def _check_tensorrt_rtx(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    return [*_check("tensorrt_rtx", inputs, options), *_check_compute(options["compute"])]


def _check_tensorrt(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    return _check("tensorrt", inputs, options)


@target(check=_check_tensorrt_rtx, files=_files)
def tensorrt_rtx(
    lowering: Lowering,
    *,
    compute: list[Capability] | None = None,
    shapes: dict[str, list[Dimension]] | None = None,
    batch: Dimension | None = None,
    tf32: bool = True,
    workspace: Bytes | None = None,
    timeout: Seconds = _HOUR,
    name: str = "model.engine",
) -> list[Artifact]:
    """Build an engine for GeForce and workstation RTX GPUs, ahead of time: no GPU is needed.

    The engine, and the JSON file beside it that says what it was built from, load with the same TensorRT RTX release.

    Options:
        compute: the GPUs to build for, by compute capability. By default sm80, sm86, sm89 and sm120 (GeForce RTX 30,
            40 and 50), less those that lack a type the model uses. One more costs a few bytes: kernels are made on
            the GPU, when the engine is loaded.
        shapes: min..opt..max of every dimension of an input that varies, {"input": [1..8..32, 3, 224, 224]}.
        batch: min..opt..max of the first dimension of every other input whose remaining ones are fixed. Models whose
            inputs are all fixed ignore it.
        tf32: let float32 convolutions and products round their factors to TF32.
        workspace: at most so much GPU memory for one layer; by default all there is.
        timeout: give up after this time.
        name: the engine's file name.
    """
    _refuse(_check_compute(compute))
    options = {"shapes": shapes, "batch": batch, "tf32": tf32, "workspace": workspace, "timeout": timeout, "name": name}
    return _lower(lowering, "tensorrt_rtx", options, lambda: _capabilities(lowering.graph, compute))


@target(check=_check_tensorrt, files=_files)
def tensorrt(
    lowering: Lowering,
    *,
    shapes: dict[str, list[Dimension]] | None = None,
    batch: Dimension | None = None,
    tf32: bool = True,
    workspace: Bytes | None = None,
    timeout: Seconds = _HOUR,
    name: str = "model.engine",
) -> list[Artifact]:
    """Build an engine for the NVIDIA GPU of this machine with TensorRT for data centres and Jetson.

    Options:
        shapes: min..opt..max of every dimension of an input that varies, {"input": [1..8..32, 3, 224, 224]}.
        batch: min..opt..max of the first dimension of every other input whose remaining ones are fixed. Models whose
            inputs are all fixed ignore it.
        tf32: let float32 convolutions and products round their factors to TF32.
        workspace: at most so much GPU memory for one layer; by default all there is.
        timeout: give up after this time.
        name: the engine's file name.
    """
    options = {"shapes": shapes, "batch": batch, "tf32": tf32, "workspace": workspace, "timeout": timeout, "name": name}
    return _lower(lowering, "tensorrt", options, tuple)


def _lower(
    lowering: Lowering, package: str, options: Mapping[str, Any], capabilities: Callable[[], Sequence[Capability]]
) -> list[Artifact]:
    graph = lowering.graph
    _refuse(_check_package(package, options))
    graph.infer_shapes()
    subject = tensorrt_rules.Subject(graph, package, flavours.release(package))
    _refuse(tensorrt_rules.problems(subject))
    compute = capabilities()
    shapes = profile(inputs_of(graph), options["shapes"], options["batch"])
    engine_file = lowering.claim(options["name"])
    sidecar_file = lowering.claim(f"{options['name']}.json")
    with lowering.model_file() as model:
        job = Job(
            package=package,
            model=str(model[0].path),
            engine=str(engine_file),
            name=lowering.model_name,
            compute=tuple(each.upper() for each in compute),
            tf32=options["tf32"],
            workspace=options["workspace"],
            profiles=(shapes,) if shapes else (),
            origins=origins(graph),
        )
        engine = build(job, describer(graph), timeout=options["timeout"])
    _check_outputs(graph, engine, engine_file, TITLES[package])
    values = sidecar.contents(engine, job, model, lowering.provenance)
    return [
        Artifact(engine_file.name, package, engine.bytes, engine.sha256),
        sidecar.write(sidecar_file, values, lowering.directory, package),
    ]


def _refuse(problems: Sequence[Diagnostic]) -> None:
    if problems:
        raise CompileError(*problems)


def _check(package: str, inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    return [
        *_check_package(package, options),
        *profile_problems(inputs, options["shapes"], options["batch"]),
    ]


def _check_package(package: str, options: Mapping[str, Any]) -> list[Diagnostic]:
    problems = [each] if (each := flavours.missing(package)) else []
    for name in ("workspace", "timeout"):
        if options[name] is not None and options[name] <= 0:
            problems.append(Diagnostic(f"{name}={options[name]} allows nothing"))
    return problems


def _check_compute(compute: Sequence[str] | None) -> list[Diagnostic]:
    if compute is None:
        return []
    if not compute:
        return [Diagnostic("compute=[] builds for no GPU", help=spelling_help("", get_args(Capability)))]
    known = get_args(Capability)
    if unknown := [each for each in compute if each not in known]:
        return [Diagnostic(f"unknown compute capability `{each}`", help=spelling_help(each, known)) for each in unknown]
    twice = sorted({each for each in compute if compute.count(each) > 1}, key=_number)
    return [Diagnostic(f"`{each}` stands twice in compute", help="write it once") for each in twice]


def _number(capability: str) -> int:
    return int(capability.removeprefix("sm"))


def _capabilities(graph: Graph, compute: Sequence[Capability] | None) -> Sequence[Capability]:
    """The capabilities to build for. Raises CompileError when one asked for lacks a type of the graph."""
    oldest, type_name = tensorrt_rules.oldest_capability(graph)
    if compute is None:
        return [each for each in DEFAULT_CAPABILITIES if _number(each) >= oldest]
    if lacking := [each for each in compute if _number(each) < oldest]:
        able = [each for each in get_args(Capability) if _number(each) >= oldest]
        raise fail(
            f"GPUs of {', '.join(lacking)} have no {type_name}, which the model uses",
            help=f"compute=[{', '.join(able)}] have it",
        )
    return compute


def _check_outputs(graph: Graph, engine: Engine, file: Path, title: str) -> None:
    """TensorRT trusts its own inference: a wrong declaration of an output goes unnoticed until somebody reads it."""
    built = {each["name"]: each for each in engine.outputs}
    problems = []
    for declared in outputs_of(graph):
        found = built.get(declared.name)
        if found is None:
            problems.append(Diagnostic(f"{title} has no output `{declared.name}` in the engine it built"))
            continue
        type_name, shape = sidecar.type_name(found["type"]), found["shape"]
        if type_name == type_text(declared.dtype).replace("_", "") and _agree(declared.shape, shape):
            continue
        computed = shape_text([None if each < 0 else each for each in shape])
        problems.append(
            Diagnostic(
                f"the model declares the output {declared}, but {title} computes {type_name} {computed}",
                help="export the model with the output's right type and shape",
            )
        )
    if problems:
        file.unlink()
        raise CompileError(*problems)


def _agree(declared: Sequence[int | str | None] | None, built: Sequence[int]) -> bool:
    if declared is None:
        return True
    return len(declared) == len(built) and all(
        one == other
        for one, other in zip(declared, built, strict=True)
        if isinstance(one, int) and one >= 0 and other >= 0
    )
