"""Which nodes a graph still needs, and an order in which they can run. Linear in nodes and values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import onnx_graphsurgeon as gs

from vggc.diagnostics import Code, fail
from vggc.graph.extras import body_extras


def subgraphs(node: gs.Node) -> Iterator[gs.Graph]:
    """The bodies held directly by a node's attributes."""
    for attribute in node.attrs.values():
        if isinstance(attribute, gs.Graph):
            yield attribute


def reads(node: gs.Node) -> Iterator[gs.Tensor]:
    """Every value a node needs: its inputs, and what its bodies take from outside."""
    bodies = [each for each in node.attrs.values() if isinstance(each, gs.Graph)]
    # Most nodes have none, and this is asked of every node again and again.
    return chain(node.inputs, _reads_of_bodies(bodies)) if bodies else iter(node.inputs)


def _reads_of_bodies(bodies: Iterable[gs.Graph]) -> Iterator[gs.Tensor]:
    for graph in bodies:
        yield from graph.outputs
        for inner in graph.nodes:
            yield from reads(inner)


def outer_constants(nodes: Iterable[gs.Node], own: frozenset[str] = frozenset()) -> Iterator[gs.Constant]:
    """The constants that nodes and their bodies read, but for those that belong to a body (`own` of its names)."""
    for node in nodes:
        yield from (value for value in node.inputs if isinstance(value, gs.Constant) and value.name not in own)
        for body in subgraphs(node):
            inside = own | body_extras(body).constants
            yield from outer_constants(body.nodes, inside)
            yield from (value for value in body.outputs if isinstance(value, gs.Constant) and value.name not in inside)


def dependencies(values: Iterable[gs.Tensor], producer: Callable[[gs.Tensor], gs.Node | None]) -> list[gs.Node]:
    """The nodes that values depend on, each behind those it depends on itself.

    `producer` gives the node to follow from a value, or None where the search ends.
    """
    found: list[gs.Node] = []
    met: set[int] = set()
    stack = [(node, False) for value in reversed(list(values)) if (node := producer(value)) is not None]
    while stack:
        node, ready = stack.pop()
        if ready:
            found.append(node)
        elif id(node) not in met:
            met.add(id(node))
            sources = (producer(value) for value in reversed(list(reads(node))))
            stack += [(node, True), *((source, False) for source in sources if source is not None)]
    return found


def live_nodes(nodes: Iterable[gs.Node], outputs: Iterable[gs.Tensor]) -> list[gs.Node]:
    """The nodes that `outputs` depend on, each behind the ones it reads; otherwise in the order given.

    Raises CompileError when the nodes form a cycle.
    """
    producers = {id(value): node for node in nodes for value in node.outputs if value.name}
    needed: set[int] = set()
    stack = [producers[id(value)] for value in outputs if id(value) in producers]
    while stack:
        node = stack.pop()
        if id(node) not in needed:
            needed.add(id(node))
            stack.extend(producers[id(value)] for value in reads(node) if id(value) in producers)
    kept = [node for node in nodes if id(node) in needed]
    return kept if _is_sorted(kept, producers) else _sorted(kept, producers)


def _is_sorted(nodes: list[gs.Node], producers: dict[int, gs.Node]) -> bool:
    """Whether each node is behind the ones it reads."""
    waiting = {id(node) for node in nodes}
    for node in nodes:
        for value in reads(node):
            source = producers.get(id(value))
            if source is not None and id(source) in waiting:
                return False
        waiting.discard(id(node))
    return True


def _sorted(nodes: list[gs.Node], producers: dict[int, gs.Node]) -> list[gs.Node]:
    ordered: list[gs.Node] = []
    done: set[int] = set()
    open_: set[int] = set()
    for root in nodes:
        if id(root) in done:
            continue
        open_.add(id(root))
        stack = [(root, reads(root))]
        while stack:
            node, waiting = stack[-1]
            for value in waiting:
                source = producers.get(id(value))
                if source is None or id(source) in done:
                    continue
                if id(source) in open_:
                    raise fail(
                        f"the graph has a cycle through {source.op} `{source.name or source.outputs[0].name}`",
                        code=Code.INVALID_MODEL,
                    )
                open_.add(id(source))
                stack.append((source, reads(source)))
                break
            else:
                stack.pop()
                open_.discard(id(node))
                done.add(id(node))
                ordered.append(node)
    return ordered
