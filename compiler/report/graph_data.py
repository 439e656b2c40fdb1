"""A graph as data for the page's scripts: columns and not a record for each node, because repeated keys take space."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from vggc.report.picture import Picture
from vggc.report.weight_statistics import WeightStatistics

_PLAIN = ("name", "key", "params", "bytes", "macs", "inputs", "origins", "reads", "earlier")
_REPEATED = ("op", "shape", "precision", "line", "maker", "attributes")
"""Texts that many nodes share: the column has their places in the list of texts."""


class GraphData:
    """The graphs of one page, with one list of texts and one of weights for all of them."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}
        self._weights: dict[WeightStatistics, int] = {}
        self._graphs: list[dict[str, Any]] = []

    def add(self, title: str, picture: Picture, measured: Mapping[str, Sequence[float | None]]) -> None:
        """Add a graph. `measured` has columns of numbers: one number, or None, for each node."""
        nodes = picture.nodes
        graph: dict[str, Any] = {name: [getattr(node, name) for node in nodes] for name in _PLAIN}
        for name in _REPEATED:
            graph[name] = [_place(self._texts, getattr(node, name)) for node in nodes]
        graph["weights"] = [[_place(self._weights, each) for each in node.weights] for node in nodes]
        graph["block"] = picture.blocks.of_node
        graph["blocks"] = {"name": picture.blocks.names, "parent": picture.blocks.parents}
        graph |= {"title": title, "ends": [picture.inputs, picture.outputs], "measured": dict(measured)}
        self._graphs.append(graph)

    def as_dict(self) -> dict[str, Any]:
        """The data as plain JSON values."""
        weights = [[each.name, each.kind, each.numbers, each.summary, each.read, each.size] for each in self._weights]
        return {"graphs": self._graphs, "texts": list(self._texts), "weights": weights}


def _place(known: dict[Any, int], value: Hashable) -> int:
    return known.setdefault(value, len(known))
