"""The page of `vggc report`: several compiles side by side, in one HTML file that needs no network."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

from vggc.report.page_frame import framed
from vggc.report.run_summary import Measure, Run
from vggc.report.sections import head_cell, heads, number_heads, section, text, titled_table

_CALM = 0.02
"""Times that differ by a smaller share count as equal: they differ from run to run."""


def runs_page(runs: Sequence[Run]) -> str:
    """The runs as columns. Rows in which they differ are marked, and those in which they do not can be hidden."""
    title = f"{len(runs)} runs" if len(runs) > 1 else runs[0].name
    parts = [
        ("measures", "Measures", _measures("measures", runs, lambda run: run.measures)),
        ("parameters", "Parameters", _texts("parameters", runs, lambda run: run.parameters)),
        ("recipes", "Recipes", _recipes(runs)),
        ("steps", "Steps", _texts("steps", runs, lambda run: run.steps)),
        ("widths", "Channels left", _measures("widths", runs, lambda run: run.widths)),
        ("times", "Time of each kernel", _measures("times", runs, lambda run: run.times)),
        ("losses", "Lost by each node", _measures("losses", runs, lambda run: run.lost)),
        ("facts", "Facts", _texts("facts", runs, lambda run: run.facts)),
    ]
    shown = [(name, heading, content) for name, heading, content in parts if content]
    names = ", ".join(run.name for run in runs)
    lead = f'<h1>{text(title)}</h1>\n<p class="lead">{text(names)}</p>\n{_FILTER}'
    return framed(
        title,
        "\n\n".join((lead, *(section(name, heading, content) for name, heading, content in shown))),
        links=[name for name, _, _ in shown],
        data={},
        scripts=("common.js", "runs.js"),
    )


_FILTER = '<p><label id="filter" hidden><input type="checkbox" id="different"> Only rows that differ</label></p>'


def _texts(section_name: str, runs: Sequence[Run], pick: Callable[[Run], Mapping[str, str]]) -> str:
    names = dict.fromkeys(name for run in runs for name in pick(run))
    rows = []
    for name in names:
        values = [pick(run).get(name, "") for run in runs]
        cells = "".join(f"<td>{text(each)}</td>" for each in values)
        rows.append(_row(name, cells, differs=len(set(values)) > 1))
    return _table(section_name, runs, rows, heads) if rows else ""


def _measures(section_name: str, runs: Sequence[Run], pick: Callable[[Run], Mapping[str, Measure]]) -> str:
    names = dict.fromkeys(name for run in runs for name in pick(run))
    rows = []
    for name in names:
        values = [pick(run).get(name) for run in runs]
        numbers = [None if each is None else each.number for each in values]
        cells = "".join(_cell(each, values[0]) for each in values)
        rows.append(_row(name, cells, differs=_differ(numbers)))
    return _table(section_name, runs, rows, number_heads) if rows else ""


def _differ(numbers: Sequence[float | None]) -> bool:
    known = [each for each in numbers if each is not None]
    return len(known) < len(numbers) or max(known) - min(known) > _CALM * max(map(abs, known))


def _cell(measure: Measure | None, first: Measure | None) -> str:
    """A number, and how much it differs from that of the first run."""
    if measure is None:
        return '<td class="n"></td>'
    change = ""
    if first is not None and first.number and first.number != measure.number:
        difference = measure.number - first.number
        # Decibels are a logarithm, of which a share has no meaning.
        shown = (
            f"{difference:+.1f} dB" if measure.text.endswith("dB") else f"{100 * difference / abs(first.number):+.1f}%"
        )
        change = f' <span class="was">{shown}</span>'
    return f'<td class="n" data-value="{measure.number}">{text(measure.text)}{change}</td>'


def _row(name: str, cells: str, *, differs: bool) -> str:
    kind = ' class="differs"' if differs else ""
    return f"<tr{kind}>{head_cell(name)}{cells}</tr>"


def _table(section_name: str, runs: Sequence[Run], rows: Sequence[str], columns: Callable[..., str]) -> str:
    head = heads("name") + columns(*(run.name for run in runs))
    return titled_table(section_name, f"{section_name.capitalize()} of the runs side by side", head, rows, tall=True)


def _recipes(runs: Sequence[Run]) -> str:
    """The recipe of the first run, and what the others change in it."""
    first = runs[0].recipe.splitlines()
    parts = [f"<p>{text(runs[0].name)}</p>\n<pre>{text(runs[0].recipe)}</pre>"]
    for run in runs[1:]:
        lines = list(difflib.unified_diff(first, run.recipe.splitlines(), n=1, lineterm=""))[2:]
        changed = f"<pre>{text(chr(10).join(lines))}</pre>" if lines else "<p>the same</p>"
        parts.append(f"<p>{text(run.name)}</p>\n{changed}")
    return "\n".join(parts)
