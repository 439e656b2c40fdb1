"""Which of the model's first channels those that are left are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels import Groups, Keep
from vggc.graph import Graph
from vggc.graph.arrays import Int64
from vggc.graph.extras import annotate, node_extras
from vggc.rewrite import Context

KEY = "vggc.channels"
"""Under it a node's metadata lists the numbers its output channels had in the model as read: `0-3, 7, 12`."""

SPARSITY = "vggc.sparsity"
"""Under it a node's metadata says which of its weights are zeros that are to stay: `2:4`, `unstructured`."""


def kept_outputs(groups: Groups, keep: Keep) -> dict[str, Int64]:
    """By the name of a node's first output the positions, (channels left,), of the output channels that stay.

    Only for nodes that lose some.
    """
    found = {}
    for each in groups.weighted:
        if each.outputs is not None and any(index in keep for index in each.outputs.groups):
            found[each.node.outputs[0].name] = each.outputs.kept(keep)
    return found


def note(graph: Graph, context: Context, kept: Mapping[str, list[int]]) -> None:
    """Write into nodes, and the report, which channels they had before; `kept` is what slicing has returned."""
    for name, left in kept.items():
        before = context.log.channels.get(name)
        context.log.channels[name] = left if before is None else [before[each] for each in left]
    for node in graph.nodes:
        channels = kept.get(node.name or node.outputs[0].name)
        if channels is None:
            continue
        earlier = channels_of(node)
        now = channels if earlier is None else [earlier[each] for each in channels]
        annotate(node, {KEY: written(now)})


def channels_of(node: gs.Node) -> list[int] | None:
    """The numbers a node's output channels had in the model as read; None when all are there."""
    text = node_extras(node).metadata.get(KEY)
    return None if text is None else parse(text)


def kept_channels(graph: Graph, original: Graph) -> dict[str, Int64]:
    """By the name of a node's output the positions of its channels among those it had in the model as read.

    A model that had been pruned before it was read numbers its channels as they were before that.
    """
    before = {node.name: channels_of(node) for node in original.nodes if node.name}
    found = {}
    for node in graph.nodes:
        channels, all_of_them = channels_of(node), before.get(node.name)
        if channels is not None and channels != all_of_them:
            places = {number: at for at, number in enumerate(all_of_them)} if all_of_them else None
            numbers = channels if places is None else [places[each] for each in channels if each in places]
            found[node.outputs[0].name] = np.array(numbers, np.int64)
    return found


def written(numbers: list[int]) -> str:
    """Rising numbers as ranges: `0-3, 7`."""
    ranges: list[list[int]] = []
    for each in numbers:
        if ranges and each == ranges[-1][1] + 1:
            ranges[-1][1] = each
        else:
            ranges.append([each, each])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


def parse(text: str) -> list[int]:
    """The numbers of such a list."""
    found: list[int] = []
    for each in text.split(", "):
        first, _, last = each.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
