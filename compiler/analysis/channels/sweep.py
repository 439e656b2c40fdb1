"""One pass over the nodes in order: each operator says how the channels of its inputs become those of its outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Atoms, Axis, Layout, Part, View
from vggc.analysis.channels.records import Contraction, Counting, Cut, Norm, Operand, Scaling, Weighing
from vggc.analysis.channels.static_chains import blocked
from vggc.analysis.shapes.static_values import Statics
from vggc.graph import Graph
from vggc.graph.arrays import Array, Dimensions, Int64
from vggc.graph.domains import is_standard
from vggc.graph.node_order import reads

if TYPE_CHECKING:
    from vggc.analysis.channels.channel_cut import Slicing
    from vggc.analysis.channels.group_norms import Grouping

Operator = Callable[["Site"], None]
_ALL = Fraction(1)
OPERATORS: dict[str, Operator] = {}
"""What is known of each operator of ONNX's own domain; every other operator freezes what it reads."""


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Make a function over a Site the rule for some operators."""

    def register(function: Operator) -> Operator:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return register


@dataclass(eq=False)
class Sweep:
    """All that the operators said."""

    graph: Graph
    statics: Statics
    atoms: Atoms = field(default_factory=Atoms)
    layouts: dict[int, Layout] = field(default_factory=dict)
    cuts: dict[tuple[int, int], Cut] = field(default_factory=dict)
    contractions: list[Contraction] = field(default_factory=list)
    norms: list[Norm] = field(default_factory=list)
    weighings: list[Weighing[Axis]] = field(default_factory=list)
    scaling: list[Scaling] = field(default_factory=list)
    sequences: dict[int, list[Layout]] = field(default_factory=dict)
    views: dict[int, View] = field(default_factory=dict)
    groupings: dict[int, Grouping] = field(default_factory=dict)
    operands: list[Operand] = field(default_factory=list)
    actions: list[Callable[[Slicing], None]] = field(default_factory=list)

    def axes(self, value: gs.Tensor) -> list[Axis | None] | None:
        """Where the atoms of a value lie, every Joint among them settled; None when its rank is unknown."""
        layout = self.layouts.get(id(value))
        if layout is None:
            shape = self.statics.shape(value)
            return None if shape is None else [None] * len(shape)
        return [self.settle(each) if isinstance(each, Part) else each for each in layout]

    def lying(self, value: gs.Tensor) -> list[Axis | None]:
        """Where the atoms of a value lie as far as that is settled; empty when it has none."""
        parts = [
            (each.joint.axis if each.index == each.joint.shrinks else None) if isinstance(each, Part) else each
            for each in self.layouts.get(id(value), ())
        ]
        return parts if any(parts) else []

    def settle(self, part: Part) -> Axis | None:
        """Decide which axis of a Joint shrinks: the longest; across the others its atoms live and die together."""
        joint = part.joint
        if joint.shrinks is None:
            joint.shrinks = max(range(joint.atoms.ndim), key=lambda index: joint.atoms.shape[index])
            size = joint.atoms.shape[joint.shrinks]
            rows: Int64 = joint.atoms.swapaxes(joint.shrinks, joint.atoms.ndim - 1).reshape(-1, size)
            joint.axis = self.atoms.tie(rows)
        return joint.axis if part.index == joint.shrinks else None


class Site:
    """A node as its rule sees it: what lies along the axes of its inputs, and what it may say about them."""

    def __init__(self, sweep: Sweep, node: gs.Node) -> None:
        self.sweep = sweep
        self.node = node
        self.label = sweep.graph.label(node)
        self.opset = sweep.graph.opset

    # --- asking -------------------------------------------------------------------------------------------

    def has(self, index: int) -> bool:
        return len(self.node.inputs) > index and bool(self.node.inputs[index].name)

    def is_static(self, index: int) -> bool:
        return self.sweep.statics.is_static(self.node.inputs[index])

    def shape(self, index: int) -> Dimensions | None:
        """Dimensions of an input; where atoms lie along an axis, how many of them tells its length."""
        shape, layout = self.sweep.statics.shape(self.node.inputs[index]), self.layout(index)
        if layout is None:
            return shape
        known = shape if shape is not None else [None] * len(layout)
        return [each.size if isinstance(each, Axis) else size for each, size in zip(layout, known, strict=True)]

    def out_shape(self, index: int = 0) -> Dimensions | None:
        return self.sweep.statics.shape(self.node.outputs[index])

    def numbers(self, index: int) -> Array | None:
        """A small static input's numbers, in its shape; None when they are not known or the input is omitted."""
        return self.sweep.statics.small(self.node.inputs[index]) if self.has(index) else None

    def axes(self, index: int) -> list[Axis | None] | None:
        """Where the atoms of an input lie; None when its rank is unknown (then it has none)."""
        return self.sweep.axes(self.node.inputs[index])

    def layout(self, index: int) -> Layout | None:
        """As `axes`, with unsettled Joints."""
        return self.sweep.layouts.get(id(self.node.inputs[index]))

    def view(self, index: int) -> View | None:
        """What an input with a split axis was split from, as long as it is but a rearrangement of that."""
        return self.sweep.views.get(id(self.node.inputs[index]))

    def integers(self, attribute: str, index: int) -> list[int] | None:
        """A list of integers that is an attribute in older opsets and an input in newer ones; None where unknown."""
        if attribute in self.node.attrs:
            return [int(each) for each in np.atleast_1d(self.node.attrs[attribute])]
        numbers = self.numbers(index)
        return None if numbers is None else [int(each) for each in numbers.reshape(-1)]

    def entries(self, index: int) -> Dimensions | None:
        """What is known of the integers in an input that may be computed."""
        return self.sweep.statics.entries(self.node.inputs[index])

    def carriers(self) -> Iterator[tuple[int, list[Axis | None]]]:
        """The inputs that are not static and have atoms along some axis."""
        for index, value in enumerate(self.node.inputs):
            if value.name and id(value) in self.sweep.layouts:
                axes = self.axes(index)
                if axes is not None and any(axes):
                    yield index, axes

    # --- saying -------------------------------------------------------------------------------------------

    def new(self, size: int) -> Axis | None:
        """A dimension of the node's own making; a single channel can never go."""
        return self.sweep.atoms.new(size) if size > 1 else None

    def set(self, layout: Sequence[Axis | Part | None], output: int = 0, *, view: View | None = None) -> None:
        """Where the atoms of an output lie."""
        key = id(self.node.outputs[output])
        if any(layout):
            self.sweep.layouts[key] = list(layout)
        if view is not None:
            self.sweep.views[key] = view

    def unite(self, first: Axis, second: Axis) -> None:
        self.sweep.atoms.unite(first, second)

    def freeze(self, axis: Axis | None, reason: str = "reaches {}, which needs all of its channels") -> None:
        if axis is not None:
            self.sweep.atoms.freeze(axis, reason.format(self.label))

    def freeze_input(self, index: int, reason: str = "reaches {}, which vggc does not look through") -> None:
        for axis in self.axes(index) or ():
            self.freeze(axis, reason)

    def freeze_all(self, reason: str = "reaches {}, which vggc does not look through") -> None:
        for index, _ in self.carriers():
            self.freeze_input(index, reason)

    def freeze_except(self, axes: Sequence[Axis | None], passing: Sequence[int], reason: str) -> list[Axis | None]:
        """Freeze what lies along other axes than those; what is left to hand on."""
        for index, axis in enumerate(axes):
            if index not in passing:
                self.freeze(axis, reason)
        return [axis if index in passing else None for index, axis in enumerate(axes)]

    def equal_blocks(self, axis: Axis, blocks: int) -> None:
        """Each of `blocks` equal parts of an axis must keep equally many positions."""
        self.sweep.atoms.blocks.append((axis, blocks, self.label))

    def cover(self, axis: Axis) -> None:
        """At least one position of an axis must stay."""
        self.sweep.atoms.covers.append(axis)

    def cut(self, index: int, axis: int, along: Axis | None) -> None:
        """A static input shrinks with the atoms that lie along one of its axes."""
        if along is None:
            return
        if blocked(self.sweep.statics, self.node.inputs[index]):
            self.freeze(along, "reaches {}, whose weights are quantized in blocks")
        self._cut(index).axes[axis] = along

    def cut_inside(self, index: int, axis: int, along: Axis | None, blocks: int) -> None:
        """A static input shrinks along an axis that runs inside the blocks its axis 0 consists of."""
        if along is not None:
            self._cut(index).inner = (axis, along, blocks)

    def _cut(self, index: int) -> Cut:
        return self.sweep.cuts.setdefault((id(self.node), index), Cut(self.node, index))

    def contract(self, index: int, axis: int, along: Axis | None, counting: Counting = "zero") -> None:
        """The node sums over an axis of an input, or looks at all of it; `counting`: what a channel that is gone is."""
        if along is not None:
            self.sweep.contractions.append(Contraction(self.node, index, axis, along, counting))

    def norm(self, norm: Norm) -> None:
        self.sweep.norms.append(norm)

    def weigh(self, weighing: Weighing[Axis]) -> None:
        self.sweep.weighings.append(weighing)

    def scales(self, *axes: Axis | None, share: Fraction = _ALL) -> None:
        """The node's multiply-accumulate operations, or a share of them, shrink in proportion to each of these axes."""
        self.sweep.scaling.append(Scaling(self.node, tuple(axis for axis in axes if axis is not None), share))

    def resize(self, index: int, lengths: Mapping[int, Axis | Part | None], *, inferred: bool = False) -> None:
        """An input lists lengths of axes: entry i that of `lengths[i]`."""
        if any(lengths.values()):

            def wanted(slicing: Slicing) -> dict[int, int]:
                return {at: slicing.length(each) for at, each in lengths.items() if each and slicing.shrinks(each)}

            self.sweep.operands.append(Operand(self.node, index, wanted, lengths, inferred))

    def renumber(self, attribute: str, index: int, wanted: Callable[[Slicing], dict[int, int]]) -> None:
        """An attribute (in older opsets) or an input lists numbers of positions: `wanted` says which entries change."""
        node = self.node
        if attribute not in node.attrs:
            self.sweep.operands.append(Operand(node, index, wanted))
            return

        def rewrite(slicing: Slicing) -> None:
            changed = wanted(slicing)
            if changed:
                node.attrs[attribute] = [changed.get(at, each) for at, each in enumerate(node.attrs[attribute])]
                slicing.graph.touch(node)

        self.then(rewrite)

    def then(self, action: Callable[[Slicing], None]) -> None:
        """What to do to the node, beside cutting its static inputs, when channels have gone."""
        self.sweep.actions.append(action)


def sweep(graph: Graph, rules: Mapping[str, Operator]) -> Sweep:
    """Look at every node of a graph whose nodes are in order."""
    result = Sweep(graph, Statics(graph))
    for node in graph.nodes:
        if any(result.statics.is_static(value) for value in node.outputs):
            continue
        site = Site(result, node)
        rule = rules.get(node.op) if is_standard(node) else None
        if rule is not None and not any(node.subgraphs()):
            rule(site)
            continue
        for value in reads(node):
            for axis in result.axes(value) or ():
                site.freeze(axis, "reaches {}, which vggc does not look through")
    for value in graph.outputs:
        for axis in result.axes(value) or ():
            if axis is not None:
                result.atoms.freeze(axis, f"is the graph output `{value.name}`")
    return result
