"""Apply a rule to a match: check the conditions that every rule needs, and edit the graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.diagnostics import Declined
from vggc.graph import Graph
from vggc.graph.extras import annotate
from vggc.operators.kernels import without_kernel
from vggc.pattern.application_proof import Instance, prove
from vggc.pattern.compiled import NodeSpec
from vggc.pattern.construct import Builder, evaluator_of
from vggc.pattern.context import Context
from vggc.pattern.evaluate import Evaluator
from vggc.pattern.inference import check_same, infer, settled
from vggc.pattern.match import Match
from vggc.pattern.matcher import Found
from vggc.pattern.numbers import Numbers, rounded
from vggc.pattern.operators import OperatorSets, operator_of
from vggc.pattern.rule import Body, Rule
from vggc.pattern.scopes import Scopes

MOST_UPSTREAM = 10_000
"""Nodes looked at to make sure that the results of a rule with several roots do not depend on each other."""


class GuardFails(Exception):
    """The rule's condition does not hold; nothing is wrong with the place."""


class Undecided(Declined):
    """Whether the rule's condition holds is not known."""


@dataclass(frozen=True)
class Applied:
    """One application: what was there, and what stands there now."""

    rule: Rule
    removed: tuple[gs.Node, ...]
    added: tuple[gs.Node, ...]
    label: str
    """the first root, as messages name it"""


