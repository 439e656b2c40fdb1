"""Run an engine on this machine's GPU, and compare its outputs with onnxruntime's."""

from __future__ import annotations

import datetime
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vggc.data.npz import write_npz
from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.execution.array_distance import distance
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.graph.signature import ValueType, inputs_of
from vggc.targets.engine_file import Sidecar, record_validation
from vggc.targets.engine_process import ask
from vggc.targets.node_names import describer
from vggc.targets.rebuild import compiled_model
from vggc.targets.verifier.types import type_name, type_of, values_of

REPEATS = 20

TOLERANCES = (
    (("int8", "float8e4m3fn", "int4", "float4e2m1"), 5e-2),
    (("bfloat16",), 3e-2),
    (("float16",), 1e-2),
)
"""By the coarsest type of a model, the largest error of an output, relative to the output's largest number."""

TF32 = 5e-3
FLOAT32 = 1e-4


@dataclass(frozen=True)
class Validation:
    """The result of a validation: `error` is the largest of all outputs, relative to the output's largest number.

    `facts` are recorded in the sidecar.
    """

    facts: dict[str, Any]
    error: float
    tolerance: float


def validate(sidecar: Sidecar, model: Path | None = None, *, timeout: float | None = 600) -> Validation:
    """Run an engine at the min, opt and max shapes of each profile, and compare its outputs with onnxruntime's.

    The result is recorded in the sidecar as `validated_on`. Raises CompileError when there is no GPU, the engine does
    not load or run, its model is not found, or the error of an output exceeds the tolerance of the model's types.
    """
    if sidecar.values["options"]["strip"]:
        raise fail(
            "the engine was built without its weights",
            help="refit it, or build it without strip=true",
            code=Code.OTHER_ENGINE,
        )
    source = compiled_model(sidecar, model)
    graph = Graph.load(source)
    graph.infer_shapes()
    session = Session(graph, optimise="none")
    with tempfile.TemporaryDirectory(prefix="vggc-validate-") as folder:
        runs = _runs(sidecar, graph, session, Path(folder))
        values = sidecar.values
        job = {
            "package": values["flavour"],
            "engine": str(sidecar.engine),
            "sha256": values["engine"]["sha256"],
            "host_code": values["options"]["version_compatible"],
            "runs": [{key: each[key] for key in ("profile", "inputs", "outputs")} for each in runs],
            "repeats": REPEATS,
        }
        done, _ = ask("vggc.targets.run_engine", job, describer(graph), timeout=timeout)
        allowed = tolerance(sidecar, graph)
        error = max(_compare(session, each, allowed) for each in runs)
    facts = {
        **{key: done[key] for key in ("gpu", "compute_capability", "cuda", "version")},
        "largest_error": error,
        "tolerance": allowed,
        "compared_with": "onnxruntime on the CPU",
        "runs": [
            {"profile": each["profile"], "shapes": each["shapes"], "milliseconds": round(taken, 4)}
            for each, taken in zip(runs, done["milliseconds"], strict=True)
        ],
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    record_validation(sidecar, facts)
    return Validation(facts, error, allowed)


def tolerance(sidecar: Sidecar, graph: Graph) -> float:
    """The largest allowed error of an engine's outputs, by the coarsest type that the model computes with."""
    return allowed_error(graph, TF32 if sidecar.values["tf32"] else FLOAT32)


def allowed_error(graph: Graph, float32: float = FLOAT32) -> float:
    """The largest error that the coarsest type in a graph explains; `float32` when it has no coarser type."""
    names = {type_name(type_of(value)) for value, _ in values_of(graph)}
    for types, allowed in TOLERANCES:
        if names & set(types):
            return allowed
    return float32


def _runs(sidecar: Sidecar, graph: Graph, session: Session, folder: Path) -> list[dict[str, Any]]:
    """The runs: for each profile its min, opt and max shapes, without repeated shapes."""
    inputs = inputs_of(graph)
    runs: list[dict[str, Any]] = []
    for number, profile in enumerate(sidecar.values["profiles"] or [{}]):
        seen: list[dict[str, list[int]]] = []
        for which in ("min", "opt", "max"):
            shapes = {name: limits[which] for name, limits in profile.items()}
            if shapes in seen:
                continue
            seen.append(shapes)
            wanted = [_with_shape(each, shapes) for each in inputs]
            if any(0 in (each.shape or ()) for each in wanted):
                continue
            feeds = random_inputs(session, wanted)[0]
            inputs_file, outputs_file = folder / f"{len(runs)}.npz", folder / f"{len(runs)}.out.npz"
            write_npz(inputs_file, feeds)
            run = {"profile": number, "inputs": str(inputs_file), "outputs": str(outputs_file)}
            runs.append({**run, "shapes": {name: list(each.shape) for name, each in feeds.items()}, "feeds": feeds})
    return runs


def _with_shape(value: ValueType, shapes: dict[str, list[int]]) -> ValueType:
    return value._replace(shape=tuple(shapes[value.name])) if value.name in shapes else value


def _compare(session: Session, run: dict[str, Any], allowed: float) -> float:
    """The largest error of a run's outputs. Raises CompileError when one exceeds the allowed error."""
    feeds: Feeds = run["feeds"]
    expected = session.run(feeds)
    worst = 0.0
    with np.load(run["outputs"]) as computed:
        for name, values in expected.items():
            if name not in computed:
                raise fail(f"the engine has no output `{name}`", code=Code.ENGINE_INTERFACE)
            difference = distance(values, computed[name].astype(values.dtype, copy=False))
            if difference.error > allowed:
                shapes = ", ".join(f"`{each}` {shape}" for each, shape in run["shapes"].items())
                raise CompileError(
                    Diagnostic(
                        f"the engine's output `{name}` differs from onnxruntime's: {difference}",
                        facts=(("inputs", shapes), ("allowed", f"{allowed:g}")),
                        help="build with tf32=false to see whether rounding explains it",
                        code=Code.ENGINE_DIFFERS,
                    )
                )
            worst = max(worst, difference.error)
    return worst
