"""Suggestions: the same for the same seed, whoever ran the trials, and whether or not the search was ended between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vggc.report.record import Objective
from vggc.trials.outcome import Outcome
from vggc.trials.settings import SAMPLERS, Settings
from vggc.trials.space import Domain
from vggc.trials.suggest import Suggester

pytest.importorskip("optuna", reason="optuna is not installed")

SPACE = {
    "keep": Domain(tuple(map(str, range(20))), True, "7"),
    "bits": Domain(("int8", "fp16", "none"), False, "fp16"),
}


def outcome(number: int, values: dict[str, str]) -> Outcome:
    """Small values of `keep` with `bits=none` do not hold, and others cost what they are worth."""
    keep, bits = int(values["keep"]), values["bits"]
    if bits == "none" and keep < 10:
        return Outcome(number, values, "error", message="too small")
    found = [float(keep), keep**0.5 + (bits == "int8")]
    objectives = [Objective("r.opt:1", "minimize", "a", "", "", each, None, "number") for each in found]
    return Outcome(number, values, "held", objectives)


def suggested(journal: Path, settings: Settings, *, ended: int | None = None, order: int = 1) -> list[Any]:
    """All suggestions of a search. It is ended and continued once when `ended` trials are done."""
    suggester = Suggester(SPACE, ["minimize", "maximize"], settings, journal)
    found = []
    while suggester.done < settings.trials:
        if suggester.done == ended:
            ended = None
            # A batch that was suggested and not learned from is lost with the process.
            suggester.suggest(settings.batch)
            suggester = Suggester(SPACE, ["minimize", "maximize"], settings, journal)
        batch = suggester.suggest(settings.batch)
        found += batch
        suggester.learn([outcome(*each) for each in batch][::order])
    return found


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_suggests_the_same(sampler: Any, tmp_path: Path) -> None:
    settings = Settings(trials=24, batch=4, sampler=sampler)
    found = suggested(tmp_path / "a", settings)
    assert [number for number, _ in found] == list(range(24))
    assert len({tuple(values.items()) for _, values in found}) == 24
    assert suggested(tmp_path / "b", settings, ended=12) == found
    assert suggested(tmp_path / "c", settings, order=-1) == found
    assert suggested(tmp_path / "d", replace(settings, seed=1)) != found


def test_the_first_trial_has_the_recipes_values(tmp_path: Path) -> None:
    suggester = Suggester(SPACE, ["minimize", "maximize"], Settings(), tmp_path / "a")
    assert suggester.suggest(1) == [(0, {"keep": "7", "bits": "fp16"})]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_combination_is_tried_once(sampler: Any, tmp_path: Path) -> None:
    suggester = Suggester(SPACE, ["minimize", "maximize"], Settings(sampler=sampler), tmp_path / "a")
    seen = []
    while batch := suggester.suggest(7):
        seen += [tuple(values.items()) for _, values in batch]
        suggester.learn([outcome(*each) for each in batch])
    assert len(seen) == len(set(seen)) == suggester.combinations == 60


def test_the_importance_of_parameters(tmp_path: Path) -> None:
    suggester = Suggester(SPACE, ["minimize", "maximize"], Settings(sampler="random"), tmp_path / "a")
    assert suggester.importances() == [{}, {}]
    batch = suggester.suggest(40)
    suggester.learn([outcome(*each) for each in batch])
    first, second = suggester.importances()
    assert first["keep"] > 0.9 and sum(first.values()) == pytest.approx(1)
    assert second["bits"] > 0
