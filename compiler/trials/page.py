"""The page of a search for a browser: the front, the trials, what parameters explain, and what failed and why."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from vggc.diagnostics.number_text import counted, human_seconds
from vggc.measures import format_value
from vggc.report import sections
from vggc.report.page_frame import PLOT_SCRIPTS, framed
from vggc.report.sections import cell, head_cell, heads, number_cell, number_heads, text
from vggc.trials.outcome import Outcome, numbers
from vggc.trials.record import Goal, SearchRecord

_STATES = {"held": "held", "gate": "failed", "error": "failed"}


def search_page(record: SearchRecord) -> str:
    """The page of a search, also of one that has not ended. Names are always escaped."""
    last = {each.number: each for each in [*record.trials, *record.measured_again]}
    trials = [last[each.number] for each in record.trials]
    title = f"{Path(record.model['path']).name} searched by {Path(record.recipe['path']).name}"
    failed = [each for each in trials if each.state != "held"]
    importances = [
        {"goal": goal.text, "parameter": name, "share": share}
        for goal, shares in zip(record.goals, record.importances, strict=False)
        for name, share in shares.items()
    ]
    main = [
        _lead(record, title),
        sections.warnings(record.notes) if record.notes else "",
        _cards(record),
        _front(record) if any(numbers(each) for each in trials) else "",
        _importance(importances) if importances else "",
        _trials(record, trials) if trials else "",
        _failures(record, failed) if failed else "",
        _recipe(record),
    ]
    names = ("front", "importance", "trials", "failures", "recipe")
    return framed(
        title,
        "\n\n".join(each for each in main if each),
        links=[each for each in names if any(f'<section id="{each}"' in part for part in main)],
        data=_data(record, trials, importances),
        scripts=(*PLOT_SCRIPTS, "search.js"),
    )


def _lead(record: SearchRecord, title: str) -> str:
    held = sum(each.state == "held" for each in record.trials)
    state = "" if record.finished else " The search has not ended."
    trials = f"{counted(len(record.trials), 'trial')} in {human_seconds(record.seconds)}"
    met = f"{trials}, {held} of which met all requirements."
    saved = f" The cache saved {human_seconds(record.saved)} of steps." if record.saved else ""
    return f'<h1>{text(title)}</h1>\n<p class="lead">{met}{saved}{state}</p>'


def _cards(record: SearchRecord) -> str:
    best = record.best_result
    if best is None:
        return ""
    rows = []
    for goal, each in zip(record.goals, best.objectives, strict=True):
        noise = "" if each.noise is None else f" ± {100 * each.noise:.2g}%"
        rows.append(
            f"<div><dt>{text(goal.text)}</dt><dd><strong>{text(_shown(goal, each.value))}{noise}</strong> "
            f'<span class="was">from {text(_shown(goal, each.first))}</span></dd></div>'
        )
    chosen = ", ".join(f"<code>{text(name)} = {text(value)}</code>" for name, value in best.values.items())
    return f'<dl class="cards">\n{"".join(rows)}</dl>\n<p>The best trial, {best.number}: {chosen}</p>'


def _front(record: SearchRecord) -> str:
    others = range(1, len(record.goals)) if len(record.goals) > 1 else [0]
    figures = [
        f'<figure class="plot wide" data-plot="front" data-goal="{index}"><figcaption>The trials that met all '
        "requirements. A click opens the report of a trial.</figcaption></figure>"
        for index in others
    ]
    figures.append(
        '<figure class="plot wide" data-plot="parallel"><figcaption>The values of each trial: a line over all '
        "parameters and objectives.</figcaption></figure>"
    )
    without = "<noscript><p>A script draws the plots, but scripts are switched off here.</p></noscript>"
    return sections.section("front", "Front", without, f'<div class="plots">{"".join(figures)}</div>')


def _importance(importances: list[dict[str, Any]]) -> str:
    figure = (
        '<figure class="plot wide" data-plot="importance"><figcaption>The share of the differences between trials that '
        "each parameter explains alone.</figcaption></figure>"
    )
    rows = [
        f"<tr>{head_cell(each['parameter'])}{cell(each['goal'])}"
        + number_cell(format_value(each["share"], "ratio"), each["share"])
        + "</tr>"
        for each in importances
    ]
    head = heads("parameter", "objective") + number_heads("share")
    shown = sections.titled_table("importance", "The importance of the parameters", head, rows)
    return sections.section("importance", "Importance of the parameters", figure, shown)


def _trials(record: SearchRecord, trials: list[Outcome]) -> str:
    head = number_heads("trial") + heads(*record.space) + number_heads(*(each.text for each in record.goals))
    head += heads("outcome") + number_heads("seconds", "from the cache")
    rows = [_trial_row(record, each) for each in trials]
    caption = "The trials in the order in which they were suggested"
    return sections.section("trials", "Trials", sections.titled_table("trials", caption, head, rows, tall=True))


def _trial_row(record: SearchRecord, trial: Outcome) -> str:
    name = f'<a href="{text(trial.page)}">{trial.number}</a>' if trial.page else str(trial.number)
    found = [
        number_cell(_shown(goal, each.value), each.value if each.value is not None else "")
        for goal, each in zip(record.goals, trial.objectives, strict=False)
    ]
    found += [number_cell("", "")] * (len(record.goals) - len(found))
    mark = "best" if trial.number == record.best else "front" if trial.number in record.front else ""
    shown = mark or {"held": "held", "gate": "not met", "error": "failed"}[trial.state]
    badge = f'<td><span class="badge {_STATES[trial.state]}">{shown}</span></td>'
    cached = f"{trial.cached} of {trial.steps} steps"
    return (
        f'<tr id="trial-{trial.number}"><th scope="row" class="n" data-value="{trial.number}">{name}</th>'
        + "".join(cell(trial.values[each]) for each in record.space)
        + "".join(found)
        + badge
        + number_cell(f"{trial.seconds:.1f}", trial.seconds)
        + number_cell(cached, trial.cached)
        + "</tr>"
    )


def _failures(record: SearchRecord, failed: list[Outcome]) -> str:
    """What failed and why: the trials by their reason, the most frequent one first."""
    reasons: dict[str, list[Outcome]] = defaultdict(list)
    for each in failed:
        reasons[each.message].append(each)
    rows = []
    for message, trials in sorted(reasons.items(), key=lambda pair: -len(pair[1])):
        nearest = min(trials, key=lambda each: each.shortfall)
        gate = next((each for each in nearest.requirements if each.outcome == "failed"), None)
        came = "" if gate is None else f"trial {nearest.number}: {gate.measured}, wanted {gate.wanted}"
        listed = ", ".join(str(each.number) for each in trials)
        rows.append(f"<tr>{head_cell(message)}{number_cell(len(trials), len(trials))}{cell(came)}{cell(listed)}</tr>")
    head = heads("reason") + number_heads("trials") + heads("nearest", "which")
    shown = sections.titled_table("failures", "The reasons why trials failed", head, rows)
    nearest_trial = "" if record.nearest is None else f"<p>Trial {record.nearest} came nearest to the requirements.</p>"
    return sections.section("failures", "What failed, and why", nearest_trial, shown)


def _recipe(record: SearchRecord) -> str:
    names = [name for key, name in record.recipes.items() if key == "best"]
    link = f'<p>With the values of the best trial: <a href="{text(names[0])}">{text(names[0])}</a></p>' if names else ""
    folders = [f'<a href="{text(each)}/report.html">{text(each)}</a>' for each in record.outputs.values()]
    outputs = f"<p>Whole outputs: {', '.join(folders)}</p>" if folders else ""
    return sections.section("recipe", "Recipe", link, outputs, f"<pre>{text(record.recipe['text'])}</pre>")


def _data(record: SearchRecord, trials: list[Outcome], importances: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "goals": [{"text": each.text, "kind": each.kind, "original": each.original} for each in record.goals],
        "space": [{"name": name, "values": list(values)} for name, values in record.space.items()],
        "trials": [
            {"number": each.number, "values": dict(each.values), "numbers": numbers(each), "page": each.page}
            for each in trials
        ],
        "front": record.front,
        "best": record.best,
        "importances": importances,
    }


def _shown(goal: Goal, value: float | None) -> str:
    return "" if value is None else format_value(value, goal.kind)  # type: ignore[arg-type]
