"""Generate graphs that a rule matches, from its pattern."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.diagnostics import Declined
from vggc.graph import Graph
from vggc.graph.domains import domain_of
from vggc.pattern.attributes import as_attribute_value
from vggc.pattern.compiled import CaptureSpec, NodeSpec, NumberSpec, OutputSpec
from vggc.pattern.inference import infer
from vggc.pattern.instances.blanks import Blank, Free, Misfit
from vggc.pattern.instances.hints import computed_names
from vggc.pattern.instances.operators import fill
from vggc.pattern.instances.random_draws import Draw, Shape
from vggc.pattern.operators import OperatorSets, attribute, is_commutative
from vggc.pattern.rule import Rule

_IR_VERSION = 10
_CONSUMERS = {"f": ("Neg", "Abs", "Tanh"), "i": ("Neg", "Abs"), "b": ("Not",)}


def generate(rule: Rule, draw: Draw, sets: OperatorSets) -> Graph:
    """A graph with the rule's pattern in it. Raises Misfit when the choices made do not go together."""
    return _Instance(rule, draw, sets).build()


class _Instance:
    def __init__(self, rule: Rule, draw: Draw, sets: OperatorSets) -> None:
        self._rule = rule
        self._draw = draw
        self._sets = sets
        self._computed = computed_names(rule)
        self._values: dict[str, gs.Tensor | None] = {}
        self._lists: dict[str, list[gs.Tensor]] = {}
        self._attributes: dict[str, Any] = {}
        self._nodes: dict[str, gs.Node] = {}
        self._numbers: dict[int, float] = {}
        self._graph = _empty(sets)
        self._wanted = _outputs(rule)

    def build(self) -> Graph:
        roots: list[gs.Variable] = []
        for root in self._rule.pattern.roots:
            if isinstance(root, NodeSpec):
                roots.append(self._node(root))
            else:
                roots.append(self._output(root))
        graph = self._graph
        graph.outputs = [self._seen(each) for each in {id(value): value for value in roots}.values()]
        graph.inputs = self._inputs()
        graph.tidy()
        for position, value in enumerate(graph.outputs):
            value.name = f"y{position}"
        graph.infer_shapes()
        return graph

    def _inputs(self) -> list[gs.Variable]:
        made = {id(value) for node in self._graph.nodes for value in node.outputs}
        read = {id(value): value for node in self._graph.nodes for value in node.inputs if value.name}
        return [value for key, value in read.items() if key not in made and isinstance(value, gs.Variable)]

    def _seen(self, value: gs.Variable) -> gs.Variable:
        """A root as the rest of a model sees it: an output, or what an operator of no interest reads."""
        dtype = self._graph.dtype(value)
        kind = dtype.kind if dtype is not None else ""
        used = {name for spec in self._rule.pattern.nodes() for _, name in spec.operators}
        op = next((each for each in _CONSUMERS.get(kind, ()) if each not in used), None)
        if op is None or self._draw.chance(0.5):
            return value
        node = self._graph.add(op, [value])
        node.outputs[0].dtype, node.outputs[0].shape = value.dtype, value.shape
        return node.outputs[0]

    # --- nodes --------------------------------------------------------------------------------------------

    def _node(self, spec: NodeSpec) -> gs.Variable:
        domain, op = self._draw.one_of(sorted(spec.operators))
        below = [self._node(each) if isinstance(each, NodeSpec) else None for each in spec.inputs]
        inputs: list[gs.Tensor | Free | None] = []
        for each, built in zip(spec.inputs, below, strict=True):
            inputs.append(built if isinstance(each, NodeSpec) else self._input(each))
        if spec.rest is not None:
            inputs += self._rest(spec.rest, op)
        while inputs and inputs[-1] is None:
            inputs.pop()
        blank = self._blank(spec, op, inputs)
        fill(blank)
        for at in range(len(blank)):
            if blank.is_free(at):
                blank.put(at, self._draw.shape())
        if is_commutative((domain, op), self._sets) and len(blank) == 2 and self._draw.chance(0.5):
            blank.inputs.reverse()
        return self._add(spec, domain, op, blank)

    def _input(self, spec: CaptureSpec | NumberSpec | OutputSpec) -> gs.Tensor | Free | None:
        if isinstance(spec, OutputSpec):
            return self._output(spec)
        if isinstance(spec, NumberSpec):
            free = Free("", True)
            self._numbers[id(free)] = spec.number
            return free
        if spec.name in self._values:
            return self._values[spec.name]
        if spec.optional and self._draw.chance(0.4):
            if spec.name:
                self._values[spec.name] = None
            return None
        return Free(spec.name, spec.name in self._computed)

    def _rest(self, name: str, op: str) -> list[gs.Tensor | Free | None]:
        if name in self._lists:
            return list(self._lists[name])
        schema = self._sets.schema(("", op))
        most = 2 if schema is None else min(2, schema.max_input)
        count = self._draw.whole(0, most)
        if name:
            self._lists[name] = []
        return [Free(f"{name}...", False) for _ in range(count)]

    def _output(self, spec: OutputSpec) -> gs.Variable:
        node = self._nodes.get(spec.label)
        if node is None or spec.index >= len(node.outputs):
            raise Misfit
        return node.outputs[spec.index]

    def _blank(self, spec: NodeSpec, op: str, inputs: list[gs.Tensor | Free | None]) -> Blank:
        attributes: dict[str, Any] = {}
        fixed = set()
        for each in spec.attributes:
            if each.capture is None:
                attributes[each.name] = as_attribute_value(op, each.name, each.literal)
                fixed.add(each.name)
            elif each.capture in self._attributes:
                attributes[each.name] = as_attribute_value(op, each.name, self._attributes[each.capture])
                fixed.add(each.name)
        wanted = max(spec.output + 1, self._wanted.get(spec.label, 1))
        return Blank(op, inputs, attributes, frozenset(fixed), self._draw, self._sets, self._make, wanted)

    def _add(self, spec: NodeSpec, domain: str, op: str, blank: Blank) -> gs.Variable:
        inputs = [each if not isinstance(each, Free) else None for each in blank.inputs]
        schema = self._sets.schema((domain, op))
        known = {
            name: each
            for name, each in blank.attributes.items()
            if each not in (None, []) and (schema is None or name in schema.attributes)
        }
        node = self._graph.add(op, inputs, known, outputs=blank.outputs, domain=domain_of(domain) or None)
        try:
            infer(self._graph, self._sets, [node])
        except Declined:
            raise Misfit from None
        if any(value.dtype is None for value in node.outputs):
            raise Misfit
        for each in spec.attributes:
            if each.capture and each.capture not in self._attributes:
                self._attributes[each.capture] = attribute(self._graph, self._sets, node, each.name)
        if spec.label:
            self._nodes[spec.label] = node
        return node.outputs[spec.output]

    # --- values -------------------------------------------------------------------------------------------

    def _make(self, free: Free, shape: Shape, dtype: np.dtype[Any], how: str, constant: bool) -> gs.Tensor:
        if free.name in self._values:
            found = self._values[free.name]
            if found is None:
                raise Misfit
            return found
        several = free.name.endswith("...")
        number = self._numbers.get(id(free))
        value: gs.Tensor
        constant = constant or free.constant or self._draw.chance(0.12)
        if number is not None:
            value = self._constant(np.full(shape, number).astype(dtype))
        elif how.startswith("list:"):
            value = self._constant(np.asarray(ast.literal_eval(how.removeprefix("list:")), np.int64))
        elif how.startswith("below:"):
            limit = int(how.removeprefix("below:"))
            array = np.asarray(self._draw.array(shape, dtype, "small")) % limit
            value = self._constant(array.astype(dtype))
        elif how.startswith("value:") and constant:
            value = self._constant(np.asarray(float(how.removeprefix("value:"))).astype(dtype))
        elif constant:
            value = self._constant(self._draw.array(shape, dtype, "any" if how.startswith("value:") else how))
        else:
            value = gs.Variable(self._graph.fresh_name(free.name.rstrip(".") or "x"), dtype, list(shape))
        if several:
            self._lists.setdefault(free.name.removesuffix("..."), []).append(value)
        elif free.name:
            self._values[free.name] = value
        return value

    def _constant(self, array: Any) -> gs.Constant:
        return self._graph.constant(np.array(array), hint="c")


def _empty(sets: OperatorSets) -> Graph:
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in sets.versions.items()]
    graph = Graph(nodes=[], inputs=[], outputs=[], opset=sets.opset, ir_version=_IR_VERSION)
    graph.model.opset_import.extend(imports)
    return graph


def _outputs(rule: Rule) -> dict[str, int]:
    """How many outputs each labelled node must have."""
    found: dict[str, int] = {}
    specs: list[OutputSpec] = [each for each in rule.pattern.roots if isinstance(each, OutputSpec)]
    for node in rule.pattern.nodes():
        specs += [each for each in node.inputs if isinstance(each, OutputSpec)]
    for each in specs:
        found[each.label] = max(found.get(each.label, 1), each.index + 1)
    return found
