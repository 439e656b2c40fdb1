"""`vggc lock`, which writes a lock file, and what `--locked` compares with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vggc.cli.console import replace_text, stdout
from vggc.cli.progress import progress
from vggc.diagnostics.number_text import counted

if TYPE_CHECKING:
    from vggc.graph import Graph
    from vggc.pipeline.lock import LockedCompile
    from vggc.pipeline.model import Pipeline
    from vggc.pipeline.runner import Stepped
    from vggc.report.record import StepRecord


def write_lock(pipeline: Pipeline, model: Path, path: Path) -> None:
    """Run the steps of a recipe and write its lock file. Raises CompileError."""
    from vggc.pipeline.lock import lock_text, make_lock

    with progress() as show:
        lock = make_lock(pipeline, model, progress=show)
    replace_text(path, lock_text(lock))
    stdout().print(f"locked {counted(len(lock['steps']), 'step')}: {path}")


def locked_compile(recipe: Path, pipeline: Pipeline, model: Path) -> LockedCompile:
    """The comparison of a compile with the lock file of its recipe.

    Raises CompileError when the lock file is missing or the compile does not depend on the same.
    """
    from vggc.pipeline.lock import LockedCompile, lock_path, read_lock

    path = lock_path(recipe)
    compared = LockedCompile(read_lock(path), path, pipeline, model)
    compared.start()
    return compared


def both(first: Stepped, second: Stepped) -> Stepped:
    """A function that calls both functions after each step."""

    def stepped(record: StepRecord, after: Callable[[], Graph]) -> None:
        first(record, after)
        second(record, after)

    return stepped
