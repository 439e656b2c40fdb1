"""What is left of a model's cost when channels go: exact for atoms, and for counts wherever counts decide it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Axis
from vggc.analysis.channels.static_chains import operands, producer
from vggc.analysis.costs import costs, weights
from vggc.graph import Graph
from vggc.graph.arrays import Int64
from vggc.operators.data_movement import SHAPE_READERS

if TYPE_CHECKING:
    from vggc.analysis.channels.groups import Groups

Left = Mapping[int, int | Sequence[int] | Int64]
"""By group id what stays: a count, or the atoms themselves. A group that is not named keeps all."""


@dataclass(frozen=True)
class TotalCost:
    """Of a whole model, as `vggc.analysis.costs` counts it. `macs` is None when those of some node are not known."""

    params: float
    macs: float | None
    bytes: float


@dataclass(frozen=True, eq=False)
class _Length:
    """How long an axis is: `fixed` positions, and of each group `share`, spread over its atoms as `spread` says."""

    size: int
    fixed: int
    parts: tuple[tuple[int, int, int, Int64], ...]

    def fraction(self, left: Left) -> float:
        total: float = self.fixed
        for group, size, share, spread in self.parts:
            stays = left.get(group, size)
            if isinstance(stays, int | np.integer):
                total += share * int(stays) / size
            else:
                total += float(spread[np.asarray(stays, np.int64)].sum())
        return total / self.size


_Macs = tuple[int, tuple[_Length, ...]]


def _groups_of(lengths: Iterable[_Length]) -> set[int]:
    return {part[0] for length in lengths for part in length.parts}


@dataclass(eq=False)
class _Weights:
    """A static value, and along which axes it shrinks where it is read.

    Readers that ask for different parts get a copy each; one that asks for all of it keeps the value as it is. `size`
    are the parameters and bytes of the value as a constant, `held` those that the model holds for it: the same, or what
    it is computed from.
    """

    size: tuple[int, int]
    held: tuple[int, int]
    parts: dict[tuple[int, ...], tuple[_Length, ...]]
    elsewhere: bool = False

    def change(self, fraction: Callable[[tuple[_Length, ...]], float]) -> tuple[float, float]:
        """The parameters and bytes that are added to the model."""
        fractions = [fraction(each) for each in self.parts.values()]
        smaller = [each for each in fractions if each < 1]
        gone = not self.elsewhere and len(smaller) == len(fractions)
        params, size = (own * sum(smaller) - gone * held for own, held in zip(self.size, self.held, strict=True))
        return params, size


Sizes = Mapping[str, Sequence[int]]
"""By the name of an input the dimensions of one sample, without the batch."""


def _sized(graph: Graph, sizes: Sizes) -> Graph:
    """A copy of the graph whose inputs have these sizes. Its nodes are in the same order."""
    copy = graph.copy()
    for value in copy.inputs:
        if value.shape is not None and value.name in sizes:
            value.shape = [value.shape[0], *sizes[value.name]]
    copy.infer_shapes()
    return copy


class CostModel:
    """The cost of the graph for any widths of its groups, without making the sliced graph."""

    def __init__(self, groups: Groups, sizes: Sizes | None = None) -> None:
        """`sizes` are those at which a model of open sizes is counted."""
        found = costs(groups.graph)
        if found.macs is None:
            found = costs(groups.graph, groups.swept.statics.shapes.of_one_sample)
        if found.macs is None and sizes is not None:
            found = costs(_sized(groups.graph, sizes))
        self.full = TotalCost(found.params, found.macs, found.weight_bytes)
        self.unknown = tuple(each.label for each in found.unknown)
        self._groups = groups
        self._lengths: dict[bytes, _Length] = {}
        macs = {id(node): each.macs for node, each in zip(groups.graph.nodes, found.nodes, strict=True)}
        self._macs: list[_Macs] = [
            (int((macs[id(each.node)] or 0) * each.share), tuple(self._length(axis) for axis in each.axes))
            for each in groups.swept.scaling
            if each.axes
        ]
        self._weights = self._constants()
        self._macs_by_group: dict[int, list[_Macs]] = {}
        for term in self._macs:
            for group in _groups_of(term[1]):
                self._macs_by_group.setdefault(group, []).append(term)
        self._weights_by_group: dict[int, list[_Weights]] = {}
        for each in self._weights:
            for group in _groups_of(length for lengths in each.parts.values() for length in lengths):
                self._weights_by_group.setdefault(group, []).append(each)

    def __call__(self, left: Left) -> TotalCost:
        """The model's cost when only this is left. Exact where each atom of a group has as many positions as any other
        along every axis; otherwise exact for given atoms and a mean for counts."""
        params, macs, size = self._change(left, self._macs, self._weights)
        full = self.full
        return TotalCost(full.params + params, None if full.macs is None else full.macs + macs, full.bytes + size)

    def saving(self, group: int, left: Left | None = None, atoms: int = 1) -> TotalCost:
        """What the model costs less when a group loses some more atoms, of what is left or of all."""
        left = left or {}
        stays = left.get(group, self._groups[group].size)
        count = int(stays) if isinstance(stays, int | np.integer) else len(stays)
        terms = self._macs_by_group.get(group, []), self._weights_by_group.get(group, [])
        before, after = (self._change({**left, group: each}, *terms) for each in (count, count - atoms))
        params, macs, size = (round(old - new, 6) for old, new in zip(before, after, strict=True))
        return TotalCost(params, None if self.full.macs is None else macs, size)

    def depends_on_atoms(self, group: int) -> bool:
        """Whether the cost differs between equally many atoms of a group, for some lie at more places than others."""
        return any(
            part[0] == group and int(part[3].min()) != int(part[3].max())
            for length in self._lengths.values()
            for part in length.parts
        )

    def _change(self, left: Left, macs: list[_Macs], constants: list[_Weights]) -> tuple[float, float, float]:
        """Parameters, MACs and bytes that some terms add to the whole model."""
        fractions: dict[int, float] = {}

        def scale(lengths: tuple[_Length, ...]) -> float:
            product = 1.0
            for length in lengths:
                if id(length) not in fractions:
                    fractions[id(length)] = length.fraction(left)
                product *= fractions[id(length)]
            return product

        params = size = 0.0
        for each in constants:
            more = each.change(scale)
            params += more[0]
            size += more[1]
        # Rounding takes away what the floats have added: all of them are counts.
        return round(params, 6), round(sum(own * (scale(lengths) - 1) for own, lengths in macs), 6), round(size, 6)

    def _length(self, axis: Axis) -> _Length:
        channels = self._groups.of(axis)
        found = self._lengths.get(channels.digest)
        if found is None:
            parts = []
            for group in channels.groups:
                size = self._groups[group].size
                spread = np.bincount(channels.atom[channels.group == group], minlength=size)
                parts.append((group, size, int(spread.sum()), spread))
            found = _Length(len(channels), int((channels.group < 0).sum()), tuple(parts))
            self._lengths[channels.digest] = found
        return found

    def _constants(self) -> list[_Weights]:
        found: dict[int, _Weights] = {}
        places: dict[int, set[tuple[int, int]]] = {}
        constants: dict[int, gs.Tensor] = {}
        statics = self._groups.swept.statics

        def follow(node: gs.Node, index: int, lengths: dict[int, _Length]) -> None:
            """Note the initializers that get smaller when an input of a node does."""
            value = node.inputs[index]
            source = producer(statics, value)
            inputs = operands(statics, source, lengths) if source is not None else None
            if source is not None and inputs is not None:
                for at, each in inputs.items():
                    if each:
                        follow(source, at, each)
                return
            if id(value) not in found:
                found[id(value)] = self._weights_of(node, value, made=source is not None)
                constants[id(value)] = value
            found[id(value)].parts[tuple(id(each) for _, each in sorted(lengths.items()))] = tuple(lengths.values())
            places.setdefault(id(value), set()).add((id(node), index))

        for cut in self._groups.swept.cuts.values():
            inner = {cut.inner[0]: self._length(cut.inner[1])} if cut.inner else {}
            follow(cut.node, cut.input, {axis: self._length(each) for axis, each in cut.axes.items()} | inner)
        for key, value in constants.items():
            readers = {
                (id(node), index)
                for node in self._groups.graph.readers(value)
                if node.op not in SHAPE_READERS
                for index, each in enumerate(node.inputs)
                if each is value
            }
            found[key].elsewhere = bool(readers - places[key]) or self._groups.graph.is_output(value)
        return list(found.values())

    def _weights_of(self, node: gs.Node, value: gs.Tensor, *, made: bool) -> _Weights:
        if not made:
            own = weights(node)[id(value)]
            return _Weights(own, own, {})
        shape, dtype = self._groups.swept.statics.shape(value) or [], self._groups.graph.dtype(value)
        count = math.prod(each for each in shape if isinstance(each, int))
        size = count if dtype is not None and dtype.kind in "fV" else 0
        return _Weights((size, count * dtype.itemsize if dtype is not None else 0), self._made_from(value), {})

    def _made_from(self, value: gs.Tensor) -> tuple[int, int]:
        """The constants that are there only to compute a value."""
        graph = self._groups.graph
        source = graph.producer(value)
        params = size = 0
        if source is None:
            return 0, 0
        for each in source.inputs:
            if graph.only_reader(each) is not source:
                continue
            more = weights(source)[id(each)] if isinstance(each, gs.Constant) else self._made_from(each)
            params, size = params + more[0], size + more[1]
        return params, size
