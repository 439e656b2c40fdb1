"""`vggc.search`: the command of the same name, for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vggc.api.functions import explained
from vggc.api.given import Recipe, datasets, default_folder, in_memory, is_text, model_file, spelled_values
from vggc.api.progress import ProgressCallback, reported
from vggc.api.results import Shown
from vggc.pipeline.verify import VerifyMode
from vggc.report.record import Objective, Requirement
from vggc.trials.outcome import Outcome
from vggc.trials.record import PAGE, SearchRecord
from vggc.trials.search import search_recipe
from vggc.trials.settings import Keep, Sampler, Settings
from vggc.trials.trial import Work

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class SearchTrial:
    """A trial of the front.

    number        its number, from 0
    values        the values of the parameters that were searched, as recipes write them
    objectives    what it measured; times are those of the end of the search
    requirements  the requirements of the recipe, which it met
    recipe        the recipe with these values
    folder        its whole output; None when it was not kept
    """

    number: int
    values: Mapping[str, str]
    objectives: tuple[Objective, ...]
    requirements: tuple[Requirement, ...]
    recipe: Path
    folder: Path | None


@dataclass(frozen=True)
class Search(Shown):
    """A search that is done.

    folder  its folder
    record  the content of its search.json
    """

    folder: Path
    record: SearchRecord

    @property
    def front(self) -> tuple[SearchTrial, ...]:
        """The trials that no other one beats, the best in the first objective first."""
        return tuple(self._trial(each) for each in self.record.results)

    @property
    def best(self) -> SearchTrial:
        """The trial of the front that is nearest to the best of all objectives."""
        return next(each for each in self.front if each.number == self.record.best)

    @property
    def page(self) -> Path:
        """The search for a browser."""
        return self.folder / PAGE

    def _trial(self, outcome: Outcome) -> SearchTrial:
        output = self.record.outputs.get(str(outcome.number))
        return SearchTrial(
            outcome.number,
            outcome.values,
            tuple(outcome.objectives),
            tuple(outcome.requirements),
            self.folder / self.record.recipes[str(outcome.number)],
            None if output is None else self.folder / output,
        )

    def _tables(self) -> RenderableType:
        from rich.console import Group

        from vggc.trials.tables import search_summary

        notes = [f"note: {each}" for each in self.record.notes]
        return Group(search_summary(self.record, self.folder), *notes, f"\npage: {self.page}")

    def __repr__(self) -> str:
        return f"Search({str(self.folder)!r}: {len(self.record.trials)} trials, {len(self.record.front)} on the front)"


def search(
    recipe: Recipe,
    model: Any,
    *,
    out: str | Path | None = None,
    trials: int = 40,
    minutes: float | None = None,
    seed: int = 0,
    sampler: Sampler = "tpe",
    batch: int = 4,
    keep: Keep = "front",
    resume: bool = False,
    on: str = "here",
    resources: Mapping[str, float] | None = None,
    set: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    verify: VerifyMode = "end",
    progress: ProgressCallback | None = None,
    inputs: Sequence[str] = (),
    dynamic: Sequence[str] = (),
    python: bool = True,
) -> Search:
    """Search the parameters of a recipe for models that meet its goals.

    out        the folder of the search; `build/<model>-<recipe>-search` by default
    trials     how many trials to run
    minutes    no batch of trials begins later than this
    seed       the same seed gives the same trials
    sampler    how values are chosen: "tpe", "nsga2", "random" or "grid"
    batch      how many trials are suggested at once
    keep       of which trials the whole output is written: "best", "front" or "all"
    resume     continue the search in the folder
    on         where trials run: "here", "processes=N", "ray" or "ray=ADDRESS"
    resources  what a trial needs of a worker of the cluster, by Ray's names: {"GPU": 1}

    The other arguments are those of `compile`; parameters in `set` are not searched. Raises CompileError when the
    recipe, the model or the data is wrong, and RequirementNotMet when no trial meets all requirements.
    """
    settings = Settings(trials, minutes, seed, sampler, batch, keep, on, dict(resources or {}))
    show = reported(progress)
    with explained():
        folder = Path(f"{default_folder(recipe, model)}-search") if out is None else Path(out)
        samples = datasets(data)
        if on != "here":
            samples = {name: in_memory(each) for name, each in samples.items()}
        with model_file(model, inputs, dynamic, show) as file:
            work = Work(
                None if is_text(recipe) else Path(recipe),
                recipe if is_text(recipe) else "",
                file.path,
                file.name,
                spelled_values(set),
                samples,
                verify,
                python,
            )
            record = search_recipe(work, folder, settings, resume=resume, progress=show)
    record.notes[:0] = file.warnings
    return Search(folder, record)
