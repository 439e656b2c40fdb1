"""What was measured, as a person reads it in a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from vggc.bench import Bench
from vggc.cli.tables import plain_table
from vggc.diagnostics.number_text import human_bytes
from vggc.measures import format_value


def bench_page(found: Bench) -> RenderableType:
    """A row for each model and batch size, what was left out, and on what machine."""
    table = plain_table("model", "on", "batch", "p50", "p90", "p99", "samples/s", "memory", "ratio", right=2)
    for row in found.rows:
        table.add_row(
            row.model,
            row.runtime,
            str(row.batch),
            *(format_value(each, "seconds") for each in (row.p50, row.p90, row.p99)),
            f"{row.throughput:.4g}",
            "" if row.peak_bytes is None else human_bytes(row.peak_bytes),
            "" if row.ratio is None else f"{row.ratio:.2f}x",
        )
    machine = found.machine
    cores = f"{machine['threads']} of {machine['cores']} cores"
    where = f"{machine['processor']}, {cores}, onnxruntime {machine['onnxruntime']}"
    notes = [Text(f"note: {each}") for each in found.left_out]
    return Group(
        *([table] if found.rows else []), *([Text(), *notes] if notes else []), Text(), Text(where, style="dim")
    )
