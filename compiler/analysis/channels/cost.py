"""What is left of a model's cost when channels go: exact for atoms, and for counts wherever counts decide it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Axis, IntArray
from vggc.analysis.costs import costs, weights

if TYPE_CHECKING:
    from vggc.analysis.channels.groups import Groups

Left = Mapping[int, int | Sequence[int] | IntArray]
"""By group id what stays: a count, or the atoms themselves. A group that is not named keeps all."""


@dataclass(frozen=True)
class Cost:
    """Of a whole model, as `vggc.analysis.costs` counts it. `macs` is None when those of some node are not known."""

    params: float
    macs: float | None
    bytes: float


@dataclass(frozen=True, eq=False)
class _Length:
    """How long an axis is: `fixed` positions, and of each group `share`, spread over its atoms as `spread` says."""

    size: int
    fixed: int
    parts: tuple[tuple[int, int, int, IntArray], ...]

    def fraction(self, left: Left) -> float:
        total: float = self.fixed
        for group, size, share, spread in self.parts:
            stays = left.get(group, size)
            if isinstance(stays, int | np.integer):
                total += share * int(stays) / size
            else:
                total += float(spread[np.asarray(stays, np.int64)].sum())
        return total / self.size


class CostModel:
    """The cost of the graph for any widths of its groups, without making the sliced graph."""

    def __init__(self, groups: Groups) -> None:
        found = costs(groups.graph)
        self.full = Cost(found.params, found.macs, found.weight_bytes)
        self.unknown = tuple(each.label for each in found.unknown)
        self._groups = groups
        self._lengths: dict[int, tuple[Axis, _Length]] = {}
        macs = {id(node): each.macs for node, each in zip(groups.graph.nodes, found.nodes, strict=True)}
        self._macs = [
            (macs[id(node)] or 0, tuple(self._length(axis) for axis in axes))
            for node, axes in groups.swept.scaling
            if axes
        ]
        self._weights = self._constants()

    def __call__(self, left: Left) -> Cost:
        """The model's cost when only this is left. Exact where each atom of a group has as many positions as any other
        along every axis; otherwise exact for given atoms and a mean for counts."""
        fractions: dict[int, float] = {}

        def scale(lengths: tuple[_Length, ...]) -> float:
            product = 1.0
            for length in lengths:
                if id(length) not in fractions:
                    fractions[id(length)] = length.fraction(left)
                product *= fractions[id(length)]
            return product

        params, size = self.full.params, self.full.bytes
        for (own, own_bytes), lengths in self._weights:
            factor = scale(lengths) - 1
            params += own * factor
            size += own_bytes * factor
        macs = self.full.macs
        if macs is not None:
            macs += sum(own * (scale(lengths) - 1) for own, lengths in self._macs)
        return Cost(params, macs, size)

    def _length(self, axis: Axis) -> _Length:
        found = self._lengths.get(id(axis))
        if found is None:
            channels = self._groups.of(axis)
            parts = []
            for group in channels.groups:
                size = self._groups[group].size
                spread = np.bincount(channels.atom[channels.group == group], minlength=size)
                parts.append((group, size, int(spread.sum()), spread))
            length = _Length(len(channels), int((channels.group < 0).sum()), tuple(parts))
            found = self._lengths[id(axis)] = (axis, length)
        return found[1]

    def _constants(self) -> list[tuple[tuple[int, int], tuple[_Length, ...]]]:
        terms = []
        seen = set()
        for cut in self._groups.swept.cuts.values():
            value = cut.node.inputs[cut.input]
            axes = [*cut.axes.values(), *([cut.inner[1]] if cut.inner else [])]
            lengths = tuple(self._length(axis) for axis in axes)
            key = (id(value), *(id(length) for length in lengths))
            if isinstance(value, gs.Constant) and key not in seen:
                seen.add(key)
                terms.append((weights(cut.node)[id(value)], lengths))
        return terms
