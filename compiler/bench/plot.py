"""The measurements of `vggc bench` as a plot: a dot for each median on a logarithmic axis, with a line to the p90."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from vggc.bench.models import Bench, BenchRow
from vggc.measures import format_value

_WIDTH, _LABELS, _ROW, _HEAD, _RIGHT, _SHARE = 860, 330, 22, 34, 90, 100
_COLOURS = ("#0b6fa4", "#b3541e", "#3a7d34", "#7a4fa3", "#8a6d00", "#555555")


def plot(bench: Bench) -> str:
    """An SVG with a panel for each batch size, and a colour for each runtime; with agreements in a column."""
    runtimes = list(dict.fromkeys(row.runtime for row in bench.rows))
    batches = list(dict.fromkeys(row.batch for row in bench.rows))
    parts: list[str] = []
    top = 10
    shares = any(row.agreement is not None for row in bench.rows)
    for batch in batches:
        rows = [row for row in bench.rows if row.batch == batch]
        parts += _panel(rows, runtimes, top, batch, _RIGHT + _SHARE * shares)
        top += _HEAD + _ROW * len(rows) + 30
    machine = bench.machine
    text = f"{machine['processor']}, {machine['threads']} threads"
    if shares:
        text += f"; agreement with the first model on {machine['samples']} samples"
    parts.append(f'<text x="10" y="{top + 4}" class="s">{escape(text)}</text>')
    style = "text{font:13px sans-serif;fill:#222}.s{font-size:11px;fill:#555}.h{font-weight:bold}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top + 16}" role="img" '
        f'aria-label="Median time of a run by model, runtime and batch size">\n<style>{style}</style>\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(rows: Sequence[BenchRow], runtimes: Sequence[str], top: int, batch: int, right: int) -> list[str]:
    least = math.floor(math.log10(min(row.p50 for row in rows)))
    most = max(math.ceil(math.log10(max(row.p90 for row in rows))), least + 1)
    scale = (_WIDTH - _LABELS - right) / (most - least)

    def x(seconds: float) -> float:
        return _LABELS + scale * (math.log10(seconds) - least)

    bottom = top + _HEAD + _ROW * len(rows)
    parts = [f'<text x="10" y="{top + 16}" class="h">batch {batch}: median time of a run, line to the p90</text>']
    if right > _RIGHT:
        parts.append(f'<text x="{_WIDTH - 10}" y="{top + 16}" text-anchor="end" class="h">agreement</text>')
    for power in range(least, most + 1):
        at = x(10.0**power)
        parts.append(f'<path d="M{at:.1f} {top + _HEAD - 6}V{bottom}" stroke="#ddd"/>')
        label = format_value(10.0**power, "seconds")
        parts.append(f'<text x="{at:.1f}" y="{bottom + 14}" text-anchor="middle" class="s">{label}</text>')
    for number, row in enumerate(rows):
        y = top + _HEAD + _ROW * number + 8
        colour = _COLOURS[runtimes.index(row.runtime) % len(_COLOURS)]
        name = f"{row.model.removesuffix('.json')} · {row.runtime}"
        parts.append(f'<text x="{_LABELS - 12}" y="{y + 4}" text-anchor="end">{escape(name[-50:])}</text>')
        parts.append(f'<path d="M{x(row.p50):.1f} {y}H{x(row.p90):.1f}" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<circle cx="{x(row.p50):.1f}" cy="{y}" r="5" fill="{colour}"/>')
        label = format_value(row.p50, "seconds")
        parts.append(f'<text x="{max(x(row.p50), x(row.p90)) + 9:.1f}" y="{y + 4}" class="s">{label}</text>')
        if row.agreement is not None:
            parts.append(f'<text x="{_WIDTH - 10}" y="{y + 4}" text-anchor="end">{row.agreement:.1%}</text>')
    return parts
