"""Hints from a rule about the graphs it applies to: the numbers it mentions, and which values must be constants."""

from __future__ import annotations

import math
from collections.abc import Iterator

from vggc.grammar import pattern_syntax as syntax
from vggc.grammar.syntax import Number, Syntax, Word
from vggc.pattern.compiled import NodeSpec
from vggc.pattern.rule import Rule

_FACTS = frozenset(
    {"shape", "rank", "dtype", "size", "readers", "is_output", "is_input", "present", "count", "operator"}
)


def written_numbers(rule: Rule) -> list[float]:
    """The numbers that a rule writes, in its pattern or its terms, and what it computes of them alone, as `1 / 6`."""
    parts: list[object] = [each.syntax for each in rule.pattern.roots if isinstance(each, NodeSpec)]
    if rule.body is not None:
        parts += [rule.body.guard, *rule.body.lets, *rule.body.results]
    found = (_number(each) for part in parts for each in _walk(part))
    return sorted({each for each in found if each is not None and math.isfinite(each)})


def _number(term: object) -> float | None:
    """The number that a term stands for; None where it depends on a match."""
    match term:
        case Number():
            return float(term.value)
        case syntax.NegativeTerm():
            value = _number(term.value)
            return None if value is None else -value
        case syntax.BinaryTerm():
            left, right = _number(term.left), _number(term.right)
            if left is None or right is None or (term.operator == "/" and right == 0):
                return None
            sums = {"+": left + right, "-": left - right, "*": left * right}
            return left / right if term.operator == "/" else sums[term.operator]
        case _:
            return None


def computed_names(rule: Rule) -> frozenset[str]:
    """The names of whose numbers a rule computes something: constants wherever it applies."""
    assert rule.body is not None
    found: set[str] = set()
    terms: list[object] = [rule.body.guard, *(each.value for each in rule.body.lets)]
    for result in rule.body.results:
        for each in _walk(result):
            if isinstance(each, syntax.Construct):
                terms += [one for one in each.inputs if not isinstance(one, syntax.Construct | Word | syntax.Rest)]
    waiting = terms
    while waiting:
        term = waiting.pop()
        if isinstance(term, Word):
            found.add(term.name)
        elif (isinstance(term, syntax.CallTerm) and term.name in _FACTS) or _asks_for_no_constant(term):
            continue
        elif isinstance(term, Syntax):
            waiting.extend(_parts(term))
    return frozenset(found)


def _asks_for_no_constant(term: object) -> bool:
    """Whether a term is `not constant(x)`."""
    if not isinstance(term, syntax.LogicalTerm) or term.operator != "not":
        return False
    (operand,) = term.operands
    return isinstance(operand, syntax.CallTerm) and operand.name == "constant"


def _parts(node: Syntax) -> Iterator[object]:
    for value in vars(node).values():
        if isinstance(value, tuple):
            yield from value
        else:
            yield value


def _walk(part: object) -> Iterator[Syntax]:
    waiting = [part]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Syntax):
            yield each
            waiting.extend(_parts(each))
