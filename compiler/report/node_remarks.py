"""What a compile has measured of single nodes, for their drawing and their facts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from vggc.report.picture import Picture
from vggc.report.record import Report
from vggc.report.sections import Width


def node_errors(report: Report, after: Picture) -> list[float | None]:
    """By node of the compiled model: the SQNR of its first result in dB; None when it is not known or endless."""
    values = report.accuracy.values if report.accuracy is not None else ()
    known = {each.value: each.sqnr for each in values}
    return [None if (sqnr := known.get(node.key)) is None else round(sqnr, 2) for node in after.nodes]


def node_remarks(report: Report, before: Picture, after: Picture) -> list[dict[int, list[tuple[str, str]]]]:
    """By graph and node: what the measurements say of it, as titles and texts for the facts of the node."""
    found: list[dict[int, list[tuple[str, str]]]] = [defaultdict(list), defaultdict(list)]
    pictures = (before, after)
    places = [{node.key: at for at, node in enumerate(picture.nodes)} for picture in pictures]
    for side, nodes in enumerate(report.latency.nodes if report.latency is not None else ()):
        for kernel in nodes:
            members = [places[side][value] for value in kernel.values if value in places[side]]
            for at in members if len(members) > 1 else ():
                others = ", ".join(pictures[side].nodes[each].op for each in members if each != at)
                found[side][at].append(("computed together with", others))
    if report.accuracy is not None:
        for value in report.accuracy.values:
            if value.lost and value.value in places[1]:
                why = f"{100 * value.lost:.2g}% of the signal" + "".join(f"; {each}" for each in value.causes)
                found[1][places[1][value.value]].append(("lost here", why))
    names = {node.name: at for at, node in enumerate(after.nodes) if node.name}
    for step in report.steps:
        for name, left in ({} if step.undone else step.channels).items():
            if name in names:
                found[1][names[name]].append((f"channels left by {step.line}", number_runs(left)))
        for name, error in ({} if step.undone else step.repaired).items():
            if name in names:
                found[1][names[name]].append(
                    (f"error after the repair of {step.line}", f"{100 * error:.2g}% of the variance")
                )
    return found


def number_runs(numbers: Sequence[int]) -> str:
    """`0 to 3, 5`: ascending numbers as runs."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def kept_shares(after: Picture, widths: Sequence[Width]) -> list[float | None]:
    """By node of the compiled model: the share of its output channels that all steps have left, None for all."""
    first: dict[str, int] = {}
    for each in widths:
        if each.before:
            first.setdefault(each.node, each.before)
    shares = {each.node: each.after / first[each.node] for each in widths if each.node in first}
    return [shares.get(node.name) for node in after.nodes]
