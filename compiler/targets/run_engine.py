"""Run an engine on the GPU of this machine: `python -P -m vggc.targets.run_engine JOB.json`.

The job's keys: `package`, `engine` (a file), its `sha256`, `host_code` (whether code in the engine may run on the CPU,
which version compatible engines need), `runs` with `profile`, `inputs` and `outputs` (.npz files), and `repeats`.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

from vggc.data.npz import write_npz
from vggc.targets.cuda_driver import CudaError, Device
from vggc.targets.engine_child import Failed, Log, answer, errors_in, load_package

_WARM_UP = 3


def main(arguments: list[str]) -> None:
    """Run as the job file says and print facts about the GPU and the time of each run."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    answer(lambda log: run_all(job, log))


def run_all(job: dict[str, Any], log: Log) -> dict[str, Any]:
    """Load the engine, do each run, and write its outputs. Raises Failed."""
    content = Path(job["engine"]).read_bytes()
    # The hash is that of the bytes that are loaded, also when the file changes in the meantime.
    if hashlib.sha256(content).hexdigest() != job["sha256"]:
        raise Failed("other_engine", path=job["engine"])
    try:
        device = Device()
        trt, logger = load_package(job["package"], log)
        runtime = trt.Runtime(logger)
        if job["host_code"]:
            runtime.engine_host_code_allowed = True
        engine = runtime.deserialize_cuda_engine(content)
        if engine is None:
            raise Failed("load")
        times = [_run(trt, engine, device, each, job["repeats"]) for each in job["runs"]]
    except CudaError as error:
        raise Failed("gpu", text=str(error)) from None
    if errors_in(log.entries):
        raise Failed("run")
    return {
        "gpu": device.name,
        "compute_capability": device.capability,
        "cuda": device.driver,
        "version": trt.__version__,
        "milliseconds": [statistics.median(each) for each in times],
        "every_milliseconds": times,
    }


def _run(trt: Any, engine: Any, device: Device, run: dict[str, Any], repeats: int) -> list[float]:
    """Do one run and write its outputs to its file. Returns the time of each repetition in milliseconds."""
    context = engine.create_execution_context()
    if context is None:
        raise Failed("load")
    if not context.set_optimization_profile_async(run["profile"], device.stream):
        raise Failed("profile", number=run["profile"])
    device.wait()
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    with np.load(run["inputs"]) as arrays:
        for name in inputs:
            array = arrays[name].astype(_numpy_type(trt, engine.get_tensor_dtype(name)), copy=False)
            if not context.set_input_shape(name, array.shape):
                raise Failed("shape", name=name, shape=list(array.shape))
            address = device.allocate(array.nbytes)
            device.write(address, array)
            context.set_tensor_address(name, address)
    if missing := context.infer_shapes():
        raise Failed("unset", names=list(missing))
    results = {}
    for name in names:
        if name not in inputs:
            kind = _numpy_type(trt, engine.get_tensor_dtype(name))
            shape = tuple(context.get_tensor_shape(name))
            if any(size < 0 for size in shape):
                raise Failed("unbounded", name=name)
            results[name] = np.empty(shape, kind)
            context.set_tensor_address(name, device.allocate(results[name].nbytes))
    for _ in range(_WARM_UP):
        _execute(context, device)
    device.wait()
    times = [device.milliseconds(lambda: _execute(context, device)) for _ in range(repeats)]
    device.wait()
    for name, array in results.items():
        device.read(context.get_tensor_address(name), array)
    write_npz(Path(run["outputs"]), results)
    return times


def _execute(context: Any, device: Device) -> None:
    if not context.execute_async_v3(device.stream):
        raise Failed("run")


def _numpy_type(trt: Any, kind: Any) -> Any:
    """The numpy type of a tensor. Raises Failed for a type that numpy does not support."""
    try:
        return np.dtype(trt.nptype(kind))
    except TypeError:
        raise Failed("type", name=kind.name.lower()) from None


if __name__ == "__main__":
    main(sys.argv[1:])
