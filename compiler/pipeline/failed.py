"""What a failed compile leaves behind: a report of what ran and what was measured, beside the output.

The report is in a folder of its own, `<output>-failed`, which appears completely or not at all. The next failure
replaces it, and the next success removes it. The output itself does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vggc.diagnostics import CompileError, RequirementNotMet, render
from vggc.diagnostics.progress import Progress
from vggc.pipeline.atomic_folder import staging_folder
from vggc.pipeline.output_folder import check_output_folder, output_folder, write_report
from vggc.report.picture import Picture
from vggc.report.record import Failure, Report

Failed = Callable[[Report, Path | None], None]
"""Called with the report of a compile that failed, and its folder; None when the folder could not be written."""


class NotedProgress(Progress):
    """Passes progress on, and keeps in `doing` what the compile is doing."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._work = ""
        self.doing = ""

    def begin(self, work: str, number: int = 0, total: int = 0) -> None:
        self.doing = self._work = work
        self._shown.begin(work, number, total)

    def inside(self, what: str, done: int = 0, total: int = 0) -> None:
        self.doing = f"{self._work}: {what}"
        self._shown.inside(what, done, total)


def failed_folder(output: Path) -> Path:
    """The folder of the report when the compile that should write `output` fails."""
    return output.with_name(f"{output.name}-failed")


@contextmanager
def reported_failure(
    output: Path, report: Report, before: Picture, *, finish: Callable[[], str], failed: Failed
) -> Iterator[None]:
    """Write the report when the block ends with an exception, which goes on. Without one, remove that of earlier runs.

    `finish` completes the report, and returns what the compile was doing. `before` is the model as read.
    """
    try:
        yield
    except BaseException as error:
        doing = finish()
        report.failure = _failure(error, doing, report)
        report.artifacts = []
        failed(report, _written(failed_folder(output), report, before))
        raise
    _remove(failed_folder(output))


def _failure(error: BaseException, doing: str, report: Report) -> Failure:
    if not isinstance(error, CompileError):
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        message = f"interrupted while doing: {doing}" if interrupted else f"{type(error).__name__}: {error}"
        return Failure("interrupted" if interrupted else "bug", "", doing, [message])
    span = error.diagnostics[0].span
    place = "" if span is None else span.place
    messages = [render(each) for each in error.diagnostics]
    if isinstance(error, RequirementNotMet):
        return Failure("requirement", place, doing, messages, _since_last_gate(report))
    return Failure("error", place, doing, messages)


def _since_last_gate(report: Report) -> list[str]:
    """The steps since the last requirement that held: those that may change results, else all with changes."""
    first = max((each.after for each in report.requirements if each.outcome == "held"), default=0)
    changed = [step for step in report.steps[first:] if step.total and not step.undone]
    lossy = [step for step in changed if not step.exact]
    return [f"{step.name} ({step.line})" for step in lossy or changed]


def _written(folder: Path, report: Report, before: Picture) -> Path | None:
    """The folder with the report. None when it cannot be written, which must not hide the failure itself."""
    try:
        with output_folder(folder) as staging:
            write_report(staging, report, before, None)
    except CompileError as error:
        report.warnings.append(f"the report of this failure is not written: {error.diagnostics[0].message}")
        return None
    except MemoryError:
        report.warnings.append("the report of this failure is not written: out of memory")
        return None
    return folder


def _remove(folder: Path) -> None:
    """Remove the report of an earlier failure. A folder that has other files too stays."""
    try:
        if check_output_folder(folder).is_dir():
            with staging_folder(folder) as staging:
                folder.rename(staging / "old")
    except (CompileError, OSError):
        return
