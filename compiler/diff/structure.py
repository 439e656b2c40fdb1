"""The differences in the structure of two models: operators, inputs and outputs, nodes, weights, types and shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx
import onnx_graphsurgeon as gs

from vggc.analysis.costs import costs
from vggc.diff.value_matches import How, Matching
from vggc.execution.array_distance import distance
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.graph.extras import node_extras
from vggc.graph.signature import shape_text, type_text, value_text
from vggc.graph.text import attribute_text

READ = "original model"
"""The provenance of a node that no step has made or changed."""


@dataclass(frozen=True)
class NodeChange:
    """Two matched nodes, and the differences between them: operator, attributes, constants, results."""

    before: str
    after: str
    matched_by: How
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Size:
    """The size of a model. vggc.analysis.costs defines how `macs` are counted."""

    nodes: int
    params: int
    macs: int | None
    bytes: int
    opset: int


@dataclass(frozen=True)
class Structure:
    """The structural comparison of two models. `operators` counts the nodes of both models by operator.

    `provenance` counts the nodes of each model by the recipe line and pass that made them. `interface` lists the
    differences of inputs and outputs. `only_before` and `only_after` are the nodes without a counterpart.
    """

    sizes: tuple[Size, Size]
    operators: Mapping[str, tuple[int, int]]
    provenance: tuple[Mapping[str, int], Mapping[str, int]]
    interface: tuple[str, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    changed: tuple[NodeChange, ...]
    matched: Mapping[str, int]

    @property
    def same(self) -> bool:
        return not (self.interface or self.only_before or self.only_after or self.changed)


def structure(before: Graph, after: Graph, matching: Matching) -> Structure:
    """Compare graphs whose shapes are inferred. Weights are read; arrays are equal when all their numbers are."""
    first, second = (Counter(node.op for node in graph.nodes) for graph in (before, after))
    matched = {id(each.before) for each in matching.nodes} | {id(each.after) for each in matching.nodes}
    changed = []
    for each in matching.nodes:
        if changes := tuple(_changes(before, each.before, after, each.after)):
            changed.append(NodeChange(before.label(each.before), after.label(each.after), each.how, changes))
    return Structure(
        sizes=(_size(before), _size(after)),
        operators={op: (first[op], second[op]) for op in sorted(first.keys() | second.keys())},
        provenance=(_provenance(before), _provenance(after)),
        interface=tuple(_interface(before, after, matching)),
        only_before=tuple(before.label(node) for node in before.nodes if id(node) not in matched),
        only_after=tuple(after.label(node) for node in after.nodes if id(node) not in matched),
        changed=tuple(changed),
        matched=dict(Counter(each.how for each in matching.nodes)),
    )


def _size(graph: Graph) -> Size:
    total = costs(graph)
    return Size(len(graph.nodes), total.params, total.macs, total.weight_bytes, int(graph.opset))


def _provenance(graph: Graph) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for node in graph.nodes:
        metadata = node_extras(node).metadata
        line, name = metadata.get("vggc.line"), metadata.get("vggc.pass")
        counts[f"{line} {name or ''}".strip() if line else READ] += 1
    return dict(counts)


def _interface(before: Graph, after: Graph, matching: Matching) -> Iterator[str]:
    for role, pairs, own, other in (
        ("input", matching.inputs, before.inputs, after.inputs),
        ("output", matching.outputs, before.outputs, after.outputs),
    ):
        old = {value.name: value_text(before, value) for value in own}
        new = {value.name: value_text(after, value) for value in other}
        for first, second in pairs:
            if old[first] != new[second]:
                yield f"{role} {old[first]} became {new[second]}"
        yield from (f"{role} {text} is gone" for name, text in old.items() if name not in dict(pairs))
        taken = {second for _, second in pairs}
        yield from (f"{role} {text} is new" for name, text in new.items() if name not in taken)


def _changes(before: Graph, old: gs.Node, after: Graph, new: gs.Node) -> Iterator[str]:
    if (old.domain or "", old.op) != (new.domain or "", new.op):
        # Different operators have different attributes and constants, so there is nothing more to compare.
        yield f"{_operator(old)} became {_operator(new)}"
    else:
        first, second = _attributes(before, old), _attributes(after, new)
        for name in sorted(first.keys() | second.keys()):
            texts = [each.get(name, "none") for each in (first, second)]
            if texts[0] != texts[1]:
                yield f"{name}: {texts[0]} became {texts[1]}"
        if len(old.inputs) != len(new.inputs):
            yield f"{len(old.inputs)} inputs became {len(new.inputs)}"
        for index, (was, now) in enumerate(zip(old.inputs, new.inputs, strict=False)):
            yield from _constant(index, before, was, after, now)
    for was, now in zip(old.outputs, new.outputs, strict=False):
        texts = [_typed(graph, value) for graph, value in ((before, was), (after, now))]
        if texts[0] != texts[1]:
            yield f"result {texts[0]} became {texts[1]}"


def _attributes(graph: Graph, node: gs.Node) -> dict[str, str]:
    """The attributes of a node as text, those with the operator's default included."""
    texts = {}
    if onnx.defs.has(node.op, int(graph.opset), node.domain or ""):
        known = onnx.defs.get_schema(node.op, int(graph.opset), node.domain or "").attributes
        defaults = {name: each.default_value for name, each in known.items()}
        texts = {
            name: attribute_text(onnx.helper.get_attribute_value(each))
            for name, each in defaults.items()
            if each.type != onnx.AttributeProto.UNDEFINED
        }
    texts.update({name: attribute_text(each) for name, each in node.attrs.items()})
    return texts


def _operator(node: gs.Node) -> str:
    return f"{node.domain}.{node.op}" if node.domain else str(node.op)


def _typed(graph: Graph, value: gs.Tensor) -> str:
    dtype = graph.dtype(value)
    # Symbols are names that differ between exporters without any meaning.
    shape = graph.shape(value)
    sizes = None if shape is None else [each if isinstance(each, int) else None for each in shape]
    return f"{type_text(dtype) if dtype is not None else 'of unknown type'} {shape_text(sizes)}"


def _constant(index: int, before: Graph, old: gs.Tensor, after: Graph, new: gs.Tensor) -> Iterator[str]:
    first, second = before.array(old), after.array(new)
    if first is None and second is None:
        return
    name = f"input {index} `{old.name or new.name}`"
    if first is None or second is None:
        was, now = ("a constant" if each is not None else "a computed value" for each in (first, second))
        yield f"{name}: {was} became {now}"
    elif not _equal(first, second) and (text := str(distance(first, second))) != "equal":
        yield f"{name}: {text}"


def _equal(first: Array, second: Array) -> bool:
    return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()
