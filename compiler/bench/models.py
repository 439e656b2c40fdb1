"""Measure models side by side: models with onnxruntime and other runtimes on the CPU, engines on the GPU.

Each model runs in its own process, so that its memory can be measured. All models are loaded and warmed up. Then they
take turns in short bursts, in alternating order, so that other load on the machine affects all of them equally. Only
one model runs at a time.
"""

from __future__ import annotations

import math
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vggc.bench.agreement import Answers, answers
from vggc.bench.engines import engine_times
from vggc.bench.folders import is_engine, is_runtime_model
from vggc.bench.inputs import ModelInputs, inputs_of_file
from vggc.bench.worker import Worker
from vggc.data import Dataset
from vggc.diagnostics import CompileError
from vggc.diagnostics.progress import NO_PROGRESS, Progress
from vggc.execution.array_distance import distance
from vggc.execution.threads import thread_limit
from vggc.graph.arrays import Array

BURST = 0.1
"""Seconds of one turn."""


@dataclass(frozen=True)
class BenchRow:
    """A model at a batch size. Times are in seconds for one run of the whole batch, throughput in samples per second.

    `error` is the largest difference of an output from the first model's on the same random inputs, relative to the
    largest number of the output; None when the inputs or outputs are others, or were not compared. `ratio` is the first
    model's median time at this batch size divided by this model's; None when the first model was not measured.
    `peak_bytes` is the most memory that the process used, less what it used before it read the model; None when the
    system does not report it. Engines have no `peak_bytes` and no `load_seconds`. `agreement` and `accuracy` are shares
    of the samples that the models were compared on: those with the first model's class, and those with their own. They
    are None without samples, for engines, and for an output that does not choose a class.
    """

    model: str
    runtime: str
    batch: int
    p50: float
    p90: float
    p99: float
    throughput: float
    ratio: float | None
    error: float | None
    peak_bytes: int | None
    load_seconds: float | None
    runs: int
    agreement: float | None = None
    accuracy: float | None = None


@dataclass
class Bench:
    """All measurements. `left_out` lists what was not measured, and why."""

    machine: dict[str, Any]
    rows: list[BenchRow] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def bench_models(
    models: Sequence[Path],
    batches: Sequence[int],
    *,
    seconds: float = 2.0,
    data: Dataset | None = None,
    samples: int = 256,
    progress: Progress = NO_PROGRESS,
) -> Bench:
    """Measure every model at every batch size for about `seconds`, on seeded random inputs.

    With `data`, they also run its first `samples` samples, in batches of that size, and their classes are compared.
    The threads are those that `thread_limit` allows. A model with a fixed batch size is measured at that size only.
    Raises CompileError when a model cannot be read, loaded or run.
    """
    import onnxruntime

    bench = Bench(
        {
            "cores": os.cpu_count(),
            "processor": _processor(),
            "threads": thread_limit() or os.cpu_count(),
            "onnxruntime": onnxruntime.__version__,
            "seconds": seconds,
        }
    )
    if data is not None:
        bench.machine |= {"samples": min(samples, len(data)), "data": data.description}
    inputs = {model: inputs_of_file(model) for model in models if not is_engine(model)}
    for batch in batches:
        count = 0 if data is None else min(samples, len(data)) // batch * batch
        if data is not None and not count:
            bench.left_out.append(f"models are not compared at batch {batch}: there are fewer samples")
        asked = _Asked(batch, seconds, data, count)
        measured: dict[Path, BenchRow | None] = {**_on_cpu(bench, inputs, asked, progress=progress)}
        for model in models:
            if is_engine(model):
                progress.begin(f"batch {batch}: {model}")
                measured[model] = _on_gpu(bench, model, batch, seconds)
        first = measured.get(models[0])
        bench.rows += [
            replace(row, ratio=None if first is None else first.p50 / row.p50)
            for model in models
            if (row := measured.get(model)) is not None
        ]
    return bench


@dataclass(frozen=True)
class _Asked:
    """What is measured: a batch size, the seconds of each model, and the first samples of data that they answer."""

    batch: int
    seconds: float
    data: Dataset | None
    count: int


