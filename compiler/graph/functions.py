"""A model's own functions, put in the place of their calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
import onnx.inliner

from vggc.diagnostics import fail

MOST_NODES = 2_000_000
"""Nodes after inlining. Functions that call each other can say in a few lines what fills any memory."""

Key = tuple[str, str]


def inline_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions of its own. Raises CompileError for functions that cannot be put in place."""
    if not model.functions:
        return model
    count = _Count(model).of(model.graph.node)
    if count > MOST_NODES:
        raise fail(
            f"the model's functions make more than {MOST_NODES} nodes of it",
            help="export it again without functions that call each other so often",
        )
    try:
        return onnx.inliner.inline_local_functions(model)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0].rpartition(": ")[2]
        raise fail(
            f"the model is not valid ONNX: its functions do not fit their calls: {reason}", help="export it again"
        ) from None


class _Count:
    """How many nodes calls stand for. Raises CompileError when a function calls itself."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._functions = {(each.domain, each.name): each for each in model.functions}
        self._known: dict[Key, int] = {}
        self._open: list[Key] = []

    def of(self, nodes: Iterable[onnx.NodeProto]) -> int:
        return sum(self._call(node) for node in _all(nodes))

    def _call(self, node: onnx.NodeProto) -> int:
        key = (node.domain, node.op_type)
        if key not in self._functions:
            return 1
        if key in self._open:
            raise fail(
                f"the model is not valid ONNX: its function `{node.op_type}` calls itself", help="export it again"
            )
        if key not in self._known:
            self._open.append(key)
            self._known[key] = self.of(self._functions[key].node)
            self._open.pop()
        return self._known[key]


def _all(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes and those in their bodies."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs) if attribute.type in _GRAPHS else ():
                yield from _all(graph.node)


_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
