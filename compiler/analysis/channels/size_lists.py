"""Lists of sizes and positions that a graph computes or holds: Reshape's shape, Resize's sizes, Slice's ends.

A list that takes the length of an axis from the axis itself (Shape, Gather, Concat) is right by itself when channels
go. Where a list holds a number, the number is replaced. Everything else that looks at the shape of a value whose
channels go (a scale of 1/sqrt(C), say) keeps seeing the shape that the value had.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Axis
from vggc.analysis.channels.channel_cut import Slicing
from vggc.analysis.channels.records import Operand
from vggc.analysis.channels.sweep import Sweep
from vggc.analysis.shapes.integer_values import LIST_OPERATORS, IntegerValues
from vggc.analysis.shapes.multiples import factors
from vggc.graph.arrays import Dimensions
from vggc.graph.domains import is_standard
from vggc.graph.node_order import reads, subgraphs
from vggc.operators.data_movement import SHAPE_READERS

INFERRED = -1
"""The dimension of a Reshape that follows from the number of elements."""


class _Lengths(IntegerValues):
    """What is known of integers, each length of an axis that has channels under a name of its own."""

    def __init__(self, swept: Sweep) -> None:
        super().__init__(swept.graph, swept.statics.shape, swept.statics.shapes.array)
        self._swept = swept
        self.named: dict[str, Axis] = {}

    def shape(self, value: gs.Tensor) -> Dimensions | None:
        shape = super().shape(value)
        if shape is None:
            return None
        result = list(shape)
        for index, axis in enumerate(self._swept.lying(value)):
            if axis is not None:
                name = f"length of {id(axis)}"
                self.named[name] = axis
                result[index] = name
        return result


@dataclass(frozen=True, eq=False)
class _Change:
    """What an operand needs: the entries to replace, all its entries as they would be, and what it is computed from."""

    operand: Operand
    wanted: dict[int, int]
    entries: Dimensions | None
    sources: frozenset[int]


class Lists:
    """All lists of sizes of a graph, looked at before it is changed."""

    def __init__(self, slicing: Slicing) -> None:
        self._slicing = slicing
        self._graph = slicing.graph
        swept = slicing.groups.swept
        self._lengths = _Lengths(swept)
        self._operands = {(id(each.node), each.input): each for each in swept.operands}
        self._shapes: list[gs.Node] = []
        self._sources: dict[int, frozenset[int]] = {}
        self._changes: list[_Change] = []
        self._pinned: set[int] = set()
        for node in self._graph.nodes:
            self._lengths.visit(node)
            self._look(node)

    def rewrite(self) -> None:
        """Replace what is not right by itself."""
        for index in sorted(self._pinned):
            self._pin(self._shapes[index])
        for change in self._changes:
            if change.wanted and (change.sources & self._pinned or not self._is_right(change)):
                operand = change.operand
                value = operand.node.inputs[operand.input]
                new = self._replaced(value, self._known(change), change.wanted)
                self._graph.set_input(operand.node, operand.input, new)

    def _look(self, node: gs.Node) -> None:
        """Find out whether what a node reads depends on a shape that changes, and what to do about it."""
        if node.op in SHAPE_READERS and self._shrinks(node.inputs[0]):
            self._shapes.append(node)
            self._sources[id(node.outputs[0])] = frozenset([len(self._shapes) - 1])
            if node.op == "Size" or self._graph.is_output(node.outputs[0]):
                self._pinned.add(len(self._shapes) - 1)
            return
        onward: frozenset[int] = frozenset()
        for index, value in enumerate(node.inputs):
            sources = self._sources.get(id(value), frozenset())
            operand = self._operands.get((id(node), index))
            if operand is not None:
                change = _Change(operand, operand.wanted(self._slicing), self._entries(value), sources)
                self._changes.append(change)
                if sources and not self._is_right(change) and self._known(change) is None:
                    self._pinned |= sources
            elif node.op in LIST_OPERATORS and is_standard(node):
                onward |= sources
            else:
                self._pinned |= sources
        for body in subgraphs(node):
            for value in (*body.outputs, *(value for inner in body.nodes for value in reads(inner))):
                self._pinned |= self._sources.get(id(value), frozenset())
        for value in node.outputs if onward else ():
            self._sources[id(value)] = onward
            if self._graph.is_output(value):
                self._pinned |= onward

    def _shrinks(self, value: gs.Tensor) -> bool:
        return any(self._slicing.shrinks(axis) for axis in self._slicing.groups.swept.lying(value))

    def _entries(self, value: gs.Tensor) -> Dimensions | None:
        found = self._lengths.entries(value)
        if found is not None:
            return list(found.reshape(-1))
        return self._slicing.statics.entries(value) if self._slicing.statics.is_static(value) else None

    def _is_right(self, change: _Change) -> bool:
        """Whether each entry becomes, without any change, what it must be."""
        if change.entries is None:
            return not change.wanted and not change.sources
        for at, entry in enumerate(change.entries):
            axes = [] if entry is None else [self._lengths.named.get(name) for name in factors(entry)[1]]
            if at in change.wanted:
                axis = self._lengths.named.get(entry) if isinstance(entry, str) else None
                length = None if axis is None else self._slicing.length(axis)
                if length != change.wanted[at] and not (change.operand.inferred and entry == INFERRED):
                    return False
            elif any(axis and self._slicing.shrinks(axis) for axis in axes) or (entry is None and change.sources):
                return False
        return True

    def _known(self, change: _Change) -> list[int] | None:
        """The operand as a constant, its entries replaced; None where some are only known at run time."""
        known = self._slicing.statics.entries(change.operand.node.inputs[change.operand.input])
        if known is None:
            return None
        entries: Dimensions = [change.wanted.get(at, each) for at, each in enumerate(known)]
        if change.operand.inferred:
            # An entry that was to be inferred stays so, and one more thing that is not known may be.
            entries = [
                INFERRED if old == INFERRED or not isinstance(new, int) else new
                for old, new in zip(known, entries, strict=True)
            ]
            if entries.count(INFERRED) > 1:
                return None
        numbers = [each for each in entries if isinstance(each, int)]
        return numbers if len(numbers) == len(entries) else None

    def _replaced(self, value: gs.Tensor, known: list[int] | None, wanted: Mapping[int, int]) -> gs.Tensor:
        """A constant of the numbers that are known, or a computed list with some of its entries replaced."""
        dtype = self._graph.dtype(value) or np.dtype(np.int64)
        if known is not None:
            return self._graph.constant(np.array(known, dtype), hint=value.name)
        shape = self._slicing.statics.shape(value)
        length = max([each for each in shape or () if isinstance(each, int)], default=max(wanted) + 1)
        factor, offset = np.ones(length, dtype), np.zeros(length, dtype)
        for at, number in wanted.items():
            factor[at], offset[at] = 0, number
        rest = self._graph.add("Mul", [value, self._graph.constant(factor, hint=value.name)])
        return self._graph.add("Add", [rest.outputs[0], self._graph.constant(offset, hint=value.name)]).outputs[0]

    def _pin(self, node: gs.Node) -> None:
        """Let the readers of a Shape or Size see what it was."""
        old = self._slicing.statics.shape(node.inputs[0]) or []
        numbers = [each for each in old if isinstance(each, int)]
        if node.op == "Size":
            # The sweep has frozen what a Size of unknown dimensions looks at.
            self._graph.replace(
                node.outputs[0], self._graph.constant(np.array(math.prod(numbers), np.int64), hint="size")
            )
            return
        part = old[node.attrs.get("start", 0) : node.attrs.get("end")]
        if all(isinstance(each, int) for each in part):
            self._graph.replace(node.outputs[0], self._graph.constant(np.array(part, np.int64), hint="shape"))
            return
        twin = self._graph.add("Shape", list(node.inputs), like=node).outputs[0]
        twin.dtype, twin.shape = np.dtype(np.int64), [len(part)]
        wanted = {at: each for at, each in enumerate(part) if isinstance(each, int)}
        self._graph.replace(node.outputs[0], self._replaced(twin, None, wanted))
