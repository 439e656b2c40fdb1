"""The space of a search: the parameters of a recipe that have limits or a list, and the values that trials give them.

A range is searched in steps of a round number, at most STEPS of them: `20%..90%` in steps of 2 %. Trials that share the
values of their first steps share these steps in the cache, which they would not do with a new number in every trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.diagnostics.source import Span
from vggc.options import spell
from vggc.pipeline.model import Pipeline
from vggc.values import Bytes, Interval, Ratio, Seconds

STEPS = 50


@dataclass(frozen=True)
class Domain:
    """The values of a parameter as recipes write them. `ordered` says that they are numbers, which rise then."""

    values: tuple[str, ...]
    ordered: bool
    default: str


Space = Mapping[str, Domain]


def space_of(pipeline: Pipeline) -> Space:
    """The space of a recipe. Raises CompileError when it has neither a parameter to search nor an objective."""
    place = Span(pipeline.source, 0, 0)
    if not pipeline.objectives:
        help = "write what to search for, such as `minimize latency(batch=8)` or `maximize agreement(test)`"
        raise CompileError(
            Diagnostic("the recipe says nothing to minimize or maximize", place, help=help, code=Code.SEARCH)
        )
    if not pipeline.space:
        given = [name for name in pipeline.params if name]
        help = "give a parameter limits or a list: `param keep = 50% in 20%..90%`"
        facts = (("parameters", ", ".join(f"`{each}`" for each in given)),) if given else ()
        raise fail("the recipe has no parameter to search", place, facts=facts, help=help, code=Code.SEARCH)
    return {name: _domain(limits, pipeline.params[name]) for name, limits in pipeline.space.items()}


def _domain(limits: Interval | tuple[Any, ...], default: Any) -> Domain:
    if isinstance(limits, Interval):
        low, high = limits.low, limits.high
        numbers = sorted({*_steps(low, high), default})
        return Domain(tuple(spell(type(low)(each)) for each in numbers), True, spell(default))
    ordered = all(isinstance(each, int | float) and not isinstance(each, bool) for each in limits)
    values = sorted(limits) if ordered else limits
    # A parameter that is a word is a plain text in `params`.
    texts = tuple(spell(each) for each in values)
    chosen = spell(default)
    return Domain(texts, ordered, chosen if chosen in texts else str(default))


def _steps(low: float, high: float) -> list[float]:
    """The values from `low` to `high`, in steps of 1, 2 or 5 times a power of ten."""
    unit = 1024 if isinstance(low, Bytes) else 1
    span = (float(high) - float(low)) / unit
    if span == 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / STEPS))
    step = next(power * each for each in (1, 2, 5, 10) if span / (power * each) <= STEPS * (1 + 1e-9))
    if type(low) is int:
        step = max(1.0, step)
    size, first, last = (Decimal(repr(each)) for each in (step * unit, float(low), float(high)))
    count = int((last - first) / size)
    found = [first + size * number for number in range(count + 1)]
    kind: Any = type(low) if isinstance(low, Ratio | Seconds | Bytes | int) else float
    return [kind(each) for each in dict.fromkeys([*found, last])]
