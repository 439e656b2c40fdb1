"""Every case of library/<theme>.txt: what a rule of recipes/rules/<theme>.opt makes of a graph, numerically checked.

The cases are written as those of tests/passes: `pass:` names the rule. The expected half is the graph after, or
`unchanged` where the rule's condition keeps it away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from vggc.binding import bind
from vggc.binding.modules import import_file
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.graph import Graph
from vggc.pattern.operator_checks import check_operators
from vggc.pattern.operators import NEWEST, OLDEST, OperatorSets
from vggc.pattern.rule import Rule
from vggc.rewrite import Context, run_rules

HERE = Path(__file__).parent
RECIPES = HERE.parents[1] / "recipes"
THEMES = sorted(each.stem for each in (RECIPES / "rules").glob("*.opt") if each.stem != "all")
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-3}
"""Relative error allowed by output type: constants are merged in float64, and rounded once."""

cases = import_file(HERE.parent / "cases.py")
CASES = [case for file in sorted((HERE / "library").glob("*.txt")) for case in cases.read_cases(file)]


def library(theme: str) -> dict[str, Rule]:
    """The rules of a file of the library, by name."""
    path = RECIPES / "rules" / f"{theme}.opt"
    # A recipe of declarations alone does nothing, and is refused.
    recipe = parse(Source(str(path), f"{path.read_text(encoding='utf-8')}\nsimplify\n"))
    return {each.name: each for each in bind(recipe).rules}


LIBRARY = {theme: library(theme) for theme in THEMES}
RULES = {rule.name: rule for rules in LIBRARY.values() for rule in rules.values()}


def apply(graph: Graph, *rules: Rule) -> int:
    """Apply rules, each application proved where it happens. Returns how many there were."""
    graph.infer_shapes()
    outcome = run_rules(graph, rules, context=Context(prove=True))
    graph.tidy()
    return len(outcome.applied)


def check_same(before: Graph, after: Graph, given: dict[str, NDArray[Any]]) -> None:
    expected, got = cases.execute(before, given), cases.execute(after, given)
    assert list(expected) == list(got)
    for name, numbers in expected.items():
        assert got[name].dtype == numbers.dtype
        assert got[name].shape == numbers.shape
        want, have = numbers.astype(np.float64), got[name].astype(np.float64)
        allowed = TOLERANCE.get(numbers.dtype.name, 0.0)
        assert np.abs(have - want).max(initial=0) <= allowed * np.abs(want).max(initial=0), name


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file.stem}: {case.title}")
def test_case(case: Any, bless: bool) -> None:
    rule = LIBRARY[case.file.stem][case.name]
    model = cases.parse(case)
    onnx.checker.check_model(model, full_check=True)
    before, after = Graph.from_model(model), Graph.from_model(model)
    applied = apply(after, rule)
    onnx.checker.check_model(after.export(1 << 40).model, full_check=True)
    check_same(before, after, cases.feeds(after, case.title))
    text = cases.canonical(after)

    again = Graph.from_model(after.export(1 << 40).model)
    assert not apply(again, rule), "a second run changes more"

    if case.expected == "unchanged":
        assert not applied
    elif bless and text != case.expected:
        cases.write_expected(case, text)
    else:
        assert applied
        assert text == case.expected


def test_every_rule_has_a_case() -> None:
    shown = {(case.file.stem, case.name) for case in CASES if case.expected != "unchanged"}
    assert shown == {(theme, name) for theme, rules in LIBRARY.items() for name in rules}


def test_no_two_rules_have_one_name() -> None:
    assert len(RULES) == sum(len(each) for each in LIBRARY.values())


@pytest.mark.parametrize("opset", range(OLDEST, NEWEST + 1))
def test_rules_are_valid_in_every_opset(opset: int) -> None:
    """A rule that uses what an opset lacks says `opset >= ...`; otherwise no model of that opset could be compiled."""
    found = [message for rule in RULES.values() for message in check_operators(rule, OperatorSets.at(opset))]
    assert not found
