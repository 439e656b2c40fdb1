"""Editing a graph in linear time: adding, removing and replacing nodes and values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.diagnostics import Code, fail
from vggc.graph.extras import annotate, body_extras, node_extras, stamp, value_extras
from vggc.graph.links import LinkedGraph
from vggc.graph.node_order import live_nodes, reads, subgraphs


class EditableGraph(LinkedGraph):
    """A graph with the edits that passes make.

    graphsurgeon's own lists search and compare whole nodes at each change; the edits here go around them, and
    `tidy` makes the links exact again.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._stamp: Mapping[str, str] = {}
        self._names: Counter[str] = Counter()
        self._taken: set[str] = set()

    def fresh_name(self, hint: str) -> str:
        """A name no value and no node has yet."""
        while True:
            self._names[hint] += 1
            name = hint if self._names[hint] == 1 else f"{hint}_{self._names[hint] - 1}"
            if name not in self._taken:
                self._taken.add(name)
                return name

    def constant(self, array: Any, hint: str = "constant") -> gs.Constant:
        """A new compile-time constant."""
        values = np.asarray(array).view()
        values.flags.writeable = False
        return gs.Constant(self.fresh_name(hint), values)

    def add(
        self,
        op: str,
        inputs: Sequence[gs.Tensor | None],
        attrs: Mapping[str, Any] | None = None,
        *,
        like: gs.Node | None = None,
        replaces: Iterable[gs.Node] = (),
        name: str | None = None,
        output: gs.Variable | None = None,
        outputs: int = 1,
        domain: str | None = None,
    ) -> gs.Node:
        """A new node, computing `output` (whose producer must be gone) or new values.

        `like` gives attributes, metadata and a name; `attrs` overrides them. `replaces` are the nodes it stands for,
        whose names it remembers. An input of None is an omitted one.
        """
        replaces = list(replaces)
        origins = replaces or ([like] if like else [])
        takes_over = like is not None and bool(like.name) and any(each is like for each in replaces)
        base = name or (like.name if like else "") or f"{op}_{output.name if output is not None else ''}".rstrip("_")
        results = [output] if output is not None else []
        while len(results) < outputs:
            results.append(gs.Variable(self.fresh_name(f"{base}_output")))
        node = gs.Node(
            op,
            base if takes_over and not name else self.fresh_name(base),
            {**(like.attrs if like else {}), **(attrs or {})},
            [gs.Variable.empty() if value is None else value for value in inputs],
            results,
            domain if domain is not None or like is None else like.domain,
        )
        extras = node_extras(node)
        if like:
            extras.attributes = node_extras(like).attributes
        for each in origins:
            extras.metadata = {**node_extras(each).metadata, **extras.metadata}
            extras.earlier = tuple(dict.fromkeys((*extras.earlier, *node_extras(each).earlier)))
        names = dict.fromkeys(name for each in origins for name in _origins(each))
        if names:
            annotate(node, {"vggc.from": ", ".join(names)})
        self.nodes.append(node)
        self.touch(node)
        return node

    @contextmanager
    def stamping(self, metadata: Mapping[str, str]) -> Iterator[None]:
        """Write `metadata` into each node that is edited meanwhile: it says which step made the node what it is."""
        self._stamp = metadata
        try:
            yield
        finally:
            self._stamp = {}

    def touch(self, node: gs.Node) -> None:
        """Stamp a node that was changed by other means than the edits here."""
        if self._stamp:
            stamp(node, self._stamp)

    def remove(self, node: gs.Node) -> None:
        """Take a node out; its outputs have no producer until another node takes them over."""
        self._removed.add(id(node))
        for value in node.outputs:
            list.clear(value.inputs)

    def set_input(self, node: gs.Node, index: int, value: gs.Tensor, *, stamp: bool = True) -> None:
        """Make a node read another value at one place; without `stamp` that is no change worth noting on the node."""
        list.__setitem__(node.inputs, index, value)
        list.append(value.outputs, node)
        if stamp:
            self.touch(node)

    def set_output(self, node: gs.Node, index: int, value: gs.Variable) -> None:
        """Make a node compute `value`, whose producer is gone, at one place; what was there has no producer then."""
        self._link_output(node, index, value)
        self.touch(node)

    def _link_output(self, node: gs.Node, index: int, value: gs.Variable) -> None:
        for each in (node.outputs[index], value):
            list.clear(each.inputs)
        list.__setitem__(node.outputs, index, value)
        list.append(value.inputs, node)

    def replace(self, old: gs.Variable, new: gs.Tensor, body: gs.Graph | None = None) -> gs.Node | None:
        """Let everything that reads `old` read `new`. Returns the Identity that this takes, if any.

        A graph output keeps its name: `new` is renamed, or copied by an Identity where it already has a name the
        user knows (an input, a constant or another output). What a body hands out is always copied; `body` is the one
        that `old` is computed in.
        """
        if old is new:
            return None
        identity: gs.Node | None = None
        readers = self.readers(old)
        if self.is_result(old):
            renames = self.replaceable(old, new)
            self._vacate(old)
            if renames and isinstance(new, gs.Variable):
                old.name, new.name = new.name, old.name
                # What the model declares of its output stays declared.
                value_extras(new).declared = value_extras(old).declared
                new.dtype, new.shape = old.dtype, old.shape
                self.outputs = [new if each is old else each for each in self.outputs]
            else:
                identity = self.add("Identity", [new], output=old)
                self.move_last(1, body)
        for node in readers:
            for index, value in enumerate(node.inputs):
                if value is old:
                    self.set_input(node, index, new, stamp=False)
        list.clear(old.outputs)
        return identity

    def replaceable(self, old: gs.Tensor, new: gs.Tensor) -> bool:
        """Whether `replace` can do without an Identity: `old` is no graph output, or `new` can take its name."""
        if not self.is_result(old):
            return True
        free = isinstance(new, gs.Variable) and self.producer(new) is not None
        return free and not self.is_output(new) and not {id(old), id(new)} & self._bodies().results

    def _vacate(self, value: gs.Variable) -> None:
        """Leave a value without a producer; the node that had it computes an unread value instead."""
        producer = self.producer(value)
        if producer is not None:
            index = next(at for at, each in enumerate(producer.outputs) if each is value)
            self._link_output(producer, index, gs.Variable(self.fresh_name(value.name)))

    def move_last(self, count: int, body: gs.Graph | None) -> None:
        """Move the nodes that were added last into the body of an If, Loop or Scan; None is the graph itself."""
        if body is not None and count:
            body.nodes.extend(self.nodes[-count:])
            self._bodies().around.update((id(node), body) for node in self.nodes[-count:])
            del self.nodes[-count:]

    def inline(self, node: gs.Node, body: gs.Graph) -> None:
        """Put the nodes of one of a node's bodies in its place: an If whose condition is known needs only one."""
        own = body_extras(body).constants
        self.remove(node)
        self._inside = None
        for each in body.nodes:
            each.name = self.fresh_name(each.name) if each.name else ""
            self.nodes.append(each)
        constants = (value for value in (*body.outputs, *chain.from_iterable(map(reads, body.nodes))))
        inner: dict[int, gs.Tensor] = {
            id(value): value for value in constants if isinstance(value, gs.Constant) and value.name in own
        }
        inner |= {id(value): value for each in body.nodes for value in each.outputs if value.name}
        for value in inner.values():
            # Other bodies may use the same names for values of their own.
            value.name = self.fresh_name(value.name)
        for old, new in zip(node.outputs, body.outputs, strict=True):
            self.replace(old, new)

    def tidy(self) -> None:
        """Drop what no output needs, sort the nodes, and make the links between nodes and values exact again.

        Raises CompileError when two values have one name or nodes form a cycle: the pass that ran last is wrong.
        """
        self.nodes = self._alive(self.nodes, self.outputs)
        self._removed.clear()
        self._inside = None
        self._relink()

    def _alive(self, nodes: Iterable[gs.Node], outputs: Iterable[gs.Tensor]) -> list[gs.Node]:
        """Those of the nodes that `outputs` need, in order; the same for the bodies inside, innermost first."""
        alive = [node for node in nodes if id(node) not in self._removed]
        for node in alive:
            for body in subgraphs(node):
                body.nodes = self._alive(body.nodes, body.outputs)
        return live_nodes(alive, outputs)

    def _relink(self) -> None:
        values: dict[int, gs.Tensor] = {id(each): each for each in (*self.inputs, *self.outputs)}
        everywhere = [*self.nodes]
        for node in self.nodes:
            if any(subgraphs(node)):
                for body in node.subgraphs(recursive=True):
                    everywhere += body.nodes
                    values |= {id(each): each for each in (*body.inputs, *body.outputs)}
        for node in everywhere:
            for value in chain(node.inputs, node.outputs):
                values[id(value)] = value
        clear, append = list.clear, list.append
        for value in values.values():
            clear(value.inputs)
            clear(value.outputs)
        for node in everywhere:
            for value in node.inputs:
                append(value.outputs, node)
            for value in node.outputs:
                append(value.inputs, node)
        self._taken = {value.name for value in values.values()} | {node.name for node in everywhere if node.name}
        named: dict[str, gs.Tensor] = {}
        # Bodies may use a name each for a value of their own.
        top = {id(value): value for node in self.nodes for value in (*node.inputs, *node.outputs)}
        for value in (*self.inputs, *self.outputs, *top.values()):
            if value.name and named.setdefault(value.name, value) is not value:
                raise fail(f"two values have the name `{value.name}`", code=Code.INVALID_MODEL)


def _origins(node: gs.Node) -> list[str]:
    """The nodes of the model as read that a node stands for."""
    inherited = node_extras(node).metadata.get("vggc.from")
    if inherited:
        return inherited.split(", ")
    return [node.name] if node.name else []