class Applier:
    """Applies rules to one graph between two `tidy` calls."""

    def __init__(self, graph: Graph, scopes: Scopes, sets: OperatorSets, context: Context) -> None:
        self._graph = graph
        self._scopes = scopes
        self._sets = sets
        self._context = context

    def apply(self, rule: Rule, found: Found) -> Applied:
        """Put the rule's replacement in the place of a match.

        Raises GuardFails when the rule's condition does not hold, and Declined when it is not known, when something
        else reads what would go, or when the replacement cannot be made. The graph is then as it was.
        """
        kept = _kept(found, rule.kept_labels(), self._graph)
        matched = sorted(_distinct(found.nodes.values()), key=lambda each: self._scopes.order[id(each)])
        replaced = [node for node in matched if id(node) not in kept]
        before = len(self._graph.nodes)
        try:
            if rule.body is not None:
                evaluator = evaluator_of(self._graph, self._sets, rule.pattern, found, rule.body)
                self._check_guard(rule.body, evaluator)
                self._check_readers(found, replaced)
                self._check_order(found, replaced)
                values = Builder(evaluator, found, rule.body, replaced).build()
            else:
                self._check_readers(found, replaced)
                self._check_order(found, replaced)
                values = self._call(rule, found)
                read = {id(value) for node in self._graph.nodes[before:] for value in node.inputs}
                read |= {id(value) for value in values}
                kept = _upstream(found, [node for node in replaced if _gives(node, read)], self._graph)
                replaced = [node for node in replaced if id(node) not in kept]
            added = self._graph.nodes[before:]
            for node in added:
                annotate(node, {"vggc.rule": rule.name})
            infer(self._graph, self._sets, added)
            self._check_kernels(added, matched)
            self._check_results(found, values, added, replaced)
            if self._context.prove and rule.tolerance != math.inf:
                label = self._graph.label(found.node)
                stay = [node for node in matched if id(node) in kept]
                instance = Instance(rule, label, stay, replaced, found.roots, added, values)
                prove(self._graph, instance, self._context.log.rules[rule.name])
        except (Declined, GuardFails):
            for node in self._graph.nodes[before:]:
                self._graph.remove(node)
            raise
        return self._edit(rule, found, replaced, before, values)

    # --- conditions ---------------------------------------------------------------------------------------

    def _check_guard(self, body: Body, evaluator: Evaluator) -> None:
        try:
            if body.guard is not None and not evaluator.holds(body.guard):
                raise GuardFails
        except Declined as declined:
            raise Undecided(str(declined)) from None

    def _check_readers(self, found: Found, replaced: Sequence[gs.Node]) -> None:
        """Raise Declined when something outside the match sees a value that would go."""
        roots = {id(value) for value in found.roots}
        matched = {id(node) for node in found.nodes.values()}
        for node in replaced:
            for value in node.outputs:
                if not value.name or id(value) in roots:
                    continue
                label = self._graph.label(node)
                if self._graph.is_result(value):
                    where = "the model" if self._graph.body(node) is None else "its body"
                    raise Declined(f"the output of {label} is an output of {where}")
                reader = self._graph.reader_beside(value, matched)
                if reader is not None:
                    raise Declined(f"the output of {label} is also read by {self._graph.label(reader)}")

    def _check_order(self, found: Found, replaced: Sequence[gs.Node]) -> None:
        """Raise Declined when an input of a match with several roots depends on one of its results."""
        if len(found.roots) < 2:
            return
        going = {id(node) for node in replaced}
        lowest = min((self._scopes.order[each] for each in going), default=0)
        inside = {id(node) for node in found.nodes.values()}
        waiting = [value for node in found.nodes.values() for value in node.inputs]
        seen: set[int] = set()
        while waiting:
            source = self._graph.producer(waiting.pop())
            if source is None or id(source) in seen or self._scopes.order[id(source)] < lowest:
                continue
            if id(source) in inside:
                continue
            seen.add(id(source))
            if len(seen) > MOST_UPSTREAM:
                raise Declined("its inputs depend on so many nodes that they may depend on its results")
            for value in source.inputs:
                above = self._graph.producer(value)
                if above is not None and id(above) in going:
                    raise Declined(f"its input from {self._graph.label(source)} depends on {self._graph.label(above)}")
                waiting.append(value)

    def _check_kernels(self, added: Sequence[gs.Node], matched: Sequence[gs.Node]) -> None:
        """Raise Declined when a model that a runtime has all kernels for would get an operator without one."""
        if not self._context.runnable:
            return
        reason = next(filter(None, map(self._without_kernel, added)), "")
        if reason and not any(map(self._without_kernel, matched)):
            raise Declined(reason)

    def _without_kernel(self, node: gs.Node) -> str:
        domain, op = operator_of(node)
        dtype = self._graph.dtype(node.inputs[0]) if node.inputs else None
        if domain or dtype is None:
            return ""
        return without_kernel(op, dtype.name, self._sets.opset, (each.target for each in self._context.engines))

    def _check_results(
        self, found: Found, values: Sequence[gs.Tensor], added: Sequence[gs.Node], replaced: Sequence[gs.Node]
    ) -> None:
        fresh = {id(value) for node in added for value in node.outputs}
        going = {id(value) for node in replaced for value in node.outputs}
        for value in (*(each for node in added for each in node.inputs), *values):
            if id(value) in going:
                raise Declined(f"its replacement needs `{value.name}`, which is removed")
        for old, new in zip(found.roots, values, strict=True):
            if old is new:
                continue
            if id(new) in fresh:
                check_same(old, new, made=True)
                continue
            source = self._graph.producer(old)
            check_same(old, new, made=source is None or sum(bool(each.name) for each in source.inputs) < 2)
            copies = source is not None and operator_of(source) == ("", "Identity")
            if copies and len(replaced) == 1 and not self._graph.replaceable(old, new):
                raise Declined(f"`{old.name}` is an output of the model that no other node can compute")

    # --- the edit -----------------------------------------------------------------------------------------

    def _call(self, rule: Rule, found: Found) -> list[gs.Tensor]:
        """What a Python rewrite returns, as one value for each root."""
        assert rule.function is not None
        result = rule.function(Match(self._graph, found), **rule.options)
        results = list(result) if isinstance(result, tuple | list) else [result]
        if len(results) != len(found.roots):
            raise TypeError(f"`{rule.name}` returned {len(results)} results for a pattern of {len(found.roots)} roots")
        return [self._value(rule, each, root) for each, root in zip(results, found.roots, strict=True)]

    def _value(self, rule: Rule, result: Any, root: gs.Variable) -> gs.Tensor:
        if isinstance(result, gs.Node):
            return result.outputs[0]
        if isinstance(result, gs.Tensor):
            return result
        if isinstance(result, np.ndarray):
            numbers = Numbers.of(result)
            return self._graph.constant(rounded(numbers, settled(numbers, self._graph.dtype(root))), hint=root.name)
        kinds = "a node, a value or an array"
        raise TypeError(f"`{rule.name}` returned {type(result).__name__}, not {kinds}")

    def _edit(
        self, rule: Rule, found: Found, replaced: Sequence[gs.Node], before: int, values: Sequence[gs.Tensor]
    ) -> Applied:
        label = self._graph.label(found.node)
        for node in replaced:
            self._graph.remove(node)
        added = self._scopes.settle(before, found.body)
        fresh = {id(value): (node, at) for node in added for at, value in enumerate(node.outputs)}
        taken: dict[int, gs.Variable] = {}
        for old, new in zip(found.roots, values, strict=True):
            if id(new) in fresh and id(new) not in taken:
                node, at = fresh[id(new)]
                old.dtype = old.dtype if old.dtype is not None else new.dtype
                old.shape = old.shape if old.shape is not None else new.shape
                self._scopes.take_over(node, at, old)
                taken[id(new)] = old
            elif old is not new:
                identity = self._scopes.replace(old, taken.get(id(new), new), found.body)
                if identity is not None:
                    added.append(identity)
        return Applied(rule, tuple(replaced), tuple(added), label)


def _distinct(nodes: Any) -> list[gs.Node]:
    return list({id(node): node for node in nodes}.values())


def _gives(node: gs.Node, values: set[int]) -> bool:
    return any(id(each) in values for each in node.outputs)


def _kept(found: Found, labels: frozenset[str], graph: Graph) -> set[int]:
    """The matched nodes that stay, by id: those whose values the replacement uses, and those above them."""
    specs: list[NodeSpec] = [spec for spec in found.nodes if spec.label in labels]
    return _upstream(found, [found.nodes[spec] for spec in specs], graph)


def _upstream(found: Found, nodes: Sequence[gs.Node], graph: Graph) -> set[int]:
    matched = {id(node) for node in found.nodes.values()}
    kept: set[int] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if id(node) in matched and id(node) not in kept:
            kept.add(id(node))
            sources = [graph.producer(value) for value in node.inputs]
            waiting.extend(each for each in sources if each is not None)
    return kept
