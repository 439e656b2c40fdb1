"""Every case of tests/rules/*.txt: rules, a graph, and the graph they make of it; run before and after, and compared.

A case is as tests/cases.py tells: comments (`#`), optional lines `use "FILE"` (of recipes/rules), `apply: rule, rule`
(all rules of the case, if nothing is said) and `declines: node: reason`, and `rule` blocks before its graph; expected
is the graph after, `unchanged`, or `error: message`. Each application is also proved where it happens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from vggc.binding.modules import import_file
from vggc.diagnostics import CompileError, Diagnostics
from vggc.diagnostics.source import Source
from vggc.execution.model_comparison import compare
from vggc.execution.random_inputs import random_inputs
from vggc.grammar import syntax
from vggc.grammar.parser import parse
from vggc.grammar.recipe_file import read_recipe
from vggc.graph import Graph
from vggc.pattern.rule_binding import bind_rule
from vggc.rewrite import Context, Rule, check_rules, rules_pass

cases = import_file(Path(__file__).parents[1] / "cases.py")
GRAPH = re.compile(r"^(<|\w+ \()", re.MULTILINE)
LIBRARY = Path(__file__).parents[2] / "recipes" / "rules"


@dataclass(frozen=True)
class RuleCase(cases.Case):
    """One case of rules; `head` is what stands before its graph."""

    head: str

    @property
    def declines(self) -> set[str]:
        return set(re.findall(r"^declines: (.+)$", self.head, re.MULTILINE))

    def rules(self) -> list[Rule]:
        """The rules to apply, bound."""
        sources = [read_recipe(LIBRARY / each) for each in re.findall(r'^use "(.+)"$', self.head, re.MULTILINE)]
        own = re.sub(r"^(use|apply|declines)\b.*$", "", self.head, flags=re.MULTILINE)
        sources += [Source(self.file.name, own)] if own.strip() else []
        found = Diagnostics()
        rules = [
            bind_rule(statement, found)
            for source in sources
            for statement in parse(source).statements
            if isinstance(statement, syntax.RuleStatement)
        ]
        assert not found.messages
        named = re.search(r"^apply: (.+)$", self.head, re.MULTILINE)
        wanted = re.split(r",\s*", named[1]) if named else [each.name for each in rules]
        by_name = {each.name: each for each in rules}
        return [by_name[each] for each in wanted]


def rule_case(file: Path, title: str, before: str, expected: str) -> RuleCase:
    graph = GRAPH.search(before)
    if graph is None:
        raise ValueError(f"{file.name}: case {title!r} has no graph")
    head = "\n".join(line for line in before[: graph.start()].splitlines() if not line.startswith("#"))
    return RuleCase(file, title, before[graph.start() :].strip(), expected, head)


def parse_graph(case: RuleCase) -> Graph:
    model = cases.parse(case)
    graph = Graph.from_model(model)
    graph.infer_shapes(check=all(not node.domain for node in model.graph.node))
    return graph


def canonical(graph: Graph) -> str:
    text: str = cases.canonical(graph, shown=8)
    return text


CASES = [case for file in sorted(Path(__file__).parent.glob("*.txt")) for case in cases.read_cases(file, rule_case)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file.stem}: {case.title}")
def test_case(case: RuleCase, bless: bool) -> None:
    before, after = parse_graph(case), parse_graph(case)
    rules = case.rules()
    assert not check_rules(rules, before)
    apply = rules_pass(rules)
    context = Context(prove="not terminate" not in case.expected)
    if case.expected.startswith("error: "):
        with pytest.raises(CompileError) as caught:
            apply(after, context=context)
        assert f"error: {caught.value.diagnostics[0].message}" == case.expected
        return
    log = apply(after, context=context)
    after.tidy()
    declined = {f"{what}: {reason}" for what, reason in log.declined}
    assert case.declines <= declined, declined
    after.infer_shapes(check=all(not node.domain for node in after.nodes))
    if all(not node.domain for node in before.nodes):
        found = compare(before, after, random_inputs(before))
        assert found.ok, str(found.worst)
    text = canonical(after)

    again = Graph.from_model(after.export(1 << 40).model)
    again.infer_shapes()
    second = apply(again)
    assert canonical(again) == text, "a second run changes more"
    assert not second.changes

    if case.expected == "unchanged":
        assert text == canonical(before)
        assert not log.changes
    elif bless and text != case.expected:
        cases.write_expected(case, text)
    else:
        assert text == case.expected
