"""From a job's options to TensorRT's builder configuration. Runs in the child process that builds the engine.

Whether a release has a feature is decided by looking up the feature's name in the package, never by version number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vggc.targets.engine_child import Failed

FLAGS = {
    "weight_streaming": "WEIGHT_STREAMING",
    "refit": "REFIT",
    "strip": "STRIP_PLAN",
    "version_compatible": "VERSION_COMPATIBLE",
}
"""By option, the trt.BuilderFlag that it sets."""

HARDWARE = {"ampere_plus": "AMPERE_PLUS", "same_capability": "SAME_COMPUTE_CAPABILITY"}
"""By value of the option `hardware`, the trt.HardwareCompatibilityLevel."""

Shapes = dict[str, list[list[int]]]


def configure(trt: Any, builder: Any, job: dict[str, Any]) -> Any:
    """The configuration that a job asks for. Raises Failed for what this release does not have."""
    config = builder.create_builder_config()
    _set_capabilities(trt, config, job["compute"])
    if job["tf32"]:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)
    for option, flag in FLAGS.items():
        if job[option]:
            config.set_flag(_member(trt, "BuilderFlag", flag, option))
    if job["workspace"] is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, job["workspace"])
    if job["optimization"] is not None:
        config.builder_optimization_level = job["optimization"]
    if job["hardware"] is not None:
        level = _member(trt, "HardwareCompatibilityLevel", HARDWARE[job["hardware"]], "hardware")
        config.hardware_compatibility_level = level
    if job["timing_cache"] is not None:
        _take_timings(config, Path(job["timing_cache"]))
    _add_profiles(builder, config, job["profiles"])
    return config


def capabilities(config: Any) -> list[str]:
    """The names of the compute capabilities an engine is built for; none when it is built for this machine's GPU."""
    if not hasattr(config, "num_compute_capabilities"):
        return []
    return [config.get_compute_capability(index).name for index in range(config.num_compute_capabilities)]


def flags(trt: Any, config: Any) -> list[str]:
    """The names of the flags that are set."""
    return sorted(name for name, flag in trt.BuilderFlag.__members__.items() if config.get_flag(flag))


def _member(trt: Any, kind: str, name: str, option: str) -> Any:
    member = getattr(getattr(trt, kind, None), name, None)
    if member is None:
        raise Failed("lacking", option=option, version=trt.__version__, what=f"{kind}.{name}")
    return member


def _set_capabilities(trt: Any, config: Any, names: list[str]) -> None:
    if not names:
        return
    if unknown := [each for each in names if not hasattr(trt.ComputeCapability, each)]:
        known = [each for each in trt.ComputeCapability.__members__ if each.startswith("SM")]
        raise Failed("capability", version=trt.__version__, unknown=unknown, known=known)
    config.num_compute_capabilities = len(names)
    for index, name in enumerate(names):
        config.set_compute_capability(getattr(trt.ComputeCapability, name), index)


def _take_timings(config: Any, file: Path) -> None:
    """Use the timings of an earlier build. Raises Failed when they belong to another GPU or release."""
    cache = config.create_timing_cache(file.read_bytes())
    if cache is None or not config.set_timing_cache(cache, False):
        raise Failed("timing_cache", path=str(file))


def _add_profiles(builder: Any, config: Any, profiles: list[Shapes]) -> None:
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for name, (low, middle, high) in shapes.items():
            profile.set_shape(name, low, middle, high)
        config.add_optimization_profile(profile)
