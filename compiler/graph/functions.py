"""A model's own functions, put in the place of their calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
import onnx.defs
import onnx.inliner

from vggc.diagnostics import Code, fail

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
            code=Code.MODEL_FUNCTIONS,
        )
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    _give_defaults(whole)
    convert = _agree_on_opsets(whole)
    try:
        inlined = onnx.inliner.inline_local_functions(whole, convert_version=convert)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rpartition(": ")[2]
        raise fail(
            f"the model is not valid ONNX: its functions do not fit their calls: {reason}",
            help="export it again",
            code=Code.INVALID_MODEL,
        ) from None
    calls = {(each.domain, each.name, each.overload) for each in model.functions}
    for node in _all(inlined.graph.node):
        if (node.domain, node.op_type, node.overload) in calls:
            raise fail(
                f"the model's function `{node.op_type}` is written in another opset than the model, and onnx "
                f"{onnx.__version__} cannot convert it",
                help="export the model again with one opset for all of it",
                code=Code.MODEL_FUNCTIONS,
            )
    return inlined


def _give_defaults(model: onnx.ModelProto) -> None:
    """Write the defaults of functions' attributes at the calls that leave them out: the inliner forgets them."""
    functions = {(each.domain, each.name, each.overload): each for each in model.functions}
    for node in _all([*model.graph.node, *(each for function in model.functions for each in function.node)]):
        function = functions.get((node.domain, node.op_type, node.overload))
        given = {each.name for each in node.attribute}
        for default in function.attribute_proto if function is not None else ():
            if default.name not in given:
                node.attribute.append(default)


def _agree_on_opsets(model: onnx.ModelProto) -> bool:
    """Let functions whose operators mean the same in the model's opset import that one; whether others are left."""
    own = {each.domain: each.version for each in model.opset_import}
    left = False
    for function in model.functions:
        for imported in function.opset_import:
            if imported.domain not in own:
                model.opset_import.append(imported)
                own[imported.domain] = imported.version
            elif imported.version != own[imported.domain]:
                nodes = [each for each in _all(function.node) if each.domain == imported.domain]
                if all(_same(each, imported.version, own[imported.domain]) for each in nodes):
                    imported.version = own[imported.domain]
                else:
                    left = True
    return left


def _same(node: onnx.NodeProto, first: int, second: int) -> bool:
    """Whether an operator is the same in two versions of its operator set."""
    # A damaged file has versions that are no 32-bit numbers.
    if not onnx.defs.has(node.op_type, node.domain) or not 0 < min(first, second) <= max(first, second) < 1 << 31:
        return False
    try:
        schemas = [onnx.defs.get_schema(node.op_type, version, node.domain) for version in (first, second)]
    except onnx.defs.SchemaError:
        return False
    return schemas[0].since_version == schemas[1].since_version


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
                f"the model is not valid ONNX: its function `{node.op_type}` calls itself",
                help="export it again",
                code=Code.INVALID_MODEL,
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
