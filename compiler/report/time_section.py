"""The section of the page that shows where time goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vggc.report.measured import Latency, NodeTime, Timing
from vggc.report.picture import Node, Picture
from vggc.report.sections import head_cell, heads, number_cell, number_heads, scrolled, section, table, text

_ABOUT = (
    "<p>onnxruntime on this CPU, {inputs}: {before} for the model as read, {after} for the compiled one. The range is "
    "that of the middle half of the runs, which took turns. The times of nodes are onnxruntime's own, which measuring "
    "makes a little longer. Nodes that one kernel computes together are one row.</p>"
)

_MEANT_FOR = (
    "<p>The compiled model is for {targets}, where nothing was measured. On a CPU, quantizers that are placed for a "
    "GPU take time of their own.</p>"
)

MOST_ROWS = 200
"""The most rows of a table of nodes. report.json has all of them, and the graph shows each."""


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def timing_text(timing: Timing) -> str:
    """`1.23 ms (1.20 to 1.31, 50 runs)`."""
    low, high = (f"{1000 * each:.3g}" for each in (timing.low, timing.high))
    return f"{milliseconds(timing.median)} ({low} to {high}, {timing.runs} runs)"


def time_section(latency: Latency, before: Picture, after: Picture) -> str:
    """The kernels of both models, the slowest first."""
    about = _ABOUT.format(
        inputs=text(latency.inputs), before=timing_text(latency.before), after=timing_text(latency.after)
    )
    if latency.meant_for:
        about += _MEANT_FOR.format(targets=text(latency.meant_for))
    tables = [
        _kernels(name, nodes, latency.other[side], picture)
        for side, (name, nodes, picture) in enumerate(
            (("Compiled", latency.nodes[1], after), ("As read", latency.nodes[0], before))
        )
    ]
    return section("time", "Time", about, *tables)


def _kernels(name: str, nodes: Sequence[NodeTime], other: float, picture: Picture) -> str:
    by_value = {node.key: (at, node) for at, node in enumerate(picture.nodes)}
    side = 1 if name == "Compiled" else 0
    total = sum(each.seconds for each in nodes) + other
    rows = []
    for each in nodes:
        members = [by_value[value] for value in each.values if value in by_value]
        if not members:
            continue
        at, main = main_node(members)
        rest = [node for _, node in members if node is not main]
        with_ = ", ".join(node.op for node in rest)
        rows.append(
            f'<tr data-node="{side} {at}">{head_cell(f"{main.op} {main.name or main.key}")}'
            f"<td>{text(with_)}</td><td>{text(main.line)}</td>{number_cell(milliseconds(each.seconds), each.seconds)}"
            f"{number_cell(f'{100 * each.seconds / total:.1f}%', each.seconds)}</tr>"
        )
    if other:
        rows.append(
            f"<tr>{head_cell('other kernels')}<td></td><td></td>{number_cell(milliseconds(other), other)}"
            f"{number_cell(f'{100 * other / total:.1f}%', other)}</tr>"
        )
    head = heads("node", "computed together with", "line") + number_heads("time", "share")
    caption = f"<caption>{name}: the time of each kernel, the slowest first</caption>"
    left = f"<p>{len(rows) - MOST_ROWS} more in report.json.</p>" if len(rows) > MOST_ROWS else ""
    label = f'aria-label="{name}: the time of each kernel"'
    return scrolled(table(head, rows[:MOST_ROWS], caption), label, tall=True) + left


def main_node(members: Sequence[tuple[int, Node]]) -> tuple[int, Node]:
    """Of the nodes of one kernel that with the most MACs, or else the last one. Members are positions and nodes."""
    return max(members, key=lambda each: (each[1].macs or 0, each[0]))


def node_times(latency: Latency | None, side: int, picture: Picture) -> list[float | None]:
    """By node: the milliseconds of the kernel that is shown under its name; None for nodes without one."""
    found: list[float | None] = [None] * len(picture.nodes)
    if latency is None:
        return found
    by_value: Mapping[str, tuple[int, Node]] = {node.key: (at, node) for at, node in enumerate(picture.nodes)}
    for each in latency.nodes[side]:
        members = [by_value[value] for value in each.values if value in by_value]
        if members:
            found[main_node(members)[0]] = float(f"{1000 * each.seconds:.4g}")
    return found
