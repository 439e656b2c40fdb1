"""Which batch norms and constant arithmetic fold into the operators behind them.

    Conv(s * x + t, W) = Conv(x, W * s) + Conv(t, W)

A Conv without padding, a Gemm and a MatMul take in any scale and shift of their input. A Conv that pads sees t inside
the image and zeros around it: its second summand differs at the border, and is added as a constant (1, C, H, W). What
folds must do so into everything that reads it. One sweep back finds what the operators behind each value take, one
sweep forward gives it to them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import onnx_graphsurgeon as gs

from vggc.analysis.affine import Affine, ChannelAxis, batch_norm, elementwise
from vggc.analysis.folding.border import is_padded, map_sizes
from vggc.analysis.folding.capacity import Room
from vggc.analysis.folding.passages import PASSED, passage
from vggc.analysis.folding.upward import Links, Moved
from vggc.analysis.linear import Linear, linear
from vggc.diagnostics import Declined
from vggc.diagnostics.number_text import human_bytes
from vggc.graph import Graph
from vggc.graph.arrays import Float64
from vggc.graph.domains import is_standard
from vggc.operators.activations import SCALABLE
from vggc.operators.elementwise import ARITHMETIC
from vggc.operators.roles import PRODUCTS


@dataclass
class Supply:
    """What a node is to read instead of its input: `source`, of which its input is the affine."""

    affine: Affine
    source: gs.Tensor
    folded: Links = None


@dataclass
class Downward:
    """What folds, all of it found before anything changes. Nodes in `refused` take nothing in (id: reason).

    `exact` are the affines of batch norms that have taken others in, not rounded to their parameters' type.
    `largest`: bytes that a constant map may take. `too_large`: convolutions (by id) whose maps are too much together.
    """

    graph: Graph
    largest: int
    exact: dict[int, Affine]
    refused: dict[int, str] = field(default_factory=dict)
    too_large: set[int] = field(default_factory=set)
    taken: list[tuple[gs.Node, Supply]] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    gone: list[gs.Node] = field(default_factory=list)
    operators: dict[int, Linear] = field(default_factory=dict)
    images: dict[int, list[int]] = field(default_factory=dict)
    into: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    """by value: why what reads it takes nothing in"""
    costly: list[tuple[gs.Node, str]] = field(default_factory=list)
    """arithmetic that stays because the map of a convolution behind it would take too much, and the reason"""
    removed: set[int] = field(default_factory=set)
    """nodes that are gone once the plan is carried out, by id"""

    def __post_init__(self) -> None:
        self._too_much: set[str] = set()
        self._rooms: dict[int, Room] = {}
        """by node: what it takes in at its input"""
        self._eager: dict[int, tuple[Affine, gs.Tensor]] = {}
        self._lazy: dict[int, tuple[Affine, gs.Tensor]] = {}
        for node in reversed(self.graph.nodes):
            if is_standard(node) and node.outputs:
                self._look(node)
        self._supplies: dict[int, Supply] = {}
        for node in self.graph.nodes if self._eager else ():
            for value in node.inputs[:2]:
                if id(value) in self._supplies or (id(node) in self._eager and not isinstance(value, gs.Constant)):
                    self._give(node, value)
                    break

    # --- back: what there is room for ------------------------------------------------------------------------

    def _look(self, node: gs.Node) -> None:
        room: Room | None = None
        if node.op in PRODUCTS:
            room = self._room_of_linear(node)
        elif node.op in ARITHMETIC or node.op == "BatchNormalization":
            room = self._room_of_affine(node)
        elif node.op in PASSED - SCALABLE:
            room = self._room_through(node)
        if room is not None:
            self._rooms[id(node)] = room

    def room(self, value: gs.Tensor) -> Room | None:
        """What all readers of a value take in together."""
        readers = self.graph.readers(value)
        found = self._rooms.get(id(readers[0])) if readers else None
        if found is None or self.graph.is_result(value):
            return None
        for each in readers:
            other = self._rooms.get(id(each))
            at = [index for index, read in enumerate(each.inputs) if read is value]
            if other is None or len(at) > 1 or (at != [0] and each.op not in ARITHMETIC):
                return None
            if (other.channels.count, other.channels.axis) != (found.channels.count, found.channels.axis):
                return None
            if each is not readers[0]:
                found = replace(
                    found,
                    into=found.into | other.into,
                    positive=found.positive or other.positive,
                    linear=found.linear or other.linear,
                    adds=found.adds + other.adds,
                )
        return found

    def _room_of_linear(self, node: gs.Node) -> Room | None:
        value = node.inputs[0]
        if id(node) in self.refused:
            self.reasons[id(value)] = self.refused[id(node)]
            return None
        if isinstance(node.inputs[0], gs.Constant):
            return None
        label = self.graph.label(node)
        try:
            operator = linear(self.graph, node)
        except Declined as reason:
            self.reasons[id(value)] = str(reason)
            return None
        if operator.quantized is not None:
            self.reasons[id(value)] = f"the weight of {label} is quantized: it has no scale for each input channel"
            return None
        self.operators[id(node)] = operator
        room = Room(operator.entry, frozenset({node.op}))
        if node.op == "ConvTranspose":
            # Each position sees other parts of the kernel.
            self.reasons[id(value)] = f"{label} hands on no shift"
            return replace(room, linear=True)
        if node.op == "MatMul" and operator.channels.rank != 2:
            return replace(room, adds=int(self.bias_behind(node) is None))
        if node.op != "Conv" or not is_padded(node):
            return room
        return self._room_of_padded(operator, room)

    def _room_of_padded(self, operator: Linear, room: Room) -> Room:
        node, value = operator.node, operator.node.inputs[0]
        shape = self.graph.shape(value)
        image = [each for each in (shape or ())[2:] if isinstance(each, int)]
        if shape is None or len(image) != len(operator.shape) - 2:
            self.reasons[id(value)] = f"{self.graph.label(node)} pads an image whose size is not known"
            return replace(room, linear=True)
        size = math.prod([operator.shape[0], *map_sizes(node, operator.shape[2:], image)])
        taken = size * operator.dtype(self.graph).itemsize
        if taken > self.largest or id(node) in self.too_large:
            self.reasons[id(value)] = reason = (
                f"{self.graph.label(node)} pads its input: what a shift adds there would take "
                f"{human_bytes(taken)}, more than the fold is worth (`largest=` allows more)"
            )
            self._too_much.add(reason)
            return replace(room, linear=True)
        self.images[id(node)] = image
        return replace(room, adds=1)

    def bias_behind(self, node: gs.Node) -> tuple[gs.Node, Float64] | None:
        """The Add behind a MatMul that is its bias, and the bias, (channels,)."""
        value = node.outputs[0]
        reader = self.graph.only_reader(value)
        operator = self.operators.get(id(node))
        if reader is None or operator is None:
            return None
        affine = elementwise(self.graph, reader, value, operator.channels)
        return (reader, affine.shift) if affine is not None and not affine.scales else None

    def _room_of_affine(self, node: gs.Node) -> Room | None:
        room = self.room(node.outputs[0])
        if room is None:
            self._hand_on_reason(node)
            return None
        found = self._affine(node, room.channels)
        if found is None:
            return None
        affine = found[0]
        if node.op != "BatchNormalization" and room.adds and not affine.scales:
            # To move a shift that costs a node elsewhere is worth nothing by itself.
            if room.adds > 1:
                return None
            self._lazy[id(node)] = found
            self.into[id(node)] = " and ".join(sorted(room.into))
        elif room.allows(affine):
            self._eager[id(node)] = found
            self.into[id(node)] = " and ".join(sorted(room.into))
        else:
            reason = self.reasons.get(id(node.outputs[0]), "")
            if reason in self._too_much and node.op in ARITHMETIC:
                self.costly.append((node, reason))
            self._hand_on_reason(node)
            return None
        return room.freed if id(node) in self._eager and affine.shift.any() else room

    def _hand_on_reason(self, node: gs.Node) -> None:
        if id(node.outputs[0]) in self.reasons:
            for value in node.inputs:
                self.reasons.setdefault(id(value), self.reasons[id(node.outputs[0])])

    def _affine(self, node: gs.Node, channels: ChannelAxis) -> tuple[Affine, gs.Tensor] | None:
        if node.op == "BatchNormalization":
            if not channels.is_second_axis:
                return None
            affine = self.exact.get(id(node)) or batch_norm(self.graph, node)
            fits = isinstance(affine, Affine) and len(affine.scale) == channels.count
            return (affine, node.inputs[0]) if isinstance(affine, Affine) and fits else None
        if len(node.inputs) != 2 or isinstance(node.inputs[0], gs.Constant) == isinstance(node.inputs[1], gs.Constant):
            return None
        value = node.inputs[1] if isinstance(node.inputs[0], gs.Constant) else node.inputs[0]
        # What makes its input larger is no scale of it.
        shape = self.graph.shape(value)
        if shape is None or channels.axis is None or len(shape) < -channels.axis:
            return None
        if shape[channels.axis] != channels.count:
            return None
        found = elementwise(self.graph, node, value, replace(channels, rank=len(shape)))
        return None if found is None else (found, value)

    def _room_through(self, node: gs.Node) -> Room | None:
        room = self.room(node.outputs[0])
        way = passage(self.graph, node, room.channels, backward=True) if room is not None else None
        if room is None or way is None:
            self._hand_on_reason(node)
            return None
        if way.repeat > 1 and (room.positive or way.positive):
            return None
        return room.at(way.channels, positive=way.positive)

    # --- forward: who gets what ------------------------------------------------------------------------------

    def _give(self, node: gs.Node, value: gs.Tensor) -> None:
        supply = self._supplies.get(id(value))
        affine = (self._eager.get(id(node)) or self._lazy.get(id(node)) or (None, value))[0]
        if affine is not None:
            if supply is None:
                supply = Supply(affine, value, (node, None))
            else:
                supply = Supply(supply.affine.then(affine), supply.source, (node, supply.folded))
            self.gone.append(node)
            self._supplies[id(node.outputs[0])] = supply
        elif supply is not None and node.op == "Identity":
            self.gone.append(node)
            self._supplies[id(node.outputs[0])] = supply
        elif supply is not None and id(node) in self.operators:
            self.taken.append((node, supply))
        elif supply is not None:
            self._through(node, supply)

    def _through(self, node: gs.Node, supply: Supply) -> None:
        room = self.room(node.outputs[0])
        way = None if room is None else passage(self.graph, node, room.channels, backward=True)
        if way is None:
            raise AssertionError("a node is given what it does not hand on")
        old = node.outputs[0]
        new = gs.Variable(self.graph.fresh_name(old.name), old.dtype, old.shape)
        self.moved.append(Moved(node, [supply.source, *node.inputs[1:]], new, supply.folded))
        repeated = Affine(supply.affine.scale.repeat(way.repeat), supply.affine.shift.repeat(way.repeat))
        self._supplies[id(old)] = Supply(repeated, new)
