"""What is known of a step or a measure before anything runs, for the checks of passes and measures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from vggc.analysis.node_selection import named, names_of
from vggc.diagnostics import Code, Diagnostic, nearest, spelling_help
from vggc.graph import Graph
from vggc.pattern.context import Destination


class EarlierStep(NamedTuple):
    """A step that runs before the one that is checked, and all its options."""

    name: str
    options: Mapping[str, Any]


_QUICK_NODES = 2000
"""The most nodes of a model whose exact steps take less than about a second."""


def _unknown() -> Graph | None:
    return None


@dataclass(frozen=True)
class Beforehand:
    """What is known before anything runs.

    targets   what the model will be lowered to
    earlier   the last steps before this one, oldest first. A step that may be skipped, undone, or is not vggc's own can
              have any effect, so that the list begins after the last one of these
    as_read   the model as read; None without a model, and when its outputs may have other names here
    arriving  returns a graph whose nodes have the names that they will have for this step; None when only a run can
              show it. It may run earlier steps on a copy of the model
    exactly   whether the arriving graph is the one that this step will get, also in its weights and channels
    """

    targets: tuple[Destination, ...] = ()
    earlier: tuple[EarlierStep, ...] = ()
    as_read: Graph | None = None
    arriving: Callable[[], Graph | None] = _unknown
    exactly: bool = False

    def graph(self) -> Graph | None:
        """The graph that this step will get, to try on it what takes no time; it may be changed.

        None when only a run can show it, and for a large model, whose earlier steps take long.
        """
        if not self.exactly or self.as_read is None or len(self.as_read.nodes) > _QUICK_NODES:
            return None
        return self.arriving()

    def dead_names(self, options: Mapping[str, Any], *names: str) -> list[Diagnostic]:
        """An error for each name and glob in these options that matches no node of the graph that the step will get."""
        patterns = [(option, pattern) for option in names for pattern in options[option]]
        dead = [each for each in patterns if not _means_a_node(self.as_read, each[1])] if self.as_read else []
        # The steps before this one may make nodes with other names. This is looked up only for names that seem wrong.
        graph = self.arriving() if dead else None
        if graph is None:
            return []
        return [
            Diagnostic(
                f"`{option.removesuffix('_')}` names `{pattern}`, but no node of the model has that name",
                help=_similar(graph, pattern),
                code=Code.NO_NODE,
            )
            for option, pattern in dead
            if not _means_a_node(graph, pattern)
        ]


def _names(graph: Graph) -> set[str]:
    return {name for node in graph.nodes for name in (node.op, *names_of(node))}


def _similar(graph: Graph, pattern: str) -> str:
    """A help line with a name that is written nearly like the pattern, or else with the nodes."""
    close = nearest(pattern, _names(graph)) or nearest(re.sub(r"[*?.]+$", "", pattern), _names(graph))
    if close:
        return f"a similar name exists: `{close}`"
    return spelling_help(pattern, [node.name or node.outputs[0].name for node in graph.nodes], "its nodes")


def _means_a_node(graph: Graph, pattern: str) -> bool:
    return named(_names(graph), [pattern])


Check = Callable[[Mapping[str, Any], Beforehand], list[Diagnostic]]
"""The check of a pass or measure before anything runs.

It gets all options, the defaults among them; a data set is a `vggc.data.KnownData`. It returns errors for what cannot
work and warnings for what is probably a mistake, without places: the pipeline adds the line of the recipe.
"""
