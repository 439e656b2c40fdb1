"""One pass over the nodes in order: each operator says between which numbers its results lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.ranges.range import UNBOUNDED, Range
from vggc.graph import Graph
from vggc.graph.arrays import is_float
from vggc.graph.domains import is_standard

_LARGEST = 1 << 20
"""Ranges of more elements become one pair for the whole value."""


class Ranges:
    """The ranges of all values of a graph whose nodes are in order, for finite inputs, or inputs of known ranges."""

    def __init__(self, graph: Graph, inputs: Mapping[str, Range] | None = None) -> None:
        self.graph = graph
        self._found: dict[int, Range] = {
            id(value): inputs[value.name] for value in graph.inputs if inputs and value.name in inputs
        }
        for node in graph.nodes:
            known = RULES.get(node.op) if is_standard(node) and not any(node.subgraphs()) else None
            dtype = graph.dtype(node.outputs[0]) if node.outputs else None
            if known is None or dtype is None or not is_float(dtype):
                continue
            with np.errstate(all="ignore"):
                found = known(self, node)
            results = found if isinstance(found, list) else [found]
            for value, each in zip(node.outputs, results, strict=False):
                if each is not None:
                    self._found[id(value)] = each.ordered() if each.low.size <= _LARGEST else each.ordered().hull()

    def of(self, value: gs.Tensor) -> Range:
        """The range of a value."""
        if isinstance(value, gs.Constant):
            array = self.graph.array(value)
            if array is None or not (is_float(array.dtype) or array.dtype.kind in "iu"):
                return UNBOUNDED
            exact = array.astype(np.float64)
            return Range(exact, exact) if exact.size <= _LARGEST else Range(exact, exact).hull()
        return self._found.get(id(value), UNBOUNDED)

    def along(self, value: gs.Tensor, axis: int, size: int) -> Range:
        """The range of each of `size` positions along one axis of a value, (size)."""
        found, rank = self.of(value), self.graph.rank(value)
        if rank is None or found.low.ndim > rank:
            found, rank = found.hull(), axis + 1
        ends = []
        for each, over in zip(found, (np.min, np.max), strict=True):
            whole = each.reshape([1] * (rank - each.ndim) + list(each.shape))
            line = over(whole, axis=tuple(at for at in range(rank) if at != axis))
            ends.append(np.broadcast_to(line, (size,)))
        return Range(*ends)

    def shaped(self, value: gs.Tensor) -> Range | None:
        """The range of a value with as many axes as the value has; None where that number is not known."""
        found, rank = self.of(value), self.graph.rank(value)
        if rank is None or found.low.ndim > rank:
            return None
        return Range(*(each.reshape([1] * (rank - each.ndim) + list(each.shape)) for each in found))


Rule = Callable[[Ranges, gs.Node], "Range | list[Range] | None"]
RULES: dict[str, Rule] = {}
"""What is known of the results of each operator, those of the first output where it has several."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register
