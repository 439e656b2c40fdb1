"""Load a written model of any runtime and run it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vggc.data.npz import write_npz
from vggc.graph.arrays import Array, Feeds
from vggc.runtimes.packages import OPENVINO, Package
from vggc.runtimes.sidecar import read_sidecar

PACKAGES: dict[str, tuple[Package, ...]] = {"openvino": (OPENVINO,)}
"""By the name of a runtime in sidecars, what it needs here."""

TITLES = {"openvino": "OpenVINO CPU"}
"""What tables call a runtime."""

_WARM_UP, _REPEATS = 3, 20


class RuntimeModel(Protocol):
    """A model that a runtime has loaded."""

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """The outputs by the names that they have in the ONNX model."""


def load(sidecar: Path, threads: int | None = None) -> RuntimeModel:
    """Load the model that a sidecar describes. Imports the runtime, whose exceptions pass through."""
    described = read_sidecar(sidecar)
    path = sidecar.with_name(described.model)
    if described.runtime == "openvino":
        from vggc.runtimes.openvino import OpenvinoModel

        return OpenvinoModel(path, described.settings, threads)
    raise AssertionError(described.runtime)


def run_saved(sidecar: str, inputs: list[str], outputs: list[str], threads: int | None) -> dict[str, Any]:
    """Run a model on .npz files, and write its outputs to others. For a child process.

    Returns the median seconds of a run on the last of the inputs.
    """
    model = load(Path(sidecar), threads)
    feeds: dict[str, Array] = {}
    for source, destination in zip(inputs, outputs, strict=True):
        with np.load(source) as arrays:
            feeds = {name: arrays[name] for name in arrays.files}
        write_npz(Path(destination), model.run(feeds))
    for _ in range(_WARM_UP):
        model.run(feeds)
    taken = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        model.run(feeds)
        taken.append(time.perf_counter() - started)
    return {"seconds": float(np.median(taken))}
