"""Apply rules until none matches, with a worklist of nodes by the operators that patterns start with.

One sweep visits every node; what an application may have made possible nearby is visited again at once. Sweeps go on
until one changes nothing, so that the result does not depend on how well the second part works. Nodes are visited in
the order in which they run, and rules tried in the order in which they are given: the result is always the same.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import onnx_graphsurgeon as gs

from vggc.diagnostics import Declined
from vggc.graph import Graph
from vggc.pattern.application import Applied, Applier, GuardFails, Undecided
from vggc.pattern.context import Context, RuleTally
from vggc.pattern.endless import Watch
from vggc.pattern.matcher import Found, Matcher
from vggc.pattern.operator_checks import check_operators
from vggc.pattern.operators import Operator, OperatorSets, operator_of
from vggc.pattern.rule import Rule
from vggc.pattern.scopes import Scopes

MOST_DECLINES = 200
"""Places of which a rule tells why it declined; the rest are counted."""

MOST_WOKEN = 16
"""Readers of a changed value that are visited again at once; where there are more, the next sweep comes by."""


@dataclass(frozen=True)
class Refusal:
    """A place where a rule matched and was not applied."""

    rule: Rule
    label: str
    reason: str


@dataclass
class Outcome:
    """What rules did to a graph: applications in order, and what the final graph still refuses."""

    applied: list[Applied] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    more_refused: dict[str, int] = field(default_factory=dict)
    """by rule: places beyond MOST_DECLINES"""


def run_rules(
    graph: Graph,
    rules: Sequence[Rule],
    *,
    context: Context | None = None,
    on_applied: Callable[[Applied], None] | None = None,
    tell_guards: bool = False,
) -> Outcome:
    """Apply rules to a graph, bodies of If and Loop included, until none of them matches.

    Counts, times and declines go to the log of `context`, which also says whether applications are proved.
    `tell_guards` also reports places where only a rule's condition does not hold. Raises CompileError when the rules do
    not terminate.
    """
    return _Run(graph, rules, context or Context(), on_applied, tell_guards).run()


class _Run:
    def __init__(
        self,
        graph: Graph,
        rules: Sequence[Rule],
        context: Context,
        on_applied: Callable[[Applied], None] | None,
        tell_guards: bool,
    ) -> None:
        self._graph = graph
        self._sets = OperatorSets.of(graph)
        first, last = 0, 1
        self._rules = [
            each
            for each in rules
            if each.opsets[first] <= self._sets.opset <= each.opsets[last] and not check_operators(each, self._sets)
        ]
        self._idle = [each for each in rules if each not in self._rules]
        self._index: dict[Operator, list[int]] = {}
        for at, rule in enumerate(self._rules):
            for operator in rule.pattern.anchor.operators:
                self._index.setdefault(operator, []).append(at)
        self._depth = max((each.pattern.depth for each in self._rules), default=0)
        self._context = context
        self._on_applied = on_applied
        self._tell_guards = tell_guards
        self._tallies = [context.log.rules.setdefault(each.name, RuleTally()) for each in self._rules]
        self._outcome = Outcome()
        self._watch = Watch(graph)

    def run(self) -> Outcome:
        while self._sweep():
            self._graph.tidy()
        # Nodes that were made for a replacement that was then declined are there still.
        self._graph.tidy()
        self._report()
        return self._outcome

    def _sweep(self) -> bool:
        """Visit every node once, and those again around which something changed. Whether anything did."""
        self._scopes = Scopes(self._graph)
        self._applier = Applier(self._graph, self._scopes, self._sets, self._context)
        self._matchers = [Matcher(each.pattern, self._graph, self._sets) for each in self._rules]
        self._outcome.refused, self._outcome.more_refused = [], {}
        self._refusals: dict[tuple[int, int], str] = {}
        waiting = deque(each for each in self._scopes.nodes if operator_of(each) in self._index)
        self._waiting, self._queued = waiting, {id(each) for each in waiting}
        before = len(self._outcome.applied)
        while waiting:
            node = waiting.popleft()
            self._queued.discard(id(node))
            if not self._graph.is_removed(node):
                self._visit(node)
        self._collect()
        return len(self._outcome.applied) > before

    def _visit(self, node: gs.Node) -> None:
        for at in self._index.get(operator_of(node), ()):
            started = time.perf_counter()
            applied = self._try(at, node)
            self._tallies[at].seconds += time.perf_counter() - started
            if applied is not None:
                self._context.record(self._rules[at].name)
                self._outcome.applied.append(applied)
                self._watch.note(applied)
                if self._on_applied is not None:
                    self._on_applied(applied)
                self._wake(applied, node)
                return

    def _try(self, at: int, node: gs.Node) -> Applied | None:
        rule = self._rules[at]
        tally = self._tallies[at]
        tally.tried += 1
        self._refusals.pop((at, id(node)), None)
        done: list[Applied] = []
        reasons: list[str] = []
        undecided: list[str] = []
        guards: list[Found] = []

        def accept(found: Found) -> bool:
            tally.matched += 1
            try:
                done.append(self._applier.apply(rule, found))
            except Undecided as declined:
                undecided.append(str(declined))
            except Declined as declined:
                reasons.append(str(declined))
            except GuardFails:
                guards.append(found)
            return bool(done)

        try:
            self._matchers[at].match(node, accept)
        except Declined as declined:
            reasons.insert(0, str(declined))
        if done:
            tally.applied += 1
            return done[0]
        # When the condition fails for one order of the inputs, reporting it as undecided for the other would mislead.
        if guards and self._tell_guards:
            undecided = ["its condition does not hold"]
        elif guards:
            undecided = []
        if explanations := (reasons or undecided):
            self._refusals[at, id(node)] = explanations[0]
        return None

    def _wake(self, applied: Applied, node: gs.Node) -> None:
        """Queue what may match now: the new nodes, and what reads their results or has lost other readers."""
        near = list(applied.added)
        if not self._graph.is_removed(node):
            near.append(node)
        touched: list[gs.Tensor] = [value for each in applied.added for value in each.outputs]
        touched += [value for each in applied.removed for value in each.inputs]
        touched += [value for each in applied.added for value in each.inputs]
        for each in near:
            self._queue(each)
        met: set[int] = set()
        for _ in range(self._depth):
            further: list[gs.Tensor] = []
            for value in touched:
                for reader in self._few_readers(value):
                    if id(reader) not in met:
                        met.add(id(reader))
                        self._queue(reader)
                        further.extend(reader.outputs)
            touched = further

    def _few_readers(self, value: gs.Tensor) -> list[gs.Node]:
        """All readers of a value, or none of them where there are many."""
        found = list(islice(self._graph.iterate_readers(value), MOST_WOKEN + 1))
        return found if len(found) <= MOST_WOKEN else []

    def _queue(self, node: gs.Node) -> None:
        if id(node) not in self._queued and operator_of(node) in self._index and not self._graph.is_removed(node):
            self._queued.add(id(node))
            self._waiting.append(node)

    def _collect(self) -> None:
        """Keep what this sweep refused: the last one sees the graph as it stays."""
        counts: dict[int, int] = {}
        labels = {id(node): node for node in self._scopes.nodes}
        for (at, key), reason in self._refusals.items():
            node = labels.get(key)
            if node is None or self._graph.is_removed(node):
                continue
            counts[at] = counts.get(at, 0) + 1
            if counts[at] <= MOST_DECLINES:
                self._outcome.refused.append(Refusal(self._rules[at], self._graph.label(node), reason))
        for at, count in counts.items():
            if count > MOST_DECLINES:
                self._outcome.more_refused[self._rules[at].name] = count - MOST_DECLINES

    def _report(self) -> None:
        for each in self._outcome.refused:
            self._context.decline(each.label, _reason(each, len(self._rules) > 1))
            self._context.log.rules[each.rule.name].declined += 1
        for name, count in self._outcome.more_refused.items():
            self._context.decline(name, f"it declines in {count:,} more places")
            self._context.log.rules[name].declined += count
        # A library has one form of a rule for each opset; only a step for which none is left reports that.
        for rule in () if self._rules else self._idle:
            low, high = rule.opsets
            limits = f"opset {low} and later" if high >= 1 << 30 else f"opsets {low} to {high}"
            self._context.decline(rule.name, f"it is for models of {limits}, and this one has {self._sets.opset}")


def _reason(refusal: Refusal, several: bool) -> str:
    return f"{refusal.rule.name}: {refusal.reason}" if several else refusal.reason
