"""What the terminal shows of a search: a line for each trial, and the front as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from vggc.diagnostics.number_text import counted, human_bytes, human_count, human_seconds
from vggc.measures import format_value
from vggc.report.record import Objective
from vggc.report.terminal_tables import plain_table
from vggc.trials.outcome import Outcome
from vggc.trials.record import SearchRecord
from vggc.trials.sweep import SweepRow


def outcome_line(outcome: Outcome, count: int) -> str:
    """One trial in a line."""
    values = ", ".join(f"{name}={value}" for name, value in outcome.values.items())
    if outcome.state == "held":
        found = ", ".join(f"{each.text} {each.measured}" for each in outcome.objectives)
    else:
        found = outcome.message.splitlines()[0]
        failed = next((each for each in outcome.requirements if each.outcome == "failed"), None)
        if failed is not None:
            found += f" (measured {failed.measured})"
    known = f", {outcome.cached} of {outcome.steps} steps from the cache" if outcome.cached else ""
    return f"trial {outcome.number} of {count}: {values}: {found} ({human_seconds(outcome.seconds)}{known})"


def search_summary(record: SearchRecord, folder: Path) -> RenderableType:
    """The front, the recipes that were written, and what the cache saved."""
    names = list(record.space)
    table = plain_table("trial", *names, *(each.text for each in record.goals), "", right=1 + len(names))
    original = [_text(each.original, each.kind) for each in record.goals]
    table.add_row("model as read", *("" for _ in names), *original, "")
    for outcome in record.results:
        mark = "best" if outcome.number == record.best else ""
        values = [outcome.values[name] for name in names]
        table.add_row(str(outcome.number), *values, *map(_measured, outcome.objectives), mark)
    states = [sum(each.state == state for each in record.trials) for state in ("held", "gate", "error")]
    lines = [
        f"\n{counted(len(record.trials), 'trial')} in {human_seconds(record.seconds)}: {states[0]} met all requirements"
        f", {states[1]} did not, {states[2]} failed; the cache saved {human_seconds(record.saved)} of steps",
        f"recipe: {folder / record.recipes['best']}",
    ]
    if record.outputs:
        lines.append(f"outputs: {', '.join(str(folder / each) for each in record.outputs.values())}")
    return Group(table, *map(Text, lines))


def sweep_line(row: SweepRow) -> str:
    """One model in a line."""
    outcome = row.outcome
    return f"{row.model}: {outcome.message or 'done'} ({human_seconds(outcome.seconds)})"


def sweep_table(rows: Sequence[SweepRow]) -> RenderableType:
    """A row for each model: its size, what its requirements and objectives measured, and how it ended."""
    gates = list(dict.fromkeys(each.text for row in rows for each in row.outcome.requirements))
    goals = list(dict.fromkeys(each.text for row in rows for each in row.outcome.objectives))
    table = plain_table("model", "nodes", "params", "MACs", "bytes", *gates, *goals, "outcome")
    for row in rows:
        outcome, size = row.outcome, row.outcome.size
        sizes = [""] * 4 if size is None else [str(size.nodes), human_count(size.params), human_count(size.macs)]
        if size is not None:
            sizes.append(human_bytes(size.bytes))
        measured = {each.text: each.measured for each in outcome.requirements}
        measured |= {each.text: each.measured for each in outcome.objectives}
        ended = {"held": "done", "gate": "not met", "error": "failed"}[outcome.state]
        table.add_row(row.model, *sizes, *(measured.get(each, "") for each in [*gates, *goals]), ended)
    return table


def _measured(objective: Objective) -> str:
    noise = "" if objective.noise is None else f" ± {100 * objective.noise:.2g}%"
    return _text(objective.value, objective.kind) + noise


def _text(value: float | None, kind: str) -> str:
    return "" if value is None else format_value(value, kind)  # type: ignore[arg-type]
