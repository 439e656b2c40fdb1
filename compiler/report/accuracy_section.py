"""The section of the page that shows where accuracy goes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from math import log1p

from vggc.data.pictures import Picture as SamplePicture
from vggc.report.measured import Accuracy, Disagreement, Quantizer
from vggc.report.picture import Picture
from vggc.report.sections import cell, head_cell, heads, number_cell, number_heads, scrolled, section, table, text
from vggc.report.time_section import MOST_ROWS

_ABOUT = (
    "<p>Both models ran on {inputs}. SQNR compares each value of the compiled model with the same value of the model "
    "as read; of pruned values, the channels that are left. <em>Lost here</em> is the noise that the inputs of the "
    "node do not have, as a share of the signal.</p>"
)
_ENDLESS = 1000
_HIGH = 24
"""Pixels of a histogram."""


def accuracy_section(accuracy: Accuracy, after: Picture, pictures: Sequence[SamplePicture | None]) -> str:
    """Values, quantized values, confusion, and the samples on which the models differ most."""
    return section(
        "accuracy",
        "Accuracy",
        _ABOUT.format(inputs=text(accuracy.inputs)),
        _values(accuracy, after),
        _quantizers(accuracy) if accuracy.quantizers else "",
        _confusion(accuracy) if accuracy.confusion else "",
        _worst(accuracy.worst, pictures) if accuracy.worst else "",
    )


def sqnr_text(sqnr: float | None) -> str:
    return "nothing differs" if sqnr is None else f"{sqnr:.1f} dB"


def _values(accuracy: Accuracy, after: Picture) -> str:
    at = {node.key: number for number, node in enumerate(after.nodes)}
    rows = []
    for each in sorted(accuracy.values, key=lambda value: -value.lost):
        place = f' data-node="1 {at[each.value]}"' if each.value in at else ""
        rows.append(
            f"<tr{place}>{head_cell(each.node)}{number_cell(f'{100 * each.lost:.2g}%', each.lost)}"
            f"{number_cell(sqnr_text(each.sqnr), _ENDLESS if each.sqnr is None else each.sqnr)}"
            f"{cell('; '.join(each.causes))}</tr>"
        )
    caption = "<caption>Nodes of the compiled model, those that lost the most first, and what explains it</caption>"
    head = heads("node") + number_heads("lost here", "SQNR") + heads("why")
    left = f"<p>{len(rows) - MOST_ROWS} more in report.json.</p>" if len(rows) > MOST_ROWS else ""
    return scrolled(table(head, rows[:MOST_ROWS], caption), 'aria-label="Nodes by what they lost"', tall=True) + left


def _quantizers(accuracy: Accuracy) -> str:
    rows = [
        f"<tr>{head_cell(name)}{number_cell(f'{each.low:.3g}', each.low)}{number_cell(f'{each.high:.3g}', each.high)}"
        f"{number_cell(f'{each.limits[0]:.3g} to {each.limits[1]:.3g}', each.limits[1])}"
        f"{number_cell(f'{each.scale:.2g}', each.scale)}{number_cell(f'{100 * each.clipped:.2g}%', each.clipped)}"
        f'<td aria-hidden="true">{_histogram(each)}</td></tr>'
        for name, each in sorted(accuracy.quantizers.items(), key=lambda item: -item[1].clipped)[:MOST_ROWS]
    ]
    about = "what the samples need, and what the quantizer can represent, the most clipped first"
    caption = f"<caption>Quantized values: {about}</caption>"
    head = heads("value") + number_heads("lowest", "highest", "representable", "scale", "clipped")
    head += '<th scope="col" aria-hidden="true">histogram</th>'
    return scrolled(table(head, rows, caption), 'aria-label="Quantized values"', tall=True)


def _histogram(quantizer: Quantizer) -> str:
    """Bars by the logarithm of the counts, and a line at each limit of the quantizer that the numbers cross."""
    bars = quantizer.histogram
    most = log1p(max(bars, default=0)) or 1.0
    path = "".join(f"M{2 * at + 1} {_HIGH}v{-round(_HIGH * log1p(count) / most, 1)}" for at, count in enumerate(bars))
    width, span = 2 * len(bars), quantizer.high - quantizer.low
    lines = ""
    for limit in quantizer.limits:
        if span > 0 and quantizer.low < limit < quantizer.high:
            lines += f"M{round(width * (limit - quantizer.low) / span, 1)} 0v{_HIGH}"
    limits = f'<path d="{lines}" stroke="var(--bad)"/>' if lines else ""
    return (
        f'<svg class="histogram" width="{width}" height="{_HIGH}">'
        f'<path d="{path}" stroke="var(--after)" stroke-width="2"/>{limits}</svg>'
    )


def _confusion(accuracy: Accuracy) -> str:
    count = len(accuracy.confusion)
    rows = [
        f"<tr>{head_cell(number)}"
        + "".join(
            f'<td class="n{" off" if column != number and samples else ""}">{samples or ""}</td>'
            for column, samples in enumerate(row)
        )
        + "</tr>"
        for number, row in enumerate(accuracy.confusion)
    ]
    caption = (
        f"<caption>Samples by class of `{text(accuracy.output)}`: of the model as read (rows) and of the compiled one "
        "(columns)</caption>"
    )
    head = heads("class") + number_heads(*map(str, range(count)))
    return scrolled(table(head, rows, caption, "confusion"), 'aria-label="Confusion of classes"')


def _worst(worst: Sequence[Disagreement], pictures: Sequence[SamplePicture | None]) -> str:
    items = []
    for each, picture in zip_longest(worst, pictures[: len(worst)]):
        image = f'<img alt="" src="{picture.address}">' if picture is not None else ""
        classes = "" if each.before is None else f", class {each.before}"
        if each.before != each.after:
            classes += f" became {each.after}"
        items.append(f"<li>{image}sample {each.sample}{classes}, differs by {100 * each.difference:.2g}%</li>")
    return f'<p>The samples on which the models differ most:</p>\n<ul class="samples">\n{"".join(items)}</ul>'
