"""The target `triton`: a model repository for Triton Inference Server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.graph.signature import ValueType, inputs_of, outputs_of
from vggc.targets import triton_config
from vggc.targets.contract import Artifact, Lowering, file_name_problem, target
from vggc.targets.engine_file import read_sidecar_of
from vggc.targets.profiles import profiles
from vggc.values import Seconds, Within

PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "tensorrt": "tensorrt_plan"}
VERSION = "1"
"""Triton serves the highest version. Every compile writes a new repository, so there is only one."""

_MODEL = {"onnxruntime": "model.onnx", "tensorrt": "model.plan"}


def _folder(options: Mapping[str, Any]) -> str:
    return f"{options['repository']}/{options['name']}"


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    folder, model = _folder(options), _MODEL[options["platform"]]
    data = (f"{folder}/{VERSION}/{model}.data",) if options["platform"] == "onnxruntime" else ()
    return (f"{folder}/config.pbtxt", f"{folder}/{VERSION}/{model}", *data)


def _reads(options: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    # Triton loads engines with TensorRT, which does not load engines of TensorRT RTX.
    return {options["engine"]: ("tensorrt",)} if options["platform"] == "tensorrt" else {}


def _check(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    problems = [each for name in (options["repository"], options["name"]) if (each := file_name_problem(name))]
    preferred = options["preferred"] or []
    if preferred and options["delay"] is None:
        problems.append(
            Diagnostic("preferred=... needs delay=...: otherwise no request waits for others", code=Code.TRITON)
        )
    if options["delay"] is not None and options["max_batch"] == 0:
        problems.append(Diagnostic("delay=... needs max_batch=...: otherwise there are no batches", code=Code.TRITON))
    if too_large := [each for each in preferred if not 0 < each <= options["max_batch"]]:
        limit = f"max_batch={options['max_batch']}"
        problems.append(Diagnostic(f"preferred={too_large[0]} is not a batch size from 1 to {limit}", code=Code.TRITON))
    return problems + triton_config.problems(inputs, (), options["max_batch"])


def _check_engine(
    inputs: Sequence[ValueType], options: Mapping[str, Any], engine: Mapping[str, Any]
) -> list[Diagnostic]:
    limits = profiles(inputs, engine["shapes"], engine["batch"])
    largest = max((min(high[0] for _, _, high in profile.values()) for profile in limits), default=1)
    wrong = _too_small_batch(options["engine"], largest, options["max_batch"])
    return [wrong] if wrong else []


@target(check=_check, files=_files, reads=_reads, check_source=_check_engine, folders=True)
def triton(
    lowering: Lowering,
    *,
    name: str = "model",
    max_batch: Annotated[int, Within(0, 65536)] = 0,
    platform: Literal["onnxruntime", "tensorrt"] = "onnxruntime",
    engine: str = "model.engine",
    instances: Annotated[int, Within(1, 1024)] = 1,
    device: Literal["auto", "gpu", "cpu"] = "auto",
    delay: Seconds | None = None,
    preferred: list[int] | None = None,
    repository: str = "triton",
) -> list[Artifact]:
    """Write a model repository for Triton Inference Server: `<repository>/<name>/config.pbtxt` and the model.

    Options:
        name: the name of the model for clients.
        max_batch: combine requests into batches of at most this size; 0 serves the model with its fixed batch size.
        platform: onnxruntime serves the compiled model, tensorrt an engine that an earlier `target tensorrt` built.
            Triton does not load engines of tensorrt_rtx.
        engine: the engine's file name, for platform=tensorrt.
        instances: how many instances of the model run at the same time.
        device: where the instances run.
        delay: the longest time that a request waits for others to form a batch.
        preferred: batch sizes that Triton should prefer.
        repository: the folder to start Triton with: `tritonserver --model-repository=<repository>`.
    """
    options = {"name": name, "repository": repository, "max_batch": max_batch, "delay": delay, "preferred": preferred}
    graph = lowering.graph
    inputs, outputs = inputs_of(graph), outputs_of(graph)
    if problems := _check(inputs, options):
        raise CompileError(*problems)
    microseconds = None if delay is None else round(delay * 1_000_000)
    service = triton_config.Service(
        name, PLATFORMS[platform], max_batch, instances, device, tuple(preferred or ()), microseconds
    )
    config = triton_config.text(service, inputs, outputs)
    folder = lowering.claim_folder(f"{repository}/{name}")
    version = folder / VERSION
    version.mkdir()
    (folder / "config.pbtxt").write_text(config, encoding="ascii")
    written = [Artifact.of(folder / "config.pbtxt", lowering.directory, "triton")]
    if platform == "tensorrt":
        plan = version / _MODEL[platform]
        _place_engine(lowering, engine, max_batch, plan)
        return [*written, Artifact.of(plan, lowering.directory, "triton")]
    files = lowering.write_model(version / _MODEL[platform])
    return written + [Artifact.written(each, lowering.directory, "triton") for each in files]


def _place_engine(lowering: Lowering, engine: str, max_batch: int, plan: Path) -> None:
    """Put an engine of `tensorrt` into the repository. Raises CompileError when its largest batch is too small."""
    source = lowering.engine(engine, ("tensorrt",))
    values = read_sidecar_of(source).values
    largest = max((min(each["max"][0] for each in profile.values()) for profile in values["profiles"]), default=1)
    if wrong := _too_small_batch(engine, largest, max_batch):
        raise CompileError(wrong)
    try:
        os.link(source, plan)
    except OSError:
        # The file system does not support links.
        shutil.copyfile(source, plan)


def _too_small_batch(engine: str, largest: int, max_batch: int) -> Diagnostic | None:
    """The error for an engine whose largest batch is smaller than Triton's; None when it is not."""
    if largest >= max_batch:
        return None
    return Diagnostic(
        f"the engine `{engine}` takes batches of at most {largest}, but Triton would send {max_batch}",
        help=f"write max_batch={largest}, or build the engine with batch=1..{max_batch}",
        code=Code.TRITON,
    )
