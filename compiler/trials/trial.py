"""One trial: compile the model with some values of the parameters, and note what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vggc.binding import bind_file, bind_text
from vggc.data import Dataset
from vggc.diagnostics import CompileError, RequirementNotMet
from vggc.diagnostics.progress import NO_PROGRESS, Progress
from vggc.pipeline.compile import compile_model
from vggc.pipeline.model import Pipeline
from vggc.pipeline.output_folder import PAGE
from vggc.pipeline.verify import VerifyMode
from vggc.report.record import Report
from vggc.trials.outcome import Outcome, State, outcome_of


@dataclass(frozen=True)
class Work:
    """What all trials of a search have in common.

    `recipe` is the path of a recipe, or None when `text` is the recipe. `fixed` are the values that `--set` gives, and
    `data` the data sets that a program gives. `name` is what reports call the model.
    """

    recipe: Path | None
    text: str
    model: Path
    name: str | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Dataset] = field(default_factory=dict)
    verify: VerifyMode = "end"
    python: bool = True

    def bound(self, values: Mapping[str, str]) -> Pipeline:
        """The recipe with the values of a trial. Raises CompileError."""
        overrides = {**self.fixed, **values}
        if self.recipe is None:
            return bind_text(self.text, overrides=overrides, python=self.python, data=self.data)
        return bind_file(self.recipe, overrides=overrides, python=self.python, data=self.data)


@dataclass(frozen=True)
class Job:
    """A trial to run. Its report is written to `folder`, and with `whole` the files of the recipe's targets too.

    `work` is the index of its Work among those of the place where it runs.
    """

    number: int
    values: Mapping[str, str]
    folder: Path
    whole: bool = False
    work: int = 0


def run_job(work: Work, job: Job, progress: Progress = NO_PROGRESS) -> Outcome:
    """Run a trial. What is wrong with it is its outcome; only what is no CompileError is raised."""
    failures: list[tuple[Report, Path | None]] = []
    state: State = "error"
    try:
        report = compile_model(
            work.bound(job.values),
            work.model,
            job.folder,
            name=work.name,
            verify=work.verify,
            targets=job.whole,
            progress=progress,
            failed=lambda report, folder: failures.append((report, folder)),
        )
    except CompileError as error:
        if isinstance(error, RequirementNotMet):
            state = "gate"
        message = error.diagnostics[0].message
        if not failures:
            messages = "; ".join(each.message for each in error.diagnostics if each.severity == "error")
            return Outcome(job.number, dict(job.values), state, message=messages)
        report, folder = failures[0]
        outcome = outcome_of(job.number, job.values, state, report, message)
        return replace(outcome, page=_page(job, folder))
    return replace(outcome_of(job.number, job.values, "held", report), page=_page(job, job.folder))


def _page(job: Job, folder: Path | None) -> str:
    """The path of a trial's report from the folder of the search, which holds folders of trials."""
    return "" if folder is None else (Path(job.folder.parent.name) / folder.name / PAGE).as_posix()
