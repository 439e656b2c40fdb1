"""The search: suggest trials, run them, and write what they are.

    suggest -> run -> learn, batch by batch -> front -> measure the front again -> whole outputs, recipes, record, page

Everything is in one folder. A trial is kept as soon as it has ended, so that a search that is killed goes on there.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vggc import __version__
from vggc.cache.keys import file_hash
from vggc.diagnostics import Code, CompileError, Diagnostic, RequirementNotMet, fail
from vggc.diagnostics.number_text import counted
from vggc.diagnostics.progress import NO_PROGRESS, Progress
from vggc.pipeline.model import Pipeline
from vggc.pipeline.precheck import check_model
from vggc.trials.chosen_recipe import chosen_recipe
from vggc.trials.files import write_json, write_text
from vggc.trials.front import best_of, front_of, nearest_of
from vggc.trials.outcome import Outcome, comparable, reference_times
from vggc.trials.page import search_page
from vggc.trials.places import Place, check_place, open_place
from vggc.trials.record import PAGE, RECORD, Goal, SearchRecord
from vggc.trials.settings import Settings
from vggc.trials.space import space_of
from vggc.trials.suggest import Suggester, import_optuna
from vggc.trials.trial import Job, Work

JOURNAL = "search.journal"
"""optuna's storage of the study."""

TRIALS = "trials"
"""The folder of trials: `007.json` is the outcome of one, and `007/report.html` its report."""

OUTPUTS = "front"
"""The folder of whole outputs."""

Ended = Callable[[Outcome, int], None]
"""Called with each outcome, and the number of trials that there may be."""


def search_recipe(
    work: Work,
    folder: Path,
    settings: Settings,
    *,
    resume: bool = False,
    progress: Progress = NO_PROGRESS,
    ended: Ended = lambda outcome, count: None,
    warned: Callable[[Sequence[Diagnostic]], None] = lambda warnings: None,
) -> SearchRecord:
    """Search the parameters of a recipe for a model, and write everything into `folder`.

    Raises CompileError for a recipe, a model or a folder that cannot be searched, and RequirementNotMet (exit status 3)
    when no trial fulfils the requirements; everything is written then too.
    """
    import_optuna()
    check_place(settings.on, settings.resources)
    pipeline = work.bound({})
    warned(pipeline.warnings)
    space_of(pipeline)
    progress.begin("checking the recipe")
    warned(check_model(pipeline, work.model))
    counted_progress = _Counted(progress, settings.trials)
    search = _Search(work, pipeline, folder, settings, resume=resume, progress=counted_progress, ended=ended)
    record = search.run()
    if record.best is None:
        raise search.not_met()
    return record


