"""The match that a Python rewrite receives, with its captures as attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.diagnostics import Declined
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.pattern.matcher import Found
from vggc.pattern.values import Absent


class Match:
    """A place where a pattern was found.

    Each name of the pattern is an attribute: an input is a `gs.Tensor`, `rest...` a tuple of them, a labelled node a
    `gs.Node`, an attribute a number, a text, a tuple or an array. What is optional and absent is None. Names that
    collide with those below are read with `match["name"]`.
    """

    def __init__(self, graph: Graph, found: Found) -> None:
        self.graph = graph
        self._found = found

    @property
    def nodes(self) -> tuple[gs.Node, ...]:
        """The matched nodes, each once, the first root first."""
        return tuple({id(each): each for each in self._found.nodes.values()}.values())

    @property
    def root(self) -> gs.Node:
        """The node that computes the first root."""
        return self._found.node

    @property
    def results(self) -> tuple[gs.Variable, ...]:
        """The values that are to be replaced, one for each root."""
        return self._found.roots

    def __getitem__(self, name: str) -> Any:
        value = self._found.names[name]
        return None if isinstance(value, Absent) else value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._found.names:
            raise AttributeError(f"the pattern has no name `{name}`")
        return self[name]

    def array(self, name: str) -> Array:
        """The numbers of a captured constant, read-only. Raises Declined when it is none."""
        value = self[name]
        found = None if value is None else self.graph.array(value)
        if found is None:
            raise Declined(f"`{name}` is not a compile-time constant")
        return found

    def constant(self, array: Any, like: str) -> gs.Constant:
        """A new constant of the type and named after one that is captured."""
        value = self[like]
        dtype = self.graph.dtype(value)
        return self.graph.constant(np.asarray(array, dtype), hint=value.name or like)

    def add(self, op: str, *inputs: gs.Tensor | None, like: gs.Node | None = None, **attributes: Any) -> gs.Node:
        """A new node in the place of the matched ones; `like` gives it attributes and name."""
        return self.graph.add(op, list(inputs), attributes, like=like, replaces=self.nodes)
