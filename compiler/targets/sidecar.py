"""The JSON file beside an engine: what the engine is, and how it was built, so that it can be built again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vggc
from vggc.cache.keys import file_hash
from vggc.graph import Written
from vggc.targets.contract import Artifact, Provenance
from vggc.targets.engine_process import Engine, Job

FORMAT = 1
"""The version of the format. It changes when the meaning of a key changes."""

TYPES = {
    "float": "float32",
    "half": "float16",
    "bf16": "bfloat16",
    "fp8": "float8e4m3fn",
    "fp4": "float4e2m1",
    "e8m0": "float8e8m0",
}
"""TensorRT's names of types that have other names in ONNX and numpy."""


OPTIONS = (
    "workspace",
    "weight_streaming",
    "refit",
    "strip",
    "version_compatible",
    "hardware",
    "optimization",
)
"""Fields of a job that are recorded unchanged."""


def contents(engine: Engine, job: Job, model: Sequence[Written], provenance: Provenance) -> dict[str, Any]:
    """The sidecar's keys and values.

    `model` is the ONNX file that `job` built from, then its external data where it has some. `validated_on` is null
    until a GPU has run the engine with outputs that agree with those of the ONNX model.
    """
    return {
        "format": FORMAT,
        "vggc": vggc.__version__,
        "engine": {"file": Path(job.engine).name, "bytes": engine.bytes, "sha256": engine.sha256},
        "flavour": job.package,
        "network": job.name,
        "version": engine.version,
        "compute_capabilities": [each.lower() for each in engine.compute],
        "flags": engine.flags,
        "tf32": "TF32" in engine.flags,
        "workspace": engine.workspace,
        "options": {name: getattr(job, name) for name in OPTIONS},
        "timing_cache": {"sha256": file_hash(Path(job.timing_cache))} if job.timing_cache else None,
        "profiles": [
            {name: {"min": low, "opt": middle, "max": high} for name, (low, middle, high) in each.items()}
            for each in job.profiles
        ],
        "inputs": [_tensor(each) for each in engine.inputs],
        "outputs": [_tensor(each) for each in engine.outputs],
        "onnx": {"sha256": model[0].sha256, "data_sha256": model[1].sha256 if len(model) > 1 else None},
        "source": {"sha256": provenance["source_sha256"]},
        "recipe": {
            "path": provenance["recipe"],
            "sha256": provenance["recipe_sha256"],
            "parameters": provenance["parameters"],
        },
        "passes": provenance["passes"],
        "calibration": provenance["calibration"],
        "warnings": engine.warnings,
        "build_seconds": round(sum(engine.seconds.values()), 3),
        "validated_on": None,
    }


def write(path: Path, values: dict[str, Any], folder: Path, target: str) -> Artifact:
    """Write a sidecar with sorted keys, so that two sidecars can be compared line by line."""
    # Ranges and other values of the recipe language are written as in the recipe.
    path.write_text(json.dumps(values, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")
    return Artifact.of(path, folder, target)


def _tensor(tensor: dict[str, Any]) -> dict[str, Any]:
    return {"name": tensor["name"], "type": type_name(tensor["type"]), "shape": tensor["shape"]}


def type_name(tensorrt_name: str) -> str:
    """The ONNX name of a TensorRT type."""
    return TYPES.get(tensorrt_name, tensorrt_name)
