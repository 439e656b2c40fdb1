"""Bind a rule: turn its syntax tree into a rule that can be applied."""

from __future__ import annotations

from collections.abc import Mapping

from vggc.diagnostics import CompileError, Diagnostics
from vggc.diagnostics.source import Source, Span
from vggc.grammar import pattern_syntax, syntax
from vggc.pattern.checks import check_rule
from vggc.pattern.compiled import Pattern, compile_pattern
from vggc.pattern.functions import FUNCTIONS, Function
from vggc.pattern.operator_checks import check_operator_names
from vggc.pattern.overlap import check_recreates
from vggc.pattern.pattern_checks import check_pattern
from vggc.pattern.rule import Body, Rule


def bind_rule(rule: syntax.RuleStatement, found: Diagnostics, functions: Mapping[str, Function] | None = None) -> Rule:
    """A rule of a recipe. `functions` are those it can call beside vggc's own.

    Warnings go to `found`. Raises CompileError with everything wrong with it. Its operators are checked by
    `vggc.pattern.operator_checks.check_operators`, when the model's opset is known.
    """
    known = {**FUNCTIONS, **(functions or {})}
    messages = check_rule(rule, known)
    if not any(each.severity == "error" for each in messages):
        messages += check_recreates(rule)
    if any(each.severity == "error" for each in messages):
        raise CompileError(*messages)
    found.extend(messages)
    return Rule(
        name=rule.name.name,
        pattern=compile_pattern(rule.roots),
        span=rule.span,
        name_span=rule.name.span,
        tolerance=None if rule.tolerance is None else float(rule.tolerance.value),
        opsets=opsets_of(rule.guard),
        body=Body(rule.guard, rule.lets, rule.results, known),
    )


def bind_pattern(text: str, name: str) -> tuple[Pattern, Span]:
    """The pattern of a Python rewrite. Raises CompileError when it is wrong."""
    from vggc.grammar.parser import parse_pattern

    source = Source(f"the pattern of {name}", text)
    roots = parse_pattern(source)
    errors = check_pattern(roots)
    if errors:
        raise CompileError(*errors)
    pattern = compile_pattern(roots)
    errors = check_operator_names(pattern)
    if errors:
        raise CompileError(*errors)
    return pattern, Span(source, 0, len(text))


def opsets_of(guard: pattern_syntax.Term | None) -> tuple[int, int]:
    """The first and last opset that a condition allows, as far as it compares `opset` with numbers on its own."""
    low, high = 1, 1 << 30
    for each in _conjuncts(guard):
        if not isinstance(each, pattern_syntax.ComparisonTerm):
            continue
        left, right, operator = each.left, each.right, each.operator
        if isinstance(left, syntax.Number) and isinstance(right, syntax.Word):
            left, right = right, left
            operator = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(operator, operator)  # type: ignore[assignment]
        if not (isinstance(left, syntax.Word) and left.name == "opset" and isinstance(right, syntax.Number)):
            continue
        bound = int(right.value)
        if operator in (">=", ">", "=="):
            low = max(low, bound + (operator == ">"))
        if operator in ("<=", "<", "=="):
            high = min(high, bound - (operator == "<"))
    return low, high


def _conjuncts(term: pattern_syntax.Term | None) -> list[pattern_syntax.Term]:
    if isinstance(term, pattern_syntax.LogicalTerm) and term.operator == "and":
        return [each for operand in term.operands for each in _conjuncts(operand)]
    return [] if term is None else [term]
