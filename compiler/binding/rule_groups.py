"""Rules that follow each other: those of a `repeat` are applied together, and no rule may hide another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from vggc.diagnostics import Diagnostic
from vggc.pattern.overlap import check_together
from vggc.pattern.rule import Rule
from vggc.pipeline.model import Bound, BoundRepeat, BoundStep, BoundWhen
from vggc.rewrite import rules_pass

_NAMED = 3
"""How many rules of a group its name lists."""


def grouped(body: Sequence[Bound]) -> tuple[Bound, ...]:
    """The steps of a `repeat`, with rules that follow each other made one step.

    The result is the same, since rules run until nothing matches, whether in turn or together.
    """
    steps: list[Bound] = []
    for is_rule, run in groupby(body, _is_rule):
        neighbours = list(run)
        steps += [_together(neighbours)] if is_rule and len(neighbours) > 1 else neighbours
    return tuple(steps)


def _is_rule(step: Bound) -> bool:
    return isinstance(step, BoundStep) and any(each.body is not None for each in step.pass_.rules)


def _together(steps: Sequence[Bound]) -> BoundStep:
    own = [each for each in steps if isinstance(each, BoundStep)]
    rules = list(dict.fromkeys(rule for each in own for rule in each.pass_.rules))
    names = [each.name for each in rules]
    more = len(names) - _NAMED
    listed = ", ".join(names) if more <= 1 else f"{', '.join(names[:_NAMED])} and {more} more rules"
    first, last = own[0], own[-1]
    span = first.span.to(last.span) if first.span.source is last.span.source and not first.via else first.span
    return BoundStep(rules_pass(rules, listed), {}, span, first.via)


def check_rules_together(body: Iterable[Bound]) -> list[Diagnostic]:
    """Errors for rules that never apply, and warnings for rules of one group that overlap; each message once."""
    distinct = {(each.message, each.span): each for each in _check(tuple(body))}
    return list(distinct.values())


def _check(body: tuple[Bound, ...]) -> Iterator[Diagnostic]:
    for is_rule, run in groupby(body, _is_rule):
        steps = list(run)
        if is_rule:
            yield from _check_row([each for each in steps if isinstance(each, BoundStep)])
            continue
        for step in steps:
            if isinstance(step, BoundRepeat):
                yield from _check(step.body)
            elif isinstance(step, BoundWhen):
                yield from _check(step.body)
                yield from _check(step.otherwise)


def _check_row(steps: Sequence[BoundStep]) -> Iterator[Diagnostic]:
    """Check rules that follow each other.

    A rule that has run leaves nothing that it matches; the order of overlapping rules matters only within a group.
    """
    before: list[Rule] = []
    for step in steps:
        yield from check_together(step.pass_.rules)
        rules = [*before, *(each for each in step.pass_.rules if each not in before)]
        yield from (each for each in check_together(rules) if each.severity == "error")
        before = rules
