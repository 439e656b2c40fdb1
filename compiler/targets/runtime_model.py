"""What the targets for other runtimes share: convert the compiled model, run the result, compare and describe it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.diagnostics.packages import Optional
from vggc.execution.array_distance import Distance, distance
from vggc.execution.latency import times, warm_up
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.execution.threads import thread_limit
from vggc.graph import Graph
from vggc.graph.arrays import Array, Feeds
from vggc.graph.signature import inputs_of, outputs_of
from vggc.runtimes.model import RUNTIMES, run_model
from vggc.runtimes.process import TIMEOUT, Raised, call
from vggc.runtimes.sidecar import RuntimeSidecar, described
from vggc.targets.contract import Artifact, Lowering, RuntimeRun
from vggc.targets.validation import TOLERANCES, allowed_error

_SECONDS = 0.1


@dataclass(frozen=True)
class Written:
    """A model that was converted for a runtime: the path of its file or folder, and how to load it."""

    target: str
    runtime: str
    path: Path
    settings: dict[str, Any]
    allowed: float
    """the largest allowed error of an output, relative to its largest number"""


def allowed_for(graph: Graph, *types: str) -> float:
    """The largest error that the types of a graph, and those that a runtime computes or stores it in, explain."""
    coarser = [allowed for names, allowed in TOLERANCES if {*types} & {*names}]
    return max([allowed_error(graph), *coarser])


def convert(
    packages: Optional, function: str, arguments: dict[str, Any], title: str, *, timeout: float = TIMEOUT
) -> Any:
    """Call a converter in a child process. Raises CompileError with the converter's words when it fails."""
    try:
        return call(packages, function, arguments, f"converted the model for {title}", timeout=timeout)
    except Raised as error:
        if error.kind == "Refused":
            raise fail(str(error), help=error.help, code=Code.CONVERSION) from None
        lines = error.lines
        raise fail(
            f"{title} cannot convert the model: {lines[-1]}",
            facts=(("exception", error.kind), *((("note", lines[0]),) if len(lines) > 1 else ())),
            help="`target onnx` writes the compiled model without a conversion",
            code=Code.CONVERSION,
        ) from None


RANDOM = "random numbers"


def finish(
    lowering: Lowering, written: Written, *, feeds: Sequence[Feeds] = (), inputs: str = RANDOM
) -> list[Artifact]:
    """Compare a converted model with onnxruntime and write its sidecar. Returns the artifacts of both.

    They are compared on `feeds`, which `inputs` describes, and without them on random inputs. Raises CompileError when
    the model does not run, or an output differs by more than is allowed.
    """
    graph = lowering.graph
    sidecar = written.path.with_name(f"{written.path.name}.json")
    if sidecar.exists():
        raise fail(f"two targets write the file `{sidecar.name}`", help="give one another name", code=Code.FILE_NAMES)
    contents = RuntimeSidecar(
        written.runtime,
        RUNTIMES[written.runtime].version,
        written.path.name,
        written.settings,
        described(inputs_of(graph)),
        described(outputs_of(graph)),
        {"model": lowering.model_name, **lowering.provenance},
    )
    contents.write(sidecar)
    run = _compared(lowering, written, sidecar, feeds, inputs)
    contents.compared.update(run.facts())
    contents.write(sidecar)
    lowering.runs.append(run)
    files = sorted(each for each in written.path.rglob("*") if each.is_file()) if written.path.is_dir() else []
    beside = [written.path.with_suffix(".bin")] if written.path.suffix == ".xml" else []
    paths = files or [written.path, *beside]
    return [Artifact.of(each, lowering.directory, written.target) for each in (*paths, sidecar)]


def _compared(lowering: Lowering, written: Written, sidecar: Path, feeds: Sequence[Feeds], inputs: str) -> RuntimeRun:
    """Run the converted model and the compiled one on the same inputs. Raises CompileError for a difference."""
    runtime = RUNTIMES[written.runtime]
    session = Session(lowering.graph, optimise="none")
    feeds = feeds or random_inputs(session)
    try:
        outputs, seconds = run_model(sidecar, feeds, thread_limit())
    except Raised as error:
        raise fail(
            f"{runtime.title} cannot run the converted model: {error.lines[-1]}",
            facts=(("exception", error.kind),),
            code=Code.CONVERSION,
        ) from None
    errors = (_error(session, *each, runtime.title, written.allowed) for each in zip(feeds, outputs, strict=True))
    return RuntimeRun(
        target=written.target,
        runtime=runtime.title,
        version=runtime.version,
        batch=_batch(feeds[-1]),
        largest_error=max(errors),
        allowed=written.allowed,
        seconds=seconds,
        onnxruntime_seconds=_seconds(lowering, feeds[-1]),
        inputs=inputs,
    )


def _error(session: Session, feeds: Feeds, computed: Mapping[str, Array], title: str, allowed: float) -> float:
    """The largest error of an output. Raises CompileError when it is larger than allowed, or an output is missing."""
    worst = Distance(0.0)
    for name, values in session.run(feeds).items():
        if name not in computed:
            raise fail(f"the model for {title} has no output `{name}`", code=Code.CONVERSION_DIFFERS)
        found = distance(values, computed[name].astype(values.dtype, copy=False))
        if found.error > allowed:
            raise CompileError(_differs(name, found, feeds, title, allowed))
        worst = max(worst, found, key=lambda each: each.error)
    return worst.error


def _differs(name: str, found: Distance, feeds: Feeds, title: str, allowed: float) -> Diagnostic:
    shapes = ", ".join(f"`{each}` {list(array.shape)}" for each, array in feeds.items())
    return Diagnostic(
        f"with {title}, the output `{name}` differs from onnxruntime's: {found}",
        facts=(("inputs", shapes), ("allowed", f"{allowed:g}")),
        help="allow more with tolerance=, when this error is acceptable"
        if math.isfinite(found.error)
        else "use `target onnxruntime` for this model",
        code=Code.CONVERSION_DIFFERS,
    )


def _seconds(lowering: Lowering, feeds: Feeds) -> float:
    """The median seconds of a run of the compiled model with onnxruntime, as fast as it can."""
    session = Session(lowering.graph, optimise="all", spinning=True)
    warm_up(session, feeds, seconds=0.0)
    return float(np.median(times(session, feeds, _SECONDS)))


def _batch(feeds: Feeds) -> int:
    sizes: Sequence[int] = [array.shape[0] for array in feeds.values() if array.ndim]
    return sizes[0] if sizes else 1
