"""Starting and ending the processes that train together.

`vggc --workers N` starts N - 1 others for each training; torchrun has started all of them before. The first process
runs the recipe, and gives the others jobs.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch

# The functions of this module have the process group as the default of an argument. DistributedDataParallel imports it,
# and it would hold the group for ever if there were one by then: it is imported before any.
import torch.distributed.nn
from torch import distributed

from vggc.diagnostics import Code, CompileError, fail
from vggc.execution.threads import limited_threads, thread_limit
from vggc.recovery.processes import process_count, torchrun_place
from vggc.recovery.team import Team

_PATIENCE = timedelta(days=30)
"""Processes wait for the first one while it runs the other steps of a recipe. One that has ended is noticed at once."""


def join(rank: int, size: int, local: int, place: str) -> Team:
    """Become process `rank` of `size`, which meet at a place: `env://`, or a `file://`."""
    gpus = torch.cuda.device_count()
    device = torch.device("cuda", local % gpus) if gpus else torch.device("cpu")
    # NCCL needs a GPU for each process.
    backend = "nccl" if gpus > local and gpus >= int(os.environ.get("LOCAL_WORLD_SIZE", size)) else "gloo"
    distributed.init_process_group(backend, init_method=place, rank=rank, world_size=size, timeout=_PATIENCE)
    return Team(rank, size, device)


def leave() -> None:
    """End what `join` began.

    DistributedDataParallel stands in reference cycles and holds the group, which holds the threads of gloo. A process
    whose threads ran at its end could be aborted: they may ask for the interpreter while it ends.
    """
    gc.collect()
    distributed.destroy_process_group()


@contextmanager
def team() -> Iterator[Team]:
    """The processes for a training, whose others wait for a job.

    Raises CompileError when one of them ends before the training does.
    """
    place = torchrun_place()
    if place is not None and place.size > 1:
        with _noticed([]):
            yield torchrun_team()
    elif process_count() > 1:
        with _started(process_count()) as found:
            yield found
    else:
        yield Team()


def torchrun_team() -> Team:
    """The processes that torchrun has started, this one among them."""
    place = torchrun_place()
    assert place is not None
    if not distributed.is_initialized():
        return join(*place, "env://")
    gpus = torch.cuda.device_count()
    return Team(place.rank, place.size, torch.device("cuda", place.local % gpus) if gpus else "cpu")


@contextmanager
def _started(size: int) -> Iterator[Team]:
    threads = max(1, (thread_limit() or os.cpu_count() or 1) // size)
    with tempfile.TemporaryDirectory(prefix="vggc-") as name, limited_threads(threads):
        place = (Path(name) / "meeting").as_uri()
        errors = [Path(name) / f"errors-{rank}.txt" for rank in range(1, size)]
        processes = [
            _start(rank, size, threads, place, path) for rank, path in zip(range(1, size), errors, strict=True)
        ]
        try:
            with _noticed(list(zip(processes, errors, strict=True))):
                found = join(0, size, 0, place)
                yield found
                found.first(None)
                for process in processes:
                    process.wait()
        finally:
            for process in processes:
                process.kill()
                process.wait()
            if distributed.is_initialized():
                leave()


def _start(rank: int, size: int, threads: int, place: str, errors: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "vggc.recovery.worker", *map(str, (rank, size, threads)), place]
    with errors.open("wb") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file)


@contextmanager
def _noticed(others: list[tuple[subprocess.Popen[bytes], Path]]) -> Iterator[None]:
    """Raise CompileError for the errors of PyTorch that mean that another process has ended."""
    try:
        yield
    except CompileError:
        raise
    except RuntimeError as error:
        ended = [(process, errors) for process, errors in others if process.poll() is not None]
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        if not ended and "gloo" not in first and "NCCL" not in first:
            raise
        facts = [("PyTorch", first)]
        for process, errors in ended:
            lines = errors.read_text(errors="replace").strip().splitlines()
            last = f": {lines[-1]}" if lines else ""
            facts.append(("process", f"{process.pid} ended with {process.returncode}{last}"))
        raise fail(
            "one of the processes that train together has ended",
            facts=tuple(facts),
            help="run the same command again: the training goes on from its last checkpoint",
            code=Code.WORKER,
        ) from error
