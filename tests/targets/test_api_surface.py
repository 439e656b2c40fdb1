"""The adapter uses what each TensorRT has: its source held against the member names that releases expose in Python.

`api/*.json` are those names by class, as `dir()` gives them in each release (`module` is the package itself).
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from vggc.targets import build_engine, engine_child, engine_config, import_probe, run_engine
from vggc.targets.engine_child import Failed
from vggc.targets.engine_config import FLAGS, HARDWARE, configure

API = Path(__file__).parent / "api"
RELEASES = sorted(each.stem for each in API.glob("*.json"))
OLDEST = "tensorrt-10.3"
"""Older than the adapter supports; kept to show what a release may lack."""

MODULES = (build_engine, engine_child, engine_config, import_probe, run_engine)
CLASSES = {
    "trt": "module",
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "import_error": "ParserError",
    "profile": "IOptimizationProfile",
    "layer": "ILayer",
    "tensor": "ITensor",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
}
"""What the adapter's variables hold."""

NOT_RECORDED = {"TensorIOMode.INPUT"}
"""Members of classes whose names were not taken down; the installed release has them."""

AHEAD_OF_TIME = {
    "ComputeCapability",
    "num_compute_capabilities",
    "get_compute_capability",
    "set_compute_capability",
}
"""Only where engines are built for other GPUs than the one at hand; the adapter asks before it uses them."""


def names(release: str) -> dict[str, set[str]]:
    return {kind: set(text.split()) for kind, text in json.loads((API / f"{release}.json").read_text()).items()}


def used() -> Iterator[tuple[str, str]]:
    """Class and member of everything the adapter's source takes from TensorRT."""
    for module in MODULES:
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or node.attr.startswith("__"):
                continue
            owner = node.value
            if isinstance(owner, ast.Name) and owner.id in CLASSES:
                yield CLASSES[owner.id], node.attr
            elif isinstance(owner, ast.Attribute) and isinstance(owner.value, ast.Name) and owner.value.id == "trt":
                yield owner.attr, node.attr
    yield from (("BuilderFlag", flag) for flag in FLAGS.values())
    yield from (("HardwareCompatibilityLevel", level) for level in HARDWARE.values())


def missing(known: dict[str, set[str]]) -> set[str]:
    return {f"{kind}.{member}" for kind, member in used() if member not in known.get(kind, set())}


def test_the_source_is_read() -> None:
    assert {
        ("module", "OnnxParser"),
        ("Builder", "build_serialized_network"),
        ("BuilderFlag", "TF32"),
        ("ParserError", "local_function_stack"),
        ("ILayer", "metadata"),
    } <= set(used())


@pytest.mark.parametrize("release", [each for each in RELEASES if each != OLDEST])
def test_every_release_has_what_the_adapter_uses(release: str) -> None:
    lacking = missing(names(release)) - NOT_RECORDED
    if release.startswith("tensorrt-"):
        lacking = {each for each in lacking if each.rpartition(".")[2] not in AHEAD_OF_TIME}
        lacking = {each for each in lacking if not each.startswith("ComputeCapability.")}
    assert lacking == set()


def test_a_release_that_lacks_something_is_found_out() -> None:
    assert "HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY" in missing(names(OLDEST))


@pytest.mark.parametrize("release", RELEASES)
def test_capabilities_are_asked_of_rtx_only(release: str) -> None:
    assert ("num_compute_capabilities" in names(release)["IBuilderConfig"]) == release.startswith("tensorrt_rtx")


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel here")
def test_the_release_that_is_installed() -> None:
    trt = importlib.import_module("tensorrt_rtx")
    known = {kind: set(dir(getattr(trt, kind, None))) for kind, _ in used()}
    assert missing(known | {"module": set(dir(trt))}) == set()


# --- from options to the configuration -----------------------------------------------------------------------

PLAIN = {
    "compute": [],
    "tf32": True,
    "workspace": None,
    "optimization": None,
    "hardware": None,
    "timing_cache": None,
    "profiles": [],
    **dict.fromkeys(FLAGS, False),
}


@pytest.fixture
def trt(fake_tensorrt: object) -> object:
    return importlib.import_module("tensorrt")


def test_each_option_sets_what_it_says(trt: object, tmp_path: Path) -> None:
    cache = tmp_path / "timings"
    cache.write_bytes(b"timings")
    job = PLAIN | {
        "tf32": False,
        "refit": True,
        "strip": True,
        "version_compatible": True,
        "weight_streaming": True,
        "hardware": "ampere_plus",
        "optimization": 5,
        "workspace": 1 << 20,
        "timing_cache": str(cache),
        "profiles": [{"x": [[1, 3], [2, 3], [4, 3]]}, {"x": [[8, 3], [8, 3], [8, 3]]}],
    }
    config = configure(trt, trt.Builder(None), job)  # type: ignore[attr-defined]
    assert sorted(each.name for each in config.flags) == [
        "REFIT",
        "STRIP_PLAN",
        "VERSION_COMPATIBLE",
        "WEIGHT_STREAMING",
    ]
    assert config.hardware_compatibility_level.name == "AMPERE_PLUS"
    assert (config.builder_optimization_level, config.workspace, config.cache) == (5, 1 << 20, b"timings")
    assert [each.shapes["x"][2] for each in config.profiles] == [[4, 3], [8, 3]]


@pytest.mark.usefixtures("trt")
def test_what_a_release_lacks_is_named(trt: object) -> None:
    with pytest.raises(Failed) as error:
        configure(trt, trt.Builder(None), PLAIN | {"hardware": "same_capability"})  # type: ignore[attr-defined]
    assert error.value.kind == "lacking"
    assert error.value.detail["what"] == "HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY"
