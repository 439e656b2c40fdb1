"""Rules beside each other: those of a `repeat` are applied together, and none may forestall another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from vggc.diagnostics import Diagnostic
from vggc.pattern.overlap import check_together
from vggc.pattern.rule import Rule
from vggc.pipeline.model import Bound, BoundRepeat, BoundStep, BoundWhen
from vggc.rewrite import rules_pass

_NAMED = 3
"""Rules of a group that its name lists."""


def grouped(body: Sequence[Bound]) -> tuple[Bound, ...]:
    """The steps of a `repeat`, rules in a row made one step: each runs until nothing matches, in turn or together."""
    steps: list[Bound] = []
    for is_rule, run in groupby(body, _is_rule):
        found = list(run)
        steps += [_together(found)] if is_rule and len(found) > 1 else found
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
    """Errors for rules that never get their turn, and warnings for rules of one group that overlap; each once."""
    found = {(each.message, each.span): each for each in _check(tuple(body))}
    return list(found.values())


def _check(body: tuple[Bound, ...]) -> Iterator[Diagnostic]:
    for is_rule, run in groupby(body, _is_rule):
        steps = list(run)
        if is_rule:
            yield from _check_row([each for each in steps if isinstance(each, BoundStep)])
            continue
        for each in steps:
            if isinstance(each, BoundRepeat):
                yield from _check(each.body)
            elif isinstance(each, BoundWhen):
                yield from _check(each.body)
                yield from _check(each.otherwise)


def _check_row(steps: Sequence[BoundStep]) -> Iterator[Diagnostic]:
    """Of rules in a row, the first leaves nothing that it matches; only within a group is their order a matter."""
    before: list[Rule] = []
    for step in steps:
        yield from check_together(step.pass_.rules)
        rules = [*before, *(each for each in step.pass_.rules if each not in before)]
        yield from (each for each in check_together(rules) if each.severity == "error")
        before = rules
