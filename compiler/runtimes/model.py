"""The runtimes that can run a written model here, and a run of a model in a child process."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vggc.data.npz import write_npz
from vggc.diagnostics.packages import ONNX2TF, ONNXRUNTIME, OPENVINO, TVM, Optional
from vggc.graph.arrays import Array, Feeds
from vggc.runtimes.packages import installed_version
from vggc.runtimes.process import PROGRAMS, call
from vggc.runtimes.sidecar import read_sidecar


@dataclass(frozen=True)
class Runtime:
    """A runtime: what tables call it, its distribution, what a Python needs to run it, and the program that does.

    The program has a class `Model`, which is made of a path, the sidecar's values and a number of threads.
    """

    title: str
    distribution: str
    packages: Optional
    program: Path

    @property
    def version(self) -> str:
        """The version of the distribution, "" when it is not known."""
        return installed_version(self.packages, self.distribution)


RUNTIMES = {
    "onnxruntime": Runtime("onnxruntime CPU", "onnxruntime", ONNXRUNTIME, PROGRAMS / "onnxruntime_model.py"),
    "openvino": Runtime("OpenVINO CPU", "openvino", OPENVINO, PROGRAMS / "openvino_model.py"),
    "tvm": Runtime("TVM CPU", "apache-tvm", TVM, PROGRAMS / "tvm_model.py"),
    "litert": Runtime("LiteRT CPU", "ai-edge-litert", ONNX2TF, PROGRAMS / "litert_model.py"),
    "saved_model": Runtime("TensorFlow CPU", "tensorflow", ONNX2TF, PROGRAMS / "saved_model.py"),
}
"""By the name of a runtime in sidecars."""

_SECONDS = 0.1


def runtime_of(sidecar: Path) -> Runtime:
    """The runtime of the model that a sidecar describes. Raises CompileError for a file that is not a sidecar."""
    return RUNTIMES[read_sidecar(sidecar).runtime]


def run_model(sidecar: Path, feeds: Sequence[Feeds], threads: int | None) -> tuple[list[dict[str, Array]], float]:
    """The outputs of a model for each of some feeds, and the median seconds of a run on the last.

    Raises Raised for an exception of the runtime, and CompileError as `call` does.
    """
    runtime = runtime_of(sidecar)
    with tempfile.TemporaryDirectory(prefix="vggc-") as folder:
        runs = [(Path(folder, f"{number}.npz"), Path(folder, f"{number}.out.npz")) for number in range(len(feeds))]
        for (path, _), arrays in zip(runs, feeds, strict=True):
            write_npz(path, arrays)
        job = Path(folder, "job.json")
        values = {
            "sidecar": str(sidecar),
            "program": str(runtime.program),
            "runs": [[str(source), str(destination)] for source, destination in runs],
            "threads": threads,
        }
        job.write_text(json.dumps(values), encoding="utf-8")
        arguments = {"job": str(job), "seconds": _SECONDS}
        taken = call(runtime.packages, "serve:run_once", arguments, f"ran the model with {runtime.title}")
        outputs = []
        for _, path in runs:
            with np.load(path) as computed:
                outputs.append({name: computed[name] for name in computed.files})
    return outputs, float(np.median(taken))
