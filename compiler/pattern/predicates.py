"""Python functions that rules call in their conditions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vggc.diagnostics import Declined
from vggc.pattern.functions import Function
from vggc.pattern.numbers import Numbers
from vggc.pattern.values import Content, Matched, Value, Values, describe, known

if TYPE_CHECKING:
    from vggc.pattern.evaluate import Evaluator


@dataclass(frozen=True)
class Predicate:
    """A Python function that says yes or no about compile-time values."""

    name: str
    function: Callable[..., bool]

    def as_function(self) -> Function:
        """The predicate as rules call it."""
        # Its own annotations say what it does with its arguments; it gets all of them as they are.
        own = inspect.signature(self.function).parameters.values()
        return Function(self.name, tuple(each.replace(annotation="Anything") for each in own), self._call, "")

    def _call(self, rule: Evaluator, *given: Content, **named: Content) -> Content:
        arguments = [_plain(rule, each) for each in given]
        result = self.function(*arguments, **{name: _plain(rule, each) for name, each in named.items()})
        if not isinstance(result, bool | np.bool_):
            raise Declined(f"it returned {type(result).__name__} instead of True or False")
        return bool(result)


def predicate(function: Callable[..., bool]) -> Predicate:
    """Make a function callable in the conditions of rules: `where is_power_of_two(k)`.

    It gets constants as numpy arrays (read-only), attributes and shapes as numbers, texts and tuples, and returns a
    truth value. It raises Declined("reason") where it cannot tell.
    """
    return Predicate(function.__name__, function)


def _plain(rule: Evaluator, value: Content) -> Any:
    value = known(value)
    match value:
        case bool() | int() | float() | str():
            return value
        case tuple():
            return tuple(_plain(rule, each) for each in value)
        case Numbers():
            return value.leaf if value.leaf is not None else value.exact()
        case Value() | Matched():
            found = rule.numbers(value)
            return found.leaf
        case Values():
            return tuple(rule.numbers(Value(each, value.name)).leaf for each in value.tensors)
    raise Declined(f"a predicate cannot take {describe(value)}")
