"""The sections of report.html, as HTML text.

A section is a function of the report. Every text from outside of this file goes through `text`, which escapes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from vggc.diagnostics.number_text import counted, human_bytes, human_count
from vggc.measures import format_value
from vggc.pattern.context import NodePrecision
from vggc.report.record import Decline, Failure, ModelCost, Report, Requirement, StepRecord

_VERIFIED = {"each": "after every exact step", "end": "at the end of exact steps", "off": "not: --verify off"}
_ENDLESS_SQNR = 1000
"""What a column sorts by when outputs do not differ."""


@dataclass
class Line:
    """A line of the recipe, `my.opt:4`, with the steps, gates and files that belong to it."""

    place: str
    number: int
    text: str
    steps: list[tuple[int, StepRecord]] = field(default_factory=list)
    gates: list[Requirement] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Width:
    """A node that has lost output channels."""

    step: str
    node: str
    before: int | None
    after: int


# --- parts of sections -------------------------------------------------------------------------------------


def text(value: object) -> str:
    """A text, or a number, in HTML."""
    return escape(str(value))


def share(now: int | None, then: int | None) -> str:
    """`-50.0%`, `+3.1%` or `same`; empty when a number is unknown."""
    if now is None or not then:
        return ""
    return "same" if now == then else f"{100 * (now - then) / then:+.1f}%"


def number_cell(shown: object, value: object = None) -> str:
    """A cell with a number. `value` is what the column is sorted by, when this differs from what is shown."""
    data = "" if value is None else f' data-value="{text(value)}"'
    return f'<td class="n"{data}>{text(shown)}</td>'


def cell(shown: object) -> str:
    return f"<td>{text(shown)}</td>"


def head_cell(shown: object) -> str:
    return f'<th scope="row">{text(shown)}</th>'


def heads(*names: str) -> str:
    """The heads of columns with texts."""
    return "".join(f'<th scope="col">{text(each)}</th>' for each in names)


def number_heads(*names: str) -> str:
    """The heads of columns with numbers."""
    return "".join(f'<th scope="col" class="n">{text(each)}</th>' for each in names)


def table(head: str, rows: Iterable[str], caption: str, kind: str = "sortable") -> str:
    return (
        f'<table class="{kind}">\n{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{_lines(rows)}</tbody>\n</table>'
    )


def scrolled(content: str, label: str, *, tall: bool = False) -> str:
    return f'<div class="scroll{" tall" * tall}" tabindex="0" role="group" {label}>\n{content}\n</div>'


def titled_table(
    section: str, caption: str, head: str, rows: Iterable[str], *, tall: bool = False, kind: str = "sortable"
) -> str:
    """The table of a section, whose caption only screen readers show, since the section has a title."""
    content = table(head, rows, f'<caption class="hidden">{text(caption)}</caption>', kind)
    return scrolled(content, f'aria-labelledby="{section}-title"', tall=tall)


def section(name: str, title: str, *content: str) -> str:
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n<h2 id="{name}-title">{title}</h2>\n'
        f"{_lines(content)}</section>"
    )


def _lines(parts: Iterable[str]) -> str:
    return "".join(f"{each}\n" for each in parts if each)


# --- the sections ------------------------------------------------------------------------------------------


def lead(report: Report, title: str) -> str:
    checked = ""
    if report.verification:
        worst = max(each.error for each in report.verification)
        checked = f" Exact steps were compared with the model before them: largest relative error {worst:.1e}."
    if report.failure is not None:
        ran = f"Failed after {counted(len(report.steps), 'step')}, {report.seconds:.1f} s."
        return f'<h1>{text(title)}</h1>\n<p class="lead">{ran} No output was written.</p>'
    return (
        f'<h1>{text(title)}</h1>\n<p class="lead">{counted(len(report.steps), "step")}, '
        f"{counted(len(report.artifacts), 'file')} written, {report.seconds:.1f} s.{checked}</p>"
    )


def failure(failed: Failure) -> str:
    """The messages of a compile that failed."""
    shown = _lines(f"<pre>{text(each)}</pre>" for each in failed.messages)
    doing = f"<p>It was doing: {text(failed.doing)}</p>" if failed.doing else ""
    look_at = f"<p>Look at: {text(', '.join(failed.look_at))}</p>" if failed.look_at else ""
    title = '<h2 id="failure-title">Failure</h2>'
    return f'<section aria-labelledby="failure-title" class="warnings">\n{title}\n{shown}{doing}{look_at}\n</section>'


def cards(report: Report, last: ModelCost) -> str:
    """What a compile is for, before and after: time, MACs, weights, and how near the outputs are."""
    first = report.steps[0].before
    shown = [
        ("MACs", human_count(last.macs), f"from {human_count(first.macs)}", share(last.macs, first.macs)),
        ("weights", human_bytes(last.bytes), f"from {human_bytes(first.bytes)}", share(last.bytes, first.bytes)),
        ("parameters", human_count(last.params), f"from {human_count(first.params)}", share(last.params, first.params)),
    ]
    if report.latency is not None:
        then, now = report.latency.before, report.latency.after
        noise = f"± {1000 * max(each.high - each.low for each in (then, now)) / 2:.2g} ms"
        change = f"{100 * (now.median - then.median) / then.median:+.1f}%"
        was = f"from {1000 * then.median:.3g} ms, {noise}"
        if report.latency.meant_for:
            was, change = f"{was}; {report.latency.meant_for} was not measured", ""
        shown.insert(0, ("time on this CPU", f"{1000 * now.median:.3g} ms", was, change))
    if report.fidelity is not None and report.fidelity.outputs:
        worst = min(report.fidelity.outputs, key=lambda output: output.cosine)
        agreement, cosine, sqnr = worst.texts()
        fidelity = ("agreement", agreement, f"SQNR {sqnr}", "") if agreement else ("SQNR", sqnr, f"cosine {cosine}", "")
        shown.append(fidelity)
    rows = [
        f"<div><dt>{name}</dt><dd><strong>{text(now)}</strong> "
        f'<span class="was">{text(was)}</span> <span class="change">{change}</span></dd></div>'
        for name, now, was, change in shown
    ]
    return f'<dl class="cards">\n{_lines(rows)}</dl>'


def warnings(messages: Iterable[str]) -> str:
    listed = _lines(f"<li>{text(each)}</li>" for each in messages)
    title = '<h2 id="warnings-title">Warnings</h2>'
    return f'<section aria-labelledby="warnings-title" class="warnings">\n{title}\n<ul>\n{listed}</ul>\n</section>'


def recipe(report: Report, lines: Iterable[Line], name: str) -> str:
    caption = f"Each line of {report.recipe['path']} and its effect"
    shown = titled_table("recipe", caption, heads("line", name, "effect"), map(_recipe_row, lines), kind="recipe")
    given = ", ".join(
        f"<code>{text(name)} = {text(value)}</code>" for name, value in report.recipe["parameters"].items()
    )
    return section("recipe", "Recipe", shown, f"<p>Parameters: {given}</p>" if given else "")


def _recipe_row(line: Line) -> str:
    active = ' class="active"' if line.steps or line.gates or line.artifacts else ""
    effects = [part for number, step in line.steps for part in _effect(number, step)]
    for gate in line.gates:
        effects.append(f"<p>{badge(gate)} {text(gate.measured)}, wanted {text(gate.wanted)}</p>")
    for each in line.artifacts:
        effects.append(f'<p><a href="#files">{text(each["path"])}</a> {human_bytes(each["bytes"])}</p>')
    shown = f'<td class="number">{line.number}</td>\n<td><pre>{text(line.text)}</pre></td>'
    place = f' data-line="{text(line.place)}"' if line.steps else ""
    return f"<tr{active}{place}>\n{shown}\n<td>\n{_lines(effects)}</td>\n</tr>"


def _effect(number: int, step: StepRecord) -> list[str]:
    parts = [f"{step.total or 'no'} change{'' if step.total == 1 else 's'}"]
    if step.before.macs != step.after.macs:
        parts.append(f"MACs {share(step.after.macs, step.before.macs)}")
    if step.before.bytes != step.after.bytes:
        parts.append(f"weights {share(step.after.bytes, step.before.bytes)}")
    if step.declined:
        parts.append(f"{step.times_declined} declined")
    if step.cached:
        parts.append("from the cache")
    if step.undone:
        parts.append("undone")
    undone = ' class="undone"' if step.undone else ""
    shown = f'<p{undone}><a href="#step-{number}">{text(step.name)}</a>: {", ".join(parts)}</p>'
    return [shown, *(f"<p>{text(note)}</p>" for note in step.notes)]


def badge(gate: Requirement) -> str:
    return f'<span class="badge {text(gate.outcome.replace(" ", "-"))}">{text(gate.outcome)}</span>'


def steps(report: Report) -> str:
    if not report.steps:
        return section("steps", "Steps", "<p>The recipe has no steps.</p>")
    head = heads("#", "step", "line", "kind")
    head += number_heads("changes", "declined", "nodes", "parameters", "MACs", "weights", "seconds")
    first = _cost_cells(report.steps[0].before)
    read = f'<tr class="read"><td data-value="0"></td>{head_cell("model as read")}<td></td><td></td>'
    rows = [f"{read}{number_cell('')}{number_cell('')}{first}{number_cell('')}</tr>"]
    rows += [_step_row(number, step) for number, step in enumerate(report.steps, 1)]
    caption = "The steps in the order in which they ran, with the model's size after each"
    shown = titled_table("steps", caption, head, rows)
    return section("steps", "Steps", shown, *(_changes(step) for step in report.steps if step.changes))


def _step_row(number: int, step: StepRecord) -> str:
    undone = ' class="undone"' if step.undone else ""
    name = text(step.name) + (' <span class="badge warned">undone</span>' if step.undone else "")
    cells = [
        f'<td data-value="{number}">{number}</td><th scope="row">{name}</th>',
        cell(step.line),
        cell("exact" if step.exact else "lossy"),
        number_cell(step.total, step.total),
        number_cell(step.times_declined, step.times_declined),
        _cost_cells(step.after),
        number_cell(f"{step.seconds:.2f}{' (cached)' * step.cached}", step.seconds),
    ]
    return f'<tr id="step-{number}"{undone}>{"".join(cells)}</tr>'


def _cost_cells(cost: ModelCost) -> str:
    return (
        number_cell(cost.nodes, cost.nodes)
        + number_cell(human_count(cost.params), cost.params)
        + number_cell(human_count(cost.macs), cost.macs or 0)
        + number_cell(human_bytes(cost.bytes), cost.bytes)
    )


def _changes(step: StepRecord) -> str:
    title = f"What {text(step.name)} at {text(step.line)} did: {counted(step.total, 'change')}"
    rows = [
        f"<li>{text(what)}" + (f' <span class="times">{times} times</span>' if times > 1 else "") + "</li>"
        for what, times in step.changes.items()
    ]
    return f"<details><summary>{title}</summary>\n<ul>\n{_lines(rows)}</ul></details>"


def checks(report: Report) -> str:
    parts = []
    if report.requirements:
        rows = [
            f'<tr><th scope="row"><code>{text(each.text)}</code></th>{cell(each.line)}'
            f"{number_cell(each.measured, each.value)}{number_cell(each.wanted, each.limit)}<td>{badge(each)}</td></tr>"
            for each in report.requirements
        ]
        caption = "The requirements of the recipe and their measured values"
        head = heads("requirement", "line") + number_heads("measured", "wanted") + heads("outcome")
        parts.append(_checked("Requirements", caption, head, rows))
    if report.objectives:
        rows = [
            f'<tr><th scope="row"><code>{text(each.direction)} {text(each.text)}</code></th>{cell(each.line)}'
            f"{number_cell(each.measured, each.value)}{number_cell(each.original, each.first)}</tr>"
            for each in report.objectives
        ]
        caption = "The objectives of the recipe and their measured values"
        head = heads("objective", "line") + number_heads("measured", "model as read")
        parts.append(_checked("Objectives", caption, head, rows))
    if report.fidelity and report.fidelity.outputs:
        rows = []
        for output in report.fidelity.outputs:
            agreement, cosine, sqnr = output.texts()
            rows.append(
                f'<tr><th scope="row"><code>{text(output.name)}</code></th>'
                + number_cell(agreement, "" if output.agreement is None else output.agreement)
                + number_cell(cosine, output.cosine)
                + number_cell(sqnr, _ENDLESS_SQNR if output.sqnr is None else output.sqnr)
                + "</tr>"
            )
        caption = f"The compiled model compared with the model as read, on {report.fidelity.inputs}"
        head = heads("output") + number_heads("agreement", "cosine", "SQNR")
        parts.append(_checked("Fidelity", caption, head, rows))
    if report.verification:
        rows = [
            f"<tr>{head_cell(', '.join(each.steps))}{cell(each.inputs)}{number_cell(f'{each.error:.1e}', each.error)}"
            f"{number_cell(f'{each.tolerance:.1e}', each.tolerance)}</tr>"
            for each in report.verification
        ]
        caption = "Exact steps: the models before and after them, compared on the same inputs"
        head = heads("steps", "inputs") + number_heads("largest relative error", "allowed")
        parts.append(_checked("Numerical checks", caption, head, rows))
    return section("checks", "Checks", *parts)


def _checked(label: str, caption: str, head: str, rows: Iterable[str]) -> str:
    return scrolled(table(head, rows, f"<caption>{text(caption)}</caption>"), f'aria-label="{label}"')


def costs(report: Report, sums: Iterable[tuple[str, str]]) -> str:
    without = "A script draws the plots and the graph, but scripts are switched off here."
    figures = [
        _figure(
            "precision", "The types in which nodes compute, by the number of nodes that multiply and by their MACs."
        ),
        _figure(
            "macs",
            "MACs of each node, in the order in which they run."
            + "".join(f" {name.capitalize()}: {sentence}." for name, sentence in sums),
            wide=True,
        ),
        _figure(
            "bytes",
            "Bytes of weights of each node, in the order in which they run. "
            "The graph below lists every node with its numbers.",
            wide=True,
        ),
    ]
    if report.steps and any(each.kind == "ratio" for each in report.requirements):
        caption = (
            "Accuracy against cost: each ratio that a requirement measured, and the MACs of the model at that point. "
            "The table of requirements has the numbers."
        )
        figures.insert(0, _figure("gates", caption))
    if report.steps:
        caption = "Cost after each step, as a share of the model as read. The table of steps has the numbers."
        figures.insert(0, _figure("steps", caption))
    noscript = f"<noscript><p>{without} The tables contain the same numbers.</p></noscript>"
    return section("costs", "Costs", noscript, f'<div class="plots">\n{_lines(figures)}</div>')


def _figure(plot: str, caption: str, *, wide: bool = False) -> str:
    kind = f"plot{' wide' * wide}"
    return f'<figure class="{kind}" data-plot="{plot}"><figcaption>{text(caption)}</figcaption></figure>'


def sensitivity(rows: Iterable[tuple[StepRecord, str, float]]) -> str:
    shown = titled_table(
        "sensitivity",
        "The error of the outputs when each node alone is quantized",
        heads("node", "step", "line") + number_heads("error"),
        (
            f"<tr>{head_cell(node)}{cell(step.name)}{cell(step.line)}{number_cell(f'{error:.1e}', error)}</tr>"
            for step, node, error in rows
        ),
        tall=True,
    )
    about = "<p>The error of the outputs when a node alone is quantized, as a share of their variance.</p>"
    plot = _figure("sensitivity", "The most sensitive nodes. The table lists all nodes.", wide=True)
    return section("sensitivity", "Sensitivity", about, plot, shown)


def precisions(rows: Iterable[tuple[StepRecord, NodePrecision]]) -> str:
    shown = titled_table(
        "precisions",
        "The precision of each node, and what it was chosen by",
        heads("node", "step", "line", "precision") + number_heads("error when quantized", "ms saved"),
        (
            f"<tr>{head_cell(each.node)}{cell(step.name)}{cell(step.line)}{cell(each.precision)}"
            f"{number_cell(f'{each.error:.1e}', each.error)}"
            f"{number_cell(f'{each.milliseconds:.3g}', each.milliseconds)}</tr>"
            for step, each in rows
        ),
        tall=True,
    )
    about = (
        "<p>The error of the outputs when a node alone is quantized, as a share of their variance, and the "
        "milliseconds of a run with one sample that this saves. Nodes with much error for the time saved were left in "
        "a higher precision first.</p>"
    )
    return section("precisions", "Precisions", about, shown)


def widths(rows: Iterable[Width]) -> str:
    meters = '<th scope="col" aria-hidden="true"></th>'
    head = heads("node", "step") + number_heads("channels before", "after", "kept") + meters
    shown = titled_table("widths", "Nodes that have lost output channels", head, map(_width_row, rows))
    return section("widths", "Pruned widths", shown)


def _width_row(each: Width) -> str:
    cells = head_cell(each.node) + cell(each.step)
    cells += number_cell("?" if each.before is None else each.before) + number_cell(each.after)
    kept, meter = number_cell(""), ""
    if each.before:
        kept = number_cell(f"{100 * each.after / each.before:.0f}%", each.after / each.before)
        meter = f'<meter max="{each.before}" value="{each.after}"></meter>'
    return f'<tr>{cells}{kept}<td aria-hidden="true">{meter}</td></tr>'


def declined(rows: Sequence[tuple[StepRecord, Decline]], left: int) -> str:
    shown = titled_table(
        "declined",
        "Declined matches with their reasons",
        heads("step", "line", "what", "reason") + number_heads("times"),
        (
            f"<tr>{cell(step.name)}{cell(step.line)}{head_cell(each.what)}{cell(each.reason)}{number_cell(each.times)}</tr>"
            for step, each in rows
        ),
        tall=True,
    )
    about = "<p>What steps declined to change, and why.</p>"
    return section("declined", "Declined", about, shown, f"<p>{left} more in report.json.</p>" if left else "")


def files(report: Report) -> str:
    shown = "<p>No output was written.</p>" if report.failure else "<p>The recipe has no target.</p>"
    if report.artifacts:
        rows = [
            f"<tr>{head_cell(each['path'])}{cell(each['target'])}"
            f"{number_cell(human_bytes(each['bytes']), each['bytes'])}"
            f'<td><code class="hash">{text(each["sha256"])}</code></td></tr>'
            for each in report.artifacts
        ]
        shown = titled_table(
            "files", "Files written", heads("file", "target") + number_heads("size") + heads("SHA-256"), rows
        )
    model, written = report.model, report.recipe
    facts = (
        ("model", f"{text(model['path'])} ({human_bytes(model['bytes'])}) {_hash(model)}"),
        ("recipe", f"{text(written['path'])} {_hash(written)}"),
        ("checked", _VERIFIED[report.verify]),
    )
    listed = _lines(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return section("files", "Files", shown, f'<dl class="facts">\n{listed}</dl>')


def runs(report: Report) -> str:
    """The runs of what targets wrote for other runtimes, beside onnxruntime's."""
    rows = []
    for each in report.runs:
        seconds, reference = each["seconds"], each["onnxruntime_seconds"]
        rows.append(
            f"<tr>{head_cell(each['runtime'] + ' ' + each['version'])}{cell(each['target'])}"
            f"{cell(each['inputs'])}{number_cell(str(each['batch']), each['batch'])}"
            f"{number_cell(format_value(seconds, 'seconds'), seconds)}"
            f"{number_cell(format_value(reference, 'seconds'), reference)}"
            f"{number_cell(format(each['largest_error'], '.1e'), each['largest_error'])}"
            f"{number_cell(format(each['allowed'], '.1e'), each['allowed'])}</tr>"
        )
    titles = number_heads("batch", "median", "onnxruntime", "largest error", "allowed")
    title = "Run on this CPU, beside onnxruntime"
    return section("runs", "Runs", titled_table("runs", title, heads("runtime", "target", "inputs") + titles, rows))


def _hash(content: dict[str, Any]) -> str:
    return f'<code class="hash">{text(content["sha256"])}</code>'