def _on_cpu(
    bench: Bench, inputs: Mapping[Path, ModelInputs], asked: _Asked, *, progress: Progress
) -> dict[Path, BenchRow]:
    """Measure the models that take this batch."""
    batch = asked.batch
    fitting = [model for model, each in inputs.items() if each.takes(batch)]
    bench.left_out += [
        f"{model} is not measured at batch {batch}: it takes only batches of {each.fixed}"
        for model, each in inputs.items()
        if model not in fitting
    ]
    progress.begin(f"batch {batch}: loading")
    rows: dict[Path, BenchRow] = {}
    with ExitStack() as stack:
        workers = []
        loaded_models = []
        for model in fitting:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vggc-bench-")))
            try:
                worker = stack.enter_context(Worker(model, inputs[model].feeds(batch), folder))
                workers.append((worker, worker.ready()))
            except CompileError as error:
                if not is_runtime_model(model):
                    raise
                bench.left_out.append(f"{model} is not measured at batch {batch}: {error.diagnostics[0].message}")
                continue
            loaded_models.append(model)
        first = workers[0][0].outputs() if workers else {}
        progress.begin(f"batch {batch}: measuring")
        times = _take_turns([worker for worker, _ in workers], asked.seconds)
        for model, (worker, loaded), taken in zip(loaded_models, workers, times, strict=True):
            row = _row(model, inputs[model].runtime, batch, taken)
            far = largest_error(first, worker.outputs())
            rows[model] = replace(row, error=far, peak_bytes=worker.peak_bytes(), load_seconds=loaded)
        if asked.data is not None and asked.count:
            progress.begin(f"batch {batch}: running {asked.count} samples")
            running = dict(zip(loaded_models, (worker for worker, _ in workers), strict=True))
            for model, found in _answers(asked, asked.data, running, inputs).items():
                rows[model] = replace(rows[model], agreement=found.agreement, accuracy=found.accuracy)
    return rows


def _answers(
    asked: _Asked, data: Dataset, workers: Mapping[Path, Worker], inputs: Mapping[Path, ModelInputs]
) -> dict[Path, Answers]:
    """What each model answers for the samples, beside the first one."""
    found: dict[Path, Answers] = {}
    expected: dict[str, Array] = {}
    for model, worker in workers.items():
        outputs = worker.run(inputs[model].samples(data, asked.count), asked.batch)
        expected = expected or outputs
        name = next(iter(expected))
        found[model] = answers(expected[name], outputs[name], data, name) if name in outputs else Answers()
    return found


def _on_gpu(bench: Bench, sidecar: Path, batch: int, seconds: float) -> BenchRow | None:
    """Measure an engine. When this is not possible, add the reason to `bench.left_out`."""
    try:
        measured = engine_times(sidecar, batch, seconds)
    except CompileError as error:
        bench.left_out.append(f"{sidecar} is not measured at batch {batch}: {error.diagnostics[0].message}")
        return None
    return _row(sidecar, measured.gpu, batch, measured.times)


def _row(model: Path, runtime: str, batch: int, times: Sequence[float]) -> BenchRow:
    p50, p90, p99 = (float(each) for each in np.percentile(times, (50, 90, 99)))
    return BenchRow(
        model=str(model),
        runtime=runtime,
        batch=batch,
        p50=p50,
        p90=p90,
        p99=p99,
        throughput=batch * len(times) / sum(times),
        ratio=None,
        error=None,
        peak_bytes=None,
        load_seconds=None,
        runs=len(times),
    )


def _take_turns(workers: Sequence[Worker], seconds: float) -> list[list[float]]:
    """The times of each worker's runs. Workers take turns, forwards and backwards, until each has had its seconds."""
    times: list[list[float]] = [[] for _ in workers]
    for number in range(max(1, round(seconds / BURST))):
        turns = range(len(workers)) if number % 2 == 0 else reversed(range(len(workers)))
        for turn in turns:
            # One run of a large model may last longer than its seconds.
            if number == 0 or sum(times[turn]) < seconds:
                times[turn] += workers[turn].times(min(BURST, seconds))
    return times


def largest_error(expected: Mapping[str, Array], computed: Mapping[str, Array]) -> float | None:
    """The largest difference of an output, relative to its largest number; None when the outputs are others."""
    if expected.keys() != computed.keys():
        return None
    errors = [
        distance(values, computed[name].astype(values.dtype, copy=False)).error for name, values in expected.items()
    ]
    error = max(errors, default=0.0)
    return error if math.isfinite(error) else None


def _processor() -> str:
    """The processor's name according to Linux, or else according to Python."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
