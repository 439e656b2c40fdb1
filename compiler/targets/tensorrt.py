"""The targets `tensorrt_rtx` and `tensorrt`. Each writes an engine, its sidecar and the log of its build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from vggc.diagnostics import CompileError, Diagnostic
from vggc.graph.signature import ValueType
from vggc.targets.capabilities import Capability, chosen, compute_problems
from vggc.targets.contract import Artifact, Lowering, target
from vggc.targets.engine_target import branch_problems, lower_engine, option_problems
from vggc.values import Bytes, Dimension, File, Seconds, Within

Shapes = dict[str, list[Dimension]]

_HOUR = Seconds(3600)

_AHEAD = "TensorRT RTX builds without the GPU, and its engines"
_LACKING = {
    "timing_cache": f"{_AHEAD} choose kernels when they are loaded, so there are no timings to keep",
    "keep_timings": f"{_AHEAD} choose kernels when they are loaded, so there are no timings to keep",
    "optimization": f"{_AHEAD} choose kernels when they are loaded, so there is no level to set",
    "hardware": "name the GPUs with compute=[...]",
    "version_compatible": "its engines load only with the release that built them",
    "refit": "TensorRT RTX cannot build refittable engines without the GPU",
    "strip": "TensorRT RTX cannot build engines without weights when there is no GPU",
}


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    timings = (f"{options['name']}.timings",) if options.get("keep_timings") else ()
    return (options["name"], f"{options['name']}.json", f"{options['name']}.log", *timings)


def _check_tensorrt_rtx(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    return [*option_problems("tensorrt_rtx", inputs, options), *compute_problems(options["compute"])]


def _check_tensorrt(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    return option_problems("tensorrt", inputs, options)


@target(check=_check_tensorrt_rtx, check_graph=partial(branch_problems, "tensorrt_rtx"), files=_files, lacking=_LACKING)
def tensorrt_rtx(
    lowering: Lowering,
    *,
    compute: list[Capability] | None = None,
    shapes: Shapes | list[Shapes] | None = None,
    batch: Dimension | list[Dimension] | None = None,
    tf32: bool = True,
    workspace: Bytes | None = None,
    weight_streaming: bool = False,
    timeout: Seconds = _HOUR,
    name: str = "model.engine",
) -> list[Artifact]:
    """Build an engine for GeForce and workstation RTX GPUs. Building needs no GPU.

    The engine loads only with the TensorRT RTX release that built it. A JSON file beside it says how it was built.

    Options:
        compute: the GPUs to build for, by compute capability. By default sm80, sm86, sm89 and sm120 (GeForce RTX 30,
            40 and 50), except those that do not support a type of the model. Another one costs only a few bytes,
            because kernels are made on the GPU when the engine is loaded.
        shapes: min..opt..max of every dimension of an input that varies: {"input": [1..8..32, 3, 224, 224]}. A list
            makes one engine with an optimisation profile for each entry.
        batch: min..opt..max of the first dimension of every other input whose remaining dimensions are fixed. A list
            makes a profile for each entry. Models with fixed inputs ignore it.
        tf32: allow float32 convolutions and matrix products to round their factors to TF32.
        workspace: the most GPU memory that one layer may use; by default all of it.
        weight_streaming: allow loading the engine with a part of its weights outside of GPU memory.
        timeout: stop the build after this time.
        name: the engine's file name.
    """
    if problems := compute_problems(compute):
        raise CompileError(*problems)
    options: dict[str, Any] = {"shapes": shapes, "batch": batch, "tf32": tf32, "workspace": workspace}
    options |= {"timeout": timeout, "name": name}
    options |= {"weight_streaming": weight_streaming}
    return lower_engine(lowering, "tensorrt_rtx", options, lambda graph: chosen(graph, compute))


@target(
    check=_check_tensorrt,
    check_graph=partial(branch_problems, "tensorrt"),
    files=_files,
    lacking={"compute": "TensorRT builds for the GPU it runs on"},
)
def tensorrt(
    lowering: Lowering,
    *,
    shapes: Shapes | list[Shapes] | None = None,
    batch: Dimension | list[Dimension] | None = None,
    tf32: bool = True,
    workspace: Bytes | None = None,
    weight_streaming: bool = False,
    optimization: Annotated[int, Within(0, 5)] | None = None,
    hardware: Literal["ampere_plus", "same_capability"] | None = None,
    version_compatible: bool = False,
    refit: bool = False,
    strip: bool = False,
    timing_cache: File | None = None,
    keep_timings: bool = False,
    timeout: Seconds = _HOUR,
    name: str = "model.engine",
) -> list[Artifact]:
    """Build an engine for the NVIDIA GPU of this machine with TensorRT for data centres and Jetson.

    Options:
        shapes: min..opt..max of every dimension of an input that varies: {"input": [1..8..32, 3, 224, 224]}. A list
            makes one engine with an optimisation profile for each entry.
        batch: min..opt..max of the first dimension of every other input whose remaining dimensions are fixed. A list
            makes a profile for each entry. Models with fixed inputs ignore it.
        tf32: allow float32 convolutions and matrix products to round their factors to TF32.
        workspace: the most GPU memory that one layer may use; by default all of it.
        weight_streaming: allow loading the engine with a part of its weights outside of GPU memory.
        optimization: how long to search for fast kernels, from 0 to 5. TensorRT's default is 3.
        hardware: make the engine load on other GPUs too: ampere_plus on Ampere and newer, same_capability on GPUs
            with the compute capability of this one. It costs speed.
        version_compatible: make the engine load with newer releases of TensorRT. It then contains code that runs on
            the CPU, which the program that loads it must allow.
        refit: allow replacing the weights later.
        strip: build the engine without its weights. A refit adds them.
        timing_cache: the timings of an earlier build on this GPU, so that they need not be measured again.
        keep_timings: write this build's timings to `<name>.timings`, for timing_cache.
        timeout: stop the build after this time.
        name: the engine's file name.
    """
    options: dict[str, Any] = {"shapes": shapes, "batch": batch, "tf32": tf32, "workspace": workspace}
    options |= {"timeout": timeout, "name": name}
    options |= {"weight_streaming": weight_streaming, "optimization": optimization, "hardware": hardware}
    options |= {"version_compatible": version_compatible, "refit": refit, "strip": strip}
    options |= {"timing_cache": timing_cache, "keep_timings": keep_timings}
    return lower_engine(lowering, "tensorrt", options, lambda graph: ())
