"""Detect rules that do not terminate."""

from __future__ import annotations

from collections import Counter

import onnx_graphsurgeon as gs

from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.graph import Graph
from vggc.pattern.application import Applied

MOST_AT_ONE_VALUE = 200
"""How often one value may be rewritten without the graph becoming smaller."""

GROWTH = 4
"""By what factor a graph may grow, apart from 1,000 nodes that are always allowed."""

_TELLING = 100


class Watch:
    """Follows the applications of a run.

    Rewrites that make the graph smaller terminate by themselves. The others are counted for the value that they
    rewrite, and along chains of nodes that were made from each other: a transpose may sink through a whole model, once.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes = len(graph.nodes)
        self._longest = MOST_AT_ONE_VALUE + self._nodes
        self._largest = GROWTH * self._nodes + 1000
        self._count = self._nodes
        self._rewrites: dict[int, tuple[gs.Tensor, int]] = {}
        self._line: dict[int, int] = {}
        self._recent: list[Applied] = []

    def note(self, applied: Applied) -> None:
        """Raise CompileError when this application is one too many."""
        self._recent.append(applied)
        if len(self._recent) > 2 * _TELLING:
            del self._recent[:_TELLING]
        self._count += len(applied.added) - len(applied.removed)
        line = max((self._line.get(id(node), 0) for node in applied.removed), default=0)
        if len(applied.added) >= len(applied.removed):
            line += 1
            for value in _results(applied):
                # The value is kept with its count, so that no later one can have its id.
                _, times = self._rewrites.get(id(value), (value, 0))
                self._rewrites[id(value)] = value, times + 1
                if times >= MOST_AT_ONE_VALUE:
                    raise self._endless(f"`{value.name}` was rewritten {MOST_AT_ONE_VALUE} times")
        for node in applied.added:
            self._line[id(node)] = line
        if line > self._longest:
            raise self._endless(f"what they make of one node was rewritten {line:,} times")
        if self._count > self._largest:
            raise self._endless(f"{self._nodes:,} nodes have become {self._count:,}")

    def _endless(self, why: str) -> CompileError:
        recent = self._recent[-_TELLING:]
        rules = Counter(each.rule.name for each in recent)
        named = ", ".join(f"`{name}` ({count} of the last {len(recent)})" for name, count in rules.most_common(8))
        places = list(dict.fromkeys(f"{each.rule.name} at {each.rule.place}" for each in recent))[:8]
        nodes = list(dict.fromkeys(each.label for each in reversed(recent)))[:4]
        facts = [("note", why), ("rules", named)]
        facts += [("rule", each) for each in places if len(places) > 1]
        facts += [("last at", each) for each in nodes]
        span = recent[-1].rule.name_span if len(rules) == 1 else None
        one = "the rule does" if len(rules) == 1 else "the rules do"
        help = "write a replacement that neither this rule nor another one of the step matches again"
        return CompileError(Diagnostic(f"{one} not terminate", span, "", tuple(facts), help, code=Code.RULE_ENDLESS))


def _results(applied: Applied) -> list[gs.Tensor]:
    """The values that an application rewrote: outputs of its new nodes that no other new node reads."""
    made = {id(value) for node in applied.added for value in node.inputs}
    return [value for node in applied.added for value in node.outputs if value.name and id(value) not in made]