class _Search:
    def __init__(
        self,
        work: Work,
        pipeline: Pipeline,
        folder: Path,
        settings: Settings,
        *,
        resume: bool,
        progress: _Counted,
        ended: Ended,
    ) -> None:
        self._started = time.perf_counter()
        self._work = work
        self._pipeline = pipeline
        self._folder = folder
        self._settings = settings
        self._progress = progress
        self._ended = ended
        self._directions = [each.direction for each in pipeline.objectives]
        space = space_of(pipeline)
        goals = [Goal(each.direction, each.text, each.measured.kind) for each in pipeline.objectives]
        self.record = SearchRecord(
            {**pipeline.described, "set": dict(work.fixed)},
            {
                "path": work.name or str(work.model),
                "sha256": file_hash(work.model),
                "bytes": work.model.stat().st_size,
            },
            asdict(settings),
            {name: each.values for name, each in space.items()},
            goals,
            version=__version__,
        )
        self._before = 0.0
        self._open_folder(resume)
        self._suggester = Suggester(space, self._directions, settings, folder / JOURNAL)
        self._outcomes = [self._kept(number) for number in range(self._suggester.done)]

    def run(self) -> SearchRecord:
        place = open_place(self._settings.on, [self._work], self._settings.resources, self._progress)
        try:
            self._run_trials(place)
            self._conclude()
            if self.record.front:
                self._finish_front(place)
        finally:
            place.close()
        self.record.finished = True
        self._write()
        return self.record

    # --- trials -------------------------------------------------------------------------------------------

    def _run_trials(self, place: Place) -> None:
        settings = self._settings
        while len(self._outcomes) < settings.trials:
            if settings.minutes is not None and self._seconds() >= 60 * settings.minutes:
                self.record.notes.append(f"no trial began after {settings.minutes:g} minutes")
                break
            suggested = self._suggester.suggest(min(settings.batch, settings.trials - len(self._outcomes)))
            if not suggested:
                self.record.notes.append(f"all {counted(self._suggester.combinations, 'combination')} have been tried")
                break
            known = [self._found(number, values) for number, values in suggested]
            batch = [each for each in known if each is not None]
            jobs = [
                Job(number, values, self._folder / TRIALS / f"{number:03}")
                for (number, values), found in zip(suggested, known, strict=True)
                if found is None
            ]
            self._progress.at(len(self._outcomes) + len(batch))
            for outcome in place.run(jobs):
                write_json(self._folder / TRIALS / f"{outcome.number:03}.json", outcome.as_dict())
                batch.append(outcome)
                self._progress.at(len(self._outcomes) + len(batch))
                self._ended(outcome, settings.trials)
            self._outcomes += sorted(batch, key=lambda each: each.number)
            self._suggester.learn(self._comparable()[-len(batch) :])
            self._conclude()
            self._write()

    def _found(self, number: int, values: dict[str, str]) -> Outcome | None:
        """The outcome of a trial that ended before the search was killed."""
        path = self._folder / TRIALS / f"{number:03}.json"
        if not path.is_file():
            return None
        outcome = self._kept(number)
        return outcome if dict(outcome.values) == values else None

    def _kept(self, number: int) -> Outcome:
        path = self._folder / TRIALS / f"{number:03}.json"
        try:
            return Outcome.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            help = "begin another search in another folder with -o"
            raise fail(
                f"the trial in `{path}` cannot be read, so that the search cannot go on", help=help, code=Code.SEARCH
            ) from None

    def _comparable(self) -> list[Outcome]:
        """All outcomes, with times as if all had been measured when the search began."""
        reference = reference_times(self._outcomes)
        return [comparable(each, reference) for each in self._outcomes]

    # --- results ------------------------------------------------------------------------------------------

    def _conclude(self) -> None:
        """Complete the record as far as the trials that have ended say."""
        record = self.record
        record.trials = self._comparable()
        front = front_of(record.trials, self._directions)
        best, nearest = best_of(front, self._directions), None if front else nearest_of(record.trials)
        record.front = [each.number for each in front]
        record.best = None if best is None else best.number
        record.nearest = None if nearest is None else nearest.number
        record.importances = self._suggester.importances()
        record.seconds = self._before + self._seconds()
        first = next((each.objectives for each in record.trials if each.objectives), [])
        if len(first) == len(record.goals):
            record.goals = [replace(goal, original=each.first) for goal, each in zip(record.goals, first, strict=True)]

    def _finish_front(self, place: Place) -> None:
        """Compile the trials of the front again, one after the other: times are measured alone, and outputs written.

        A time decides who belongs to the front, so the front is made again of what is measured now.
        """
        record, keep = self.record, self._settings.keep
        timed = any(objective.noise is not None for each in record.trials for objective in each.objectives)
        latest = {each.number: each for each in record.trials}
        again: dict[int, Outcome] = {}
        if timed or keep != "best":
            # A trial that a wrong time had kept from the front may belong to it after the others are measured again.
            while new := [
                each for each in front_of(list(latest.values()), self._directions) if each.number not in again
            ]:
                for each in new:
                    found = self._again(place, each, whole=keep != "best")
                    again[each.number] = latest[each.number] = comparable(found, reference_times(self._outcomes))
        for each in again.values():
            if each.state != "held":
                record.notes.append(f"trial {each.number} did not hold when it was measured again: {each.message}")
        front = self._front(latest.values())
        best = best_of(front, self._directions)
        record.measured_again = [again[number] for number in sorted(again)]
        record.front = [each.number for each in front]
        record.best = None if best is None else best.number
        for number in [each for each in record.outputs if int(each) not in record.front and keep != "all"]:
            shutil.rmtree(self._folder / record.outputs.pop(number))
        if keep == "all":
            others = [each for each in record.trials if each.state == "held" and each.number not in again]
            for each in others:
                self._again(place, each, whole=True)
        if record.best is None:
            nearest = nearest_of(list(latest.values()))
            record.nearest = None if nearest is None else nearest.number
            return
        if keep == "best":
            self._again(place, record.trials[record.best], whole=True)
        self._write_recipes()

    def _front(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        return front_of(list(outcomes), self._directions)

    def _again(self, place: Place, outcome: Outcome, *, whole: bool) -> Outcome:
        folder = self._folder / (OUTPUTS if whole else TRIALS) / f"{outcome.number:03}"
        self._progress.again(outcome.number)
        (again,) = place.run([Job(outcome.number, outcome.values, folder, whole)])
        if whole and again.state == "held":
            self.record.outputs[str(outcome.number)] = f"{OUTPUTS}/{outcome.number:03}"
        return again

    def _write_recipes(self) -> None:
        """Write the recipe of each trial of the front, and that of the best one."""
        from vggc.diagnostics.source import Source
        from vggc.grammar.parser import parse

        recipe = parse(Source(self._pipeline.source.path, self._pipeline.source.text))
        names = {str(each): f"recipe.{each:03}.opt" for each in self.record.front}
        self.record.recipes = {**names, "best": "recipe.best.opt"}
        for outcome in self.record.results:
            text = chosen_recipe(recipe, {**self._work.fixed, **outcome.values}, self._folder)
            (self._folder / names[str(outcome.number)]).write_text(text, encoding="utf-8")
            if outcome.number == self.record.best:
                (self._folder / "recipe.best.opt").write_text(text, encoding="utf-8")

    def not_met(self) -> CompileError:
        """The error when no trial fulfils the requirements: the nearest one, or what every trial failed with."""
        if not self.record.trials:
            return fail(self.record.notes[0], help="allow more `--minutes`", code=Code.SEARCH)
        nearest = next(each for each in self.record.trials if each.number == self.record.nearest)
        values = ", ".join(f"{name}={value}" for name, value in nearest.values.items())
        trials = counted(len(self.record.trials), "trial")
        facts = [("nearest", f"trial {nearest.number}: {values}")]
        page = ("page", str(self._folder / PAGE))
        failed = [each for each in nearest.requirements if each.outcome == "failed"]
        if not failed and nearest.state == "error":
            help = "the trials' reports say more"
            return CompileError(
                Diagnostic(
                    f"none of {trials} could be compiled",
                    facts=(*facts, ("error", nearest.message), page),
                    help=help,
                    code=Code.SEARCH,
                )
            )
        for each in failed:
            facts.append(("requirement", f"{each.text}: measured {each.measured}, wanted {each.wanted}"))
        help = "relax a requirement, widen the limits of the parameters, or go on with `--resume` and more `--trials`"
        message = f"no trial of {len(self.record.trials)} meets all requirements"
        return RequirementNotMet(Diagnostic(message, facts=(*facts, page), help=help, code=Code.REQUIREMENT))

    # --- the folder ---------------------------------------------------------------------------------------

    def _open_folder(self, resume: bool) -> None:
        """Make the folder, or check that the search in it is this one. Raises CompileError."""
        path = self._folder / RECORD
        if path.is_file():
            if not resume:
                help = "`--resume` continues it; -o names another folder"
                raise fail(f"the folder `{self._folder}` contains a search already", help=help, code=Code.SEARCH)
            self._continue(path)
        elif self._folder.is_dir() and any(self._folder.iterdir()):
            raise fail(
                f"the folder `{self._folder}` contains other files",
                help="name a new or empty folder with -o",
                code=Code.SEARCH,
            )
        (self._folder / TRIALS).mkdir(parents=True, exist_ok=True)
        self._write()

    def _continue(self, path: Path) -> None:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            then, self._before = _identity(found), float(found["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            raise fail(
                f"`{path}` is not the record of a search", help="name another folder with -o", code=Code.SEARCH
            ) from None
        now = _identity(json.loads(json.dumps(self.record.as_dict())))
        changed = [name for name, value in now.items() if then.get(name) != value]
        if changed:
            facts = tuple(("differs", f"{name}: now {now[name]}, then {then.get(name)}") for name in changed)
            help = "undo the change, or begin another search in another folder with -o"
            raise fail(f"this is not the search of `{self._folder}`", facts=facts, help=help, code=Code.SEARCH)

    def _write(self) -> None:
        write_json(self._folder / RECORD, self.record.as_dict())
        write_text(self._folder / PAGE, search_page(self.record))

    def _seconds(self) -> float:
        return time.perf_counter() - self._started


class _Counted(Progress):
    """Says which trial is running, and inside it what the compile of the trial does."""

    def __init__(self, shown: Progress, total: int) -> None:
        self._shown = shown
        self._total = total

    def at(self, done: int) -> None:
        if done < self._total:
            self._shown.begin(f"trial {done + 1} of {self._total}")

    def again(self, number: int) -> None:
        self._shown.begin(f"measuring trial {number} again")

    def begin(self, work: str, number: int = 0, total: int = 0) -> None:
        self._shown.inside(work, number, total)

    def inside(self, what: str, done: int = 0, total: int = 0) -> None:
        """The step that is running says enough."""


def _identity(record: dict[str, Any]) -> dict[str, Any]:
    """What must be the same in a search that goes on. Its length, its place and what it keeps may be others."""
    settings = record["settings"]
    return {
        "recipe": record["recipe"]["sha256"],
        "set": record["recipe"]["set"],
        "model": record["model"]["sha256"],
        "space": record["space"],
        **{name: settings[name] for name in ("seed", "sampler", "batch")},
    }
