"""Which batch norms and constant arithmetic fold into the operators before them.

One sweep forward finds for each value what the operators before it can take in: a Conv takes any scale and shift, a
Concat what all its branches take, a Relu hands on a positive scale. One sweep back gives each of them what it is to
take in, everything behind it composed in float64. Both are linear in the graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.affine import Affine, ChannelAxis, batch_norm, elementwise
from vggc.analysis.folding.capacity import Room
from vggc.analysis.folding.passages import PASSED, passage
from vggc.analysis.linear import Linear, linear
from vggc.diagnostics import Declined
from vggc.graph import Graph
from vggc.graph.domains import is_standard
from vggc.operators.elementwise import ARITHMETIC
from vggc.operators.roles import PRODUCTS

JOINS = frozenset({"Add", "Concat", "Sub", "Sum"})
_OPERATORS = PRODUCTS | PASSED | JOINS | ARITHMETIC | {"BatchNormalization"}

Links = tuple[gs.Node, "Links"] | None
"""Nodes that fold together, each linked to the rest of them: a long chain of them is not copied at each step."""


def linked(links: Links) -> list[gs.Node]:
    """The nodes of links, the first one first."""
    nodes = []
    while links is not None:
        node, links = links
        nodes.append(node)
    return nodes


@dataclass
class Demand:
    """What is to happen to a value: an affine, after which it is called `result`; `folded` are the nodes in it."""

    affine: Affine
    result: gs.Variable
    folded: Links = None


@dataclass(frozen=True)
class Moved:
    """An operator that gets through what is folded before it: it reads other values, and computes `result`."""

    node: gs.Node
    inputs: list[gs.Tensor]
    result: gs.Variable
    folded: Links


@dataclass
class Upward:
    """What folds, all of it found before anything changes. Nodes in `refused` take nothing in (id: reason)."""

    graph: Graph
    refused: dict[int, str] = field(default_factory=dict)
    taken: list[tuple[gs.Node, Demand]] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    gone: list[gs.Node] = field(default_factory=list)
    operators: dict[int, Linear] = field(default_factory=dict)
    norms: dict[int, Affine | str] = field(default_factory=dict)
    into: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    """by value: why the operator that computes it takes nothing in"""

    def __post_init__(self) -> None:
        self._rooms: dict[int, Room] = {}
        self._eager: dict[int, tuple[Affine, gs.Tensor]] = {}
        self._lazy: dict[int, tuple[Affine, gs.Tensor]] = {}
        wanted = self._wanted()
        for node in self.graph.nodes:
            if id(node) in wanted:
                self._look(node)
        self._demands: dict[int, Demand] = {}
        for node in reversed(self.graph.nodes):
            if id(node) in self._eager or (node.outputs and id(node.outputs[0]) in self._demands):
                self._give(node)
        for each in (self.taken, self.moved, self.gone):
            each.reverse()

    def room(self, value: gs.Tensor) -> Room | None:
        """What can be folded at a value that nothing else reads."""
        room = self._rooms.get(id(value))
        return room if room is not None and self.graph.only_reader(value) is not None else None

    def rooms_into(self, value: gs.Tensor) -> frozenset[str]:
        """The operators that take in what is folded at a value."""
        room = self._rooms.get(id(value))
        return room.into if room is not None else frozenset()

    def _wanted(self) -> set[int]:
        """The nodes that matter: what may fold, and what it may fold into or through."""
        nodes, values = set[int](), set[int]()
        for node in reversed(self.graph.nodes):
            op = node.op
            if op not in _OPERATORS or not is_standard(node):
                continue
            folds = op == "BatchNormalization" or (
                op in ARITHMETIC and any(isinstance(value, gs.Constant) for value in node.inputs)
            )
            if folds or id(node.outputs[0]) in values:
                nodes.add(id(node))
                if op not in PRODUCTS:
                    values.update(id(value) for value in node.inputs)
        return nodes

    # --- forward: what there is room for ---------------------------------------------------------------------

    def _look(self, node: gs.Node) -> None:
        room: Room | None = None
        if node.op in PRODUCTS:
            room = self._room_of_linear(node)
        elif node.op == "BatchNormalization":
            room = self._room_of_norm(node)
        elif node.op in PASSED:
            room = self._room_through(node)
        elif node.op in ARITHMETIC or node.op == "Concat":
            room = self._room_of_arithmetic(node) if node.op != "Concat" else None
            if room is None and node.op in JOINS:
                room = self._room_of_join(node)
        if room is not None:
            self._rooms[id(node.outputs[0])] = room

    def _room_of_linear(self, node: gs.Node) -> Room | None:
        if id(node) in self.refused:
            self.reasons[id(node.outputs[0])] = self.refused[id(node)]
            return None
        try:
            operator = linear(self.graph, node)
        except Declined as reason:
            self.reasons[id(node.outputs[0])] = str(reason)
            return None
        self.operators[id(node)] = operator
        # A MatMul has no bias; what has become a Gemm does, but an Add behind a MatMul is not worth that change.
        return Room(operator.channels, frozenset({node.op}), adds=int(node.op == "MatMul"))

    def _room_of_norm(self, node: gs.Node) -> Room | None:
        affine = self.norms[id(node)] = batch_norm(self.graph, node)
        if isinstance(affine, str):
            return None
        room = self.room(node.inputs[0])
        if room is not None and _fits(affine, room):
            self._take(node, node.inputs[0], affine, room)
            return room.freed
        if id(node) in self.refused:
            return None
        rank = self._rank(node)
        own = ChannelAxis(len(affine.scale), rank, 1 - rank if rank is not None else None)
        return Room(own, frozenset({node.op}))

    def _rank(self, node: gs.Node) -> int | None:
        source = self._rooms.get(id(node.inputs[0]))
        ranks = (
            self.graph.rank(node.inputs[0]),
            self.graph.rank(node.outputs[0]),
            source.channels.rank if source is not None else None,
        )
        return next((each for each in ranks if each is not None), None)

    def _room_of_arithmetic(self, node: gs.Node) -> Room | None:
        if len(node.inputs) != 2:
            return None
        first, second = node.inputs
        if isinstance(first, gs.Constant) == isinstance(second, gs.Constant):
            return None
        value = second if isinstance(first, gs.Constant) else first
        room = self.room(value)
        affine = elementwise(self.graph, node, value, room.channels) if room is not None else None
        if room is None or affine is None:
            return None
        if room.adds and not affine.scales:
            # To move a shift that costs a node elsewhere is worth nothing by itself.
            if room.adds > 1:
                return None
            self._lazy[id(node)] = affine, value
            self.into[id(node)] = " and ".join(sorted(room.into))
            return room.freed
        if not room.allows(affine, saves=1):
            return None
        self._take(node, value, affine, room)
        return room.freed

    def _take(self, node: gs.Node, value: gs.Tensor, affine: Affine, room: Room) -> None:
        self._eager[id(node)] = affine, value
        self.into[id(node)] = " and ".join(sorted(room.into))

    def _room_through(self, node: gs.Node) -> Room | None:
        room = self.room(node.inputs[0])
        way = passage(self.graph, node, room.channels) if room is not None else None
        if room is None or way is None or way.repeat != 1:
            return None
        return room.at(way.channels, positive=way.positive, shiftless=way.shiftless)

    def _room_of_join(self, node: gs.Node) -> Room | None:
        rooms = [room for value in node.inputs if (room := self.room(value)) is not None]
        if len(rooms) < len(node.inputs) or not rooms or self.graph.opset < 7:
            return None
        channels = self._joined(node, [room.channels for room in rooms])
        if channels is None:
            return None
        adds = [room.adds for room in rooms]
        spread = node.op == "Concat"
        return Room(
            channels,
            frozenset().union(*(room.into for room in rooms)),
            positive=any(room.positive or (room.shiftless and not spread) for room in rooms),
            shiftless=(any if spread else all)(room.shiftless for room in rooms),
            adds=sum(adds) if spread else min(adds),
        )

    def _joined(self, node: gs.Node, branches: list[ChannelAxis]) -> ChannelAxis | None:
        first = branches[0]
        if first.axis is None or any(each.axis != first.axis for each in branches):
            return None
        ranks = {each.rank for each in branches}
        if node.op != "Concat":
            rank = None if None in ranks else max(each for each in ranks if each is not None)
            return replace(first, rank=rank) if all(each.count == first.count for each in branches) else None
        if len(ranks) > 1 or first.rank is None:
            return None
        if node.attrs["axis"] % first.rank == first.axis + first.rank:
            return replace(first, count=sum(each.count for each in branches))
        return first if all(each.count == first.count for each in branches) else None

    # --- back: who takes what --------------------------------------------------------------------------------

    def _give(self, node: gs.Node) -> None:
        demand = self._demands.pop(id(node.outputs[0]), None)
        affine, value = self._eager.get(id(node)) or self._lazy.get(id(node)) or (None, node.inputs[0])
        if affine is not None:
            if demand is None:
                demand = Demand(affine, node.outputs[0], (node, None))
            else:
                demand = Demand(affine.then(demand.affine), demand.result, (node, demand.folded))
            self.gone.append(node)
            self._demands[id(value)] = demand
        elif demand is None:
            raise AssertionError("a node is asked to take in nothing")
        elif node.op == "Identity":
            self.gone.append(node)
            self._demands[id(node.inputs[0])] = demand
        elif node.op in PRODUCTS or node.op == "BatchNormalization":
            self.taken.append((node, demand))
        else:
            self._through(node, demand)

    def _through(self, node: gs.Node, demand: Demand) -> None:
        shares = self._shares(node, demand.affine)
        inputs = list(node.inputs)
        for index, share in enumerate(shares):
            old = node.inputs[index]
            new = gs.Variable(self.graph.fresh_name(old.name), old.dtype, old.shape)
            inputs[index] = new
            self._demands[id(old)] = Demand(share, new)
        self.moved.append(Moved(node, inputs, demand.result, demand.folded))

    def _shares(self, node: gs.Node, affine: Affine) -> list[Affine]:
        """What becomes of each input of a node for its result to be `affine` of what it was."""
        if node.op in PASSED:
            return [affine]
        rooms = [self._rooms[id(value)] for value in node.inputs]
        if node.op != "Concat":
            # One summand is shifted for all: the one where that costs least.
            best = min(range(len(rooms)), key=lambda at: (rooms[at].shiftless, rooms[at].adds))
            still = Affine(affine.scale, np.zeros_like(affine.shift))
            moving = Affine(affine.scale, -affine.shift if node.op == "Sub" and best == 1 else affine.shift)
            return [moving if at == best else still for at in range(len(rooms))]
        first = rooms[0].channels
        if first.rank is None or first.axis is None or node.attrs["axis"] % first.rank != first.axis + first.rank:
            return [affine] * len(rooms)
        ends = np.cumsum([room.channels.count for room in rooms])[:-1]
        pairs = zip(np.split(affine.scale, ends), np.split(affine.shift, ends), strict=True)
        return [Affine(scale, shift) for scale, shift in pairs]


def _fits(affine: Affine, room: Room) -> bool:
    """Whether a batch norm has its channels where the room is, and does what there is room for."""
    return room.channels.is_second_axis and room.channels.count == len(affine.scale) and room.allows(affine)
