"""Measure engines on the GPU of this machine.

The GPU measures the times, from event to event. They do not include copies to and from the GPU.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggc.data.npz import write_npz
from vggc.diagnostics import Code, fail
from vggc.execution.random_inputs import random_inputs
from vggc.graph import Graph
from vggc.graph.signature import ValueType, inputs_of
from vggc.targets.engine_file import Sidecar, read_sidecar
from vggc.targets.engine_process import ask
from vggc.targets.node_names import describer
from vggc.targets.rebuild import compiled_model

_TRIAL = 20
"""Runs that show how many runs fit into the requested seconds."""

_MOST = 10_000
_TIMEOUT = 600


@dataclass(frozen=True)
class EngineTimes:
    """The seconds of each run on the GPU `gpu`."""

    gpu: str
    times: tuple[float, ...]


def engine_times(sidecar: Path, batch: int, seconds: float) -> EngineTimes:
    """Run an engine with random inputs for about `seconds`, with the first profile that takes `batch` samples.

    Raises CompileError when there is no GPU, no profile takes the batch, the engine's model is not found, or the engine
    does not load or run.
    """
    described = read_sidecar(sidecar)
    graph = Graph.load(compiled_model(described))
    graph.infer_shapes()
    number, wanted = _profile(described, inputs_of(graph), batch)
    feeds = random_inputs(graph, wanted)[0]
    with tempfile.TemporaryDirectory(prefix="vggc-bench-") as folder:
        arrays = Path(folder, "in.npz")
        write_npz(arrays, feeds)
        values = described.values
        job: dict[str, Any] = {
            "package": values["flavour"],
            "engine": str(described.engine),
            "sha256": values["engine"]["sha256"],
            "host_code": values["options"]["version_compatible"],
            "runs": [{"profile": number, "inputs": str(arrays), "outputs": str(Path(folder, "out.npz"))}],
            "repeats": _TRIAL,
        }
        trial, _ = ask("vggc.targets.run_engine", job, describer(graph), timeout=_TIMEOUT)
        repeats = int(1000 * seconds / max(trial["milliseconds"][0], 1e-3))
        job["repeats"] = max(_TRIAL, min(repeats, _MOST))
        done, _ = ask("vggc.targets.run_engine", job, describer(graph), timeout=_TIMEOUT + 2 * seconds)
    return EngineTimes(done["gpu"], tuple(each / 1000 for each in done["every_milliseconds"][0]))


def _profile(sidecar: Sidecar, inputs: tuple[ValueType, ...], batch: int) -> tuple[int, list[ValueType]]:
    """The first profile that takes this batch, and the inputs with its opt shapes and this batch."""
    profiles = sidecar.values["profiles"] or [{}]
    for number, profile in enumerate(profiles):
        wanted = []
        for value in inputs:
            limits = profile.get(value.name)
            shape = list(limits["opt"] if limits else value.shape or ())
            if shape and (limits is None or limits["min"][0] <= batch <= limits["max"][0]):
                shape[0] = batch if limits is not None else shape[0]
            wanted.append(value._replace(shape=tuple(shape)))
        if any(each.shape and each.shape[0] == batch for each in wanted):
            return number, wanted
    raise fail(f"no profile of the engine takes {batch} samples", code=Code.BENCH)
