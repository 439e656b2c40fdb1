"""The measurements of `vggc bench` as a page in the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from vggc.bench import Bench
from vggc.cli.tables import plain_table
from vggc.diagnostics.number_text import human_bytes
from vggc.measures import format_value


def bench_page(bench: Bench) -> RenderableType:
    """A row for each model and batch size, then what was not measured, and the machine."""
    shares = [name for name in ("agreement", "accuracy") if any(getattr(row, name) is not None for row in bench.rows)]
    heads = ("model", "on", "batch", "p50", "p90", "p99", "samples/s", "memory", "error", *shares, "ratio")
    table = plain_table(*heads, right=2)
    for row in bench.rows:
        table.add_row(
            row.model,
            row.runtime,
            str(row.batch),
            *(format_value(each, "seconds") for each in (row.p50, row.p90, row.p99)),
            f"{row.throughput:.4g}",
            "" if row.peak_bytes is None else human_bytes(row.peak_bytes),
            "" if row.error is None else f"{row.error:.0e}",
            *("" if (share := getattr(row, name)) is None else f"{share:.2%}" for name in shares),
            "" if row.ratio is None else f"{row.ratio:.2f}x",
        )
    machine = bench.machine
    cores = f"{machine['threads']} of {machine['cores']} cores"
    description = f"{machine['processor']}, {cores}, onnxruntime {machine['onnxruntime']}"
    if "samples" in machine:
        description += f", compared on {machine['samples']} samples"
    notes = [Text(f"note: {each}") for each in bench.left_out]
    return Group(
        *([table] if bench.rows else []), *([Text(), *notes] if notes else []), Text(), Text(description, style="dim")
    )
