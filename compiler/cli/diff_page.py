"""The comparison of two models as a page in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from vggc.cli.tables import plain_table
from vggc.diagnostics.number_text import human_bytes, human_count
from vggc.diff import ModelDiff, NumericDiff, Structure, ValueDifference
from vggc.diff.structure import READ

_SHOWN = 12
"""Lines of each list. `--json` writes all of them."""


def diff_page(comparison: ModelDiff, first: Path, second: Path) -> RenderableType:
    """Structure, then numbers, then the first value that diverges, at the end where most people look."""
    parts = [_sizes(comparison.structure, first, second), *_structure(comparison.structure)]
    if comparison.numbers is None:
        parts += [Text(), Text(f"numbers: not compared, because {comparison.not_run}")]
    else:
        parts += [_outputs(comparison.numbers), *_values(comparison.numbers), Text(), Text(_verdict(comparison))]
    return Group(*parts)


def _sizes(structure: Structure, first: Path, second: Path) -> RenderableType:
    table = plain_table("", str(first), str(second), right=1)
    old, new = structure.sizes
    for label, was, now in (
        ("nodes", str(old.nodes), str(new.nodes)),
        ("params", human_count(old.params), human_count(new.params)),
        ("MACs", human_count(old.macs), human_count(new.macs)),
        ("weights", human_bytes(old.bytes), human_bytes(new.bytes)),
        ("opset", str(old.opset), str(new.opset)),
    ):
        table.add_row(label, was, now)
    for op, (was_count, now_count) in structure.operators.items():
        if was_count != now_count:
            table.add_row(op, str(was_count), str(now_count))
    lines = sorted({*structure.provenance[0], *structure.provenance[1]} - {READ})
    for line in lines:
        table.add_row(f"from {line}", *(str(each.get(line, 0)) for each in structure.provenance))
    return table


def _structure(structure: Structure) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for title, lines in (
        ("interface", structure.interface),
        ("only in the first", structure.only_before),
        ("only in the second", structure.only_after),
        ("changed", [_change(each.before, each.after, each.changes) for each in structure.changed]),
    ):
        parts += _list(title, lines)
    if structure.same:
        parts += [Text(), Text("structure: the same")]
    if structure.matched.get("structure"):
        counts = ", ".join(f"{count} by {method}" for method, count in sorted(structure.matched.items()))
        parts += [Text(), Text(f"matched nodes: {counts}")]
    return parts


def _change(before: str, after: str, changes: Sequence[str]) -> str:
    return f"{before if before == after else f'{before}, {after}'}: {'; '.join(changes)}"


def _list(title: str, lines: Sequence[str]) -> list[RenderableType]:
    if not lines:
        return []
    more = [Text(f"  and {len(lines) - _SHOWN} more (--json has all)")] if len(lines) > _SHOWN else []
    return [
        Text(),
        Text(f"{title} ({len(lines)})", style="bold"),
        *(Text(f"  {each}") for each in lines[:_SHOWN]),
        *more,
    ]


def _outputs(numbers: NumericDiff) -> RenderableType:
    if not numbers.outputs:
        return Text(f"\nnumbers, on {numbers.inputs}")
    table = plain_table(f"\noutput, on {numbers.inputs}", "\nerror", "\nallowed", "\nSQNR", "\n", right=1, left=4)
    for each in numbers.outputs:
        table.add_row(_names(each), *_distance(each))
    return table


def _values(numbers: NumericDiff) -> list[RenderableType]:
    """The first values that diverge. A list of those that agree would not help anybody."""
    diverging = [each for each in numbers.values if not each.ok]
    compared = f"{len(numbers.values)} intermediate values compared, {len(diverging)} diverge"
    if not diverging:
        return [Text(), Text(compared)]
    table = plain_table(f"\n{compared}", "\nerror", "\nallowed", "\nSQNR", "\n", right=1, left=4)
    for each in diverging[:_SHOWN]:
        table.add_row(f"{_names(each)} of {each.node_before}", *_distance(each))
    more = [Text(f"and {len(diverging) - _SHOWN} more (--json has all)")] if len(diverging) > _SHOWN else []
    return [table, *more]


def _names(value: ValueDifference) -> str:
    return f"`{value.before}`" if value.before == value.after else f"`{value.before}`, `{value.after}`"


def _distance(value: ValueDifference) -> tuple[str, str, str, str]:
    error = value.difference.error
    sqnr = "" if value.sqnr is None or math.isinf(value.sqnr) else f"{value.sqnr:.1f} dB"
    note = "random" if value.random else value.difference.distance.note
    return ("-" if math.isinf(error) else f"{error:.1e}", f"{value.difference.tolerance:.1e}", sqnr, note)


def _verdict(comparison: ModelDiff) -> str:
    assert comparison.numbers is not None
    first = comparison.numbers.first
    broken = f"the second model does not run: {comparison.numbers.broken}" if comparison.numbers.broken else ""
    if first is None:
        return broken or "both models compute the same"
    nodes = first.node_before if first.node_before == first.node_after else f"{first.node_before}, {first.node_after}"
    lines = [f"first to diverge: {_names(first)} of {nodes}: {first.difference}"]
    changes = [
        each
        for each in comparison.structure.changed
        if (each.before, each.after) == (first.node_before, first.node_after)
    ]
    lines += [f"  {line}" for each in changes for line in each.changes]
    return "\n".join([*([broken] if broken else []), *lines])
