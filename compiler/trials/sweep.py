"""One recipe over many models: each is compiled into its own folder, where a search would run its trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vggc.diagnostics import Code, CompileError, Diagnostic, RequirementNotMet, fail
from vggc.diagnostics.number_text import counted
from vggc.diagnostics.progress import NO_PROGRESS, Progress
from vggc.trials.files import write_json
from vggc.trials.outcome import Outcome
from vggc.trials.places import check_place, open_place
from vggc.trials.trial import Job, Work

RECORD = "sweep.json"


@dataclass(frozen=True)
class SweepRow:
    """A model, the folder of its output, and what came of it."""

    model: str
    folder: str
    outcome: Outcome


def sweep_models(
    work: Work,
    models: Sequence[Path],
    folder: Path,
    *,
    on: str = "here",
    resources: Mapping[str, float] | None = None,
    progress: Progress = NO_PROGRESS,
    ended: Callable[[SweepRow], None] = lambda row: None,
) -> list[SweepRow]:
    """Compile each model by the recipe of `work`, whose own model is not used. The rows are in the order of the models.

    What is wrong with a model is in its row. Raises CompileError for a recipe that is wrong for all models.
    """
    check_place(on, resources or {})
    missing = [each for each in models if not each.is_file()]
    if missing:
        raise fail(f"there is no file `{missing[0]}`", help="give the models as ONNX files", code=Code.NO_MODEL)
    work.bound({})
    names = _names(models)
    place = open_place(on, [replace(work, model=each) for each in models], resources or {}, progress)
    jobs = [Job(at, {}, folder / names[at], whole=True, work=at) for at in range(len(models))]
    rows = {}
    try:
        progress.begin(f"{counted(len(models), 'model')}")
        for outcome in place.run(jobs):
            row = SweepRow(str(models[outcome.number]), str(jobs[outcome.number].folder), outcome)
            rows[outcome.number] = row
            ended(row)
    finally:
        place.close()
    found = [rows[at] for at in range(len(models))]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, _as_dict(work, found))
    return found


def failure_of(rows: Sequence[SweepRow]) -> CompileError | None:
    """The error for a sweep in which a model failed, with the reason of each; None when all were compiled."""
    failed = [each for each in rows if each.outcome.state != "held"]
    if not failed:
        return None
    facts = tuple((Path(each.model).name, each.outcome.message) for each in failed)
    kind = RequirementNotMet if all(each.outcome.state == "gate" for each in failed) else CompileError
    return kind(Diagnostic(f"{len(failed)} of {counted(len(rows), 'model')} failed", facts=facts, code=Code.SEARCH))


def _names(models: Sequence[Path]) -> list[str]:
    """A folder's name for each model: its own, with a number when an earlier one has the same."""
    names: list[str] = []
    for each in models:
        same = sum(Path(other).stem == each.stem for other in models[: len(names)])
        names.append(each.stem if not same else f"{each.stem}-{same + 1}")
    return names


def _as_dict(work: Work, rows: Sequence[SweepRow]) -> dict[str, Any]:
    return {
        "recipe": str(work.recipe or "recipe text"),
        "set": dict(work.fixed),
        "models": [asdict(each) for each in rows],
    }
