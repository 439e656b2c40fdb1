"""Compile a model with Apache TVM to a shared library, and run that on the CPU."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

_AT_ONCE = 8
"""Schedules that are built and measured before the time is looked at."""

_TIMEOUT = 60.0
"""Seconds in which a schedule must be built, or run."""


class Refused(Exception):
    """The model cannot be tuned with these packages."""

    def __init__(self, text: str, help: str) -> None:
        super().__init__(text)
        self.help = help


def convert(model: str, output: str, minutes: float, threads: int | None) -> dict[str, Any]:
    """Compile the ONNX file `model` to the shared library `output` for this machine, with LLVM.

    With `minutes`, MetaSchedule searches for schedules that are fast with so many threads (None for one for each
    core). Returns how many `schedules` it measured, and how many operators there were to `tune`.
    """
    module = from_onnx(onnx.load(model), keep_params_in_input=False)
    target = tvm.target.Target("llvm")
    facts = {"tuned": 0, "schedules": 0}
    if minutes:
        cores = threads or os.cpu_count() or 1
        processor = tvm.get_global_func("target.llvm_get_system_cpu")()
        target = tvm.target.Target({"kind": "llvm", "mcpu": processor, "num-cores": cores})
        with target, tempfile.TemporaryDirectory(prefix="vggc-") as folder:
            module, facts = _tuned(module, target, folder, seconds=60 * minutes, cores=cores)
    tvm.compile(module, target=target).export_library(output)
    return facts


def _tuned(module: Any, target: Any, folder: str, *, seconds: float, cores: int) -> tuple[Any, dict[str, Any]]:
    """The module with the fastest schedules that MetaSchedule found in about `seconds`, and what it did."""
    _check_packages()
    from tvm.ir.utils import derived_object
    from tvm.s_tir import meta_schedule as ms

    os.environ["TVM_NUM_THREADS"] = str(cores)
    prepare = (relax.transform.DecomposeOpsForInference(), relax.transform.CanonicalizeBindings())
    module = tvm.transform.Sequential([*prepare, relax.get_pipeline("zero")])(module)
    end = time.monotonic() + seconds

    @derived_object
    class Stop(ms.measure_callback.PyMeasureCallback):  # type: ignore[misc]
        """Ends the search, which has no limit of time of its own."""

        def apply(self, *measured: Any) -> None:
            if time.monotonic() > end:
                raise TimeoutError

    try:
        ms.relax_integration.tune_relax(
            module,
            {},
            target,
            folder,
            max_trials_global=1_000_000,
            num_trials_per_iter=_AT_ONCE,
            builder=ms.builder.LocalBuilder(max_workers=cores, timeout_sec=_TIMEOUT),
            runner=ms.runner.LocalRunner(timeout_sec=_TIMEOUT),
            measure_callbacks=[
                ms.measure_callback.AddToDatabase(),
                ms.measure_callback.RemoveBuildArtifact(),
                ms.measure_callback.UpdateCostModel(),
                Stop(),
            ],
            seed=0,
        )
    except Exception:  # an exception that passes through TVM does not keep its type
        if time.monotonic() < end:
            raise
    records, workloads = (_lines(Path(folder, f"database_{part}.json")) for part in ("tuning_record", "workload"))
    return relax.transform.MetaScheduleApplyDatabase(folder)(module), {"tuned": workloads, "schedules": records}


def _check_packages() -> None:
    """Raise Refused for a release of apache-tvm-ffi with which MetaSchedule of TVM 0.27 ends the process."""
    from importlib.metadata import version

    ffi = version("apache-tvm-ffi")
    if tvm.__version__.startswith("0.27.") and not ffi.startswith("0.1.14."):
        raise Refused(
            f"MetaSchedule of TVM {tvm.__version__} ends the process with apache-tvm-ffi {ffi}",
            "pip install apache-tvm-ffi==0.1.14.post0, the release that TVM 0.27 was built with",
        )


def _lines(path: Path) -> int:
    """The lines of a file with one record a line."""
    return len(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else 0


class Model:
    """A shared library. `threads`: None for one for each core."""

    def __init__(self, path: str, described: Mapping[str, Any], threads: int | None) -> None:
        if threads:
            os.environ["TVM_NUM_THREADS"] = str(threads)
        self._machine = relax.VirtualMachine(tvm.runtime.load_module(path), tvm.cpu())
        self._inputs = [each["name"] for each in described["inputs"]]
        self._outputs = [each["name"] for each in described["outputs"]]

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name."""
        results = self._machine["main"](*(tvm.runtime.tensor(feeds[name]) for name in self._inputs))
        listed = [results] if hasattr(results, "numpy") else list(results)
        return {name: each.numpy() for name, each in zip(self._outputs, listed, strict=True)}
