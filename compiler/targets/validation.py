"""Run an engine on the GPU that is here, and hold its outputs against onnxruntime's."""

from __future__ import annotations

import datetime
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vggc.diagnostics import CompileError, Diagnostic, fail
from vggc.execution.array_distance import distance
from vggc.execution.random_inputs import Feeds, random_inputs
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.signature import ValueType, inputs_of
from vggc.targets.engine_file import Sidecar, record_validation
from vggc.targets.engine_process import ask
from vggc.targets.node_names import describer
from vggc.targets.npz import write_npz
from vggc.targets.rebuild import compiled_model
from vggc.targets.verifier.types import type_name, type_of, values_of

REPEATS = 20

TOLERANCES = (
    (("int8", "float8e4m3fn", "int4", "float4e2m1"), 5e-2),
    (("bfloat16",), 3e-2),
    (("float16",), 1e-2),
)
"""By the coarsest type of a model, how far an output may be from onnxruntime's, relative to the output's largest."""

TF32 = 5e-3
FLOAT32 = 1e-4


@dataclass(frozen=True)
class Validation:
    """What a GPU made of an engine: `error` is the largest of any output, relative to that output's largest number.

    `facts` are what the sidecar notes.
    """

    facts: dict[str, Any]
    error: float
    tolerance: float


def validate(sidecar: Sidecar, model: Path | None = None, *, timeout: float | None = 600) -> Validation:
    """Run an engine at the smallest, the best and the largest shapes of each profile, and compare.

    What was found goes into the sidecar as `validated_on`. Raises CompileError when there is no GPU, the engine does
    not load or run there, the model it was built from is not found, or an output is further off than its types explain.
    """
    if sidecar.values["options"]["strip"]:
        raise fail("the engine was built without its weights", help="refit it, or build it without strip=true")
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
    """How far an engine's outputs may be from onnxruntime's: by the coarsest type that the model computes with."""
    names = {type_name(type_of(value)) for value, _ in values_of(graph)}
    for types, allowed in TOLERANCES:
        if names & set(types):
            return allowed
    return TF32 if sidecar.values["tf32"] else FLOAT32


def _runs(sidecar: Sidecar, graph: Graph, session: Session, folder: Path) -> list[dict[str, Any]]:
    """What to run: for each profile its smallest, best and largest shapes, each once."""
    inputs = inputs_of(graph)
    found: list[dict[str, Any]] = []
    for number, profile in enumerate(sidecar.values["profiles"] or [{}]):
        seen: list[dict[str, list[int]]] = []
        for which in ("min", "opt", "max"):
            shapes = {name: limits[which] for name, limits in profile.items()}
            if shapes in seen:
                continue
            seen.append(shapes)
            wanted = [_at(each, shapes) for each in inputs]
            if any(0 in (each.shape or ()) for each in wanted):
                continue
            feeds = random_inputs(graph, wanted, session=session)[0]
            at = len(found)
            write_npz(folder / f"{at}.npz", feeds)
            run = {"profile": number, "inputs": str(folder / f"{at}.npz"), "outputs": str(folder / f"{at}.out.npz")}
            found.append({**run, "shapes": {name: list(each.shape) for name, each in feeds.items()}, "feeds": feeds})
    return found


def _at(value: ValueType, shapes: dict[str, list[int]]) -> ValueType:
    return value._replace(shape=tuple(shapes[value.name])) if value.name in shapes else value


def _compare(session: Session, run: dict[str, Any], allowed: float) -> float:
    """The largest error of a run's outputs. Raises CompileError when one is further off than allowed."""
    feeds: Feeds = run["feeds"]
    expected = session.run(feeds)
    worst = 0.0
    with np.load(run["outputs"]) as computed:
        for name, values in expected.items():
            if name not in computed:
                raise fail(f"the engine has no output `{name}`")
            found = distance(values, computed[name].astype(values.dtype, copy=False))
            if found.error > allowed:
                shapes = ", ".join(f"`{each}` {shape}" for each, shape in run["shapes"].items())
                raise CompileError(
                    Diagnostic(
                        f"the engine computes another `{name}` than onnxruntime: {found}",
                        facts=(("inputs", shapes), ("allowed", f"{allowed:g}")),
                        help="build with tf32=false to see whether rounding explains it",
                    )
                )
            worst = max(worst, found.error)
    return worst
