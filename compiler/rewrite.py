"""Rewriting graphs: what a pass is, and what a rule is.

A pass is a function under one of two decorators. Its signature is its schema in recipes.

    @whole_graph
    def my_pass(graph: Graph, context: Context, option: int = 3) -> None: ...

    @rewrites("BatchNormalization(conv: Conv(x, w, b?), scale, shift, mean, var, epsilon=eps, training_mode=0)")
    def fold_batch_norm(match: Match) -> gs.Node: ...

The first parameter is what the pass works on. A parameter of type Context, which a pass may leave out, is what it has
beside that, and no option: `context.record("what")` counts a change for the report, `context.decline(node, "why")` says
why a place was left, `context.targets` are what the model will be lowered to; see vggc.pattern.context. Called from
Python, `my_pass(graph, option=4)` makes a context of its own, and returns its log.

`@rewrites(pattern)` calls the function wherever the pattern matches, until it matches nowhere. The pattern is that of a
recipe's `rule` (docs/rules.md). The function gets a Match, whose attributes are the captures, and returns what takes
the place of the matched nodes: a node (`match.add(...)`), a value, or an array that becomes a constant; a tuple of
these for a pattern with several roots. It raises Declined("reason") to leave the place as it is. An inner node matches
only if nothing else reads it; the matched nodes go, but for those whose values are used again; the value of a root
keeps its name, its readers, and its place among the model's outputs.

    rules_pass(rules)            a Pass of rules, applied together until none matches
    bind_rule(block, messages)   a Rule of a recipe's `rule` block (in vggc.pattern.rule_binding)
    run_rules(graph, rules)      the engine itself: Outcome(applied, refused, ...)
    dry_run(graph, rules)        the same on a copy: what would match, and what declines and why
    check_rules(rules, graph)    are their operators those of the model's opset?
    @predicate                   makes a Python function callable in the guards of rules

`Context(prove=True)` has each application of an exact rule checked where it happens, on random inputs.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

from vggc.diagnostics import Declined, Diagnostic
from vggc.graph import Graph
from vggc.graph.signature import ValueType
from vggc.options.schema import OptionFunction, Schema, schema, type_hints
from vggc.pattern.beforehand import Beforehand, Check
from vggc.pattern.context import ChangeLog, Context, Destination, NodePrecision
from vggc.pattern.engine import Outcome, Refusal, run_rules
from vggc.pattern.match import Match
from vggc.pattern.operator_checks import check_operators
from vggc.pattern.operators import OperatorSets
from vggc.pattern.predicates import Predicate, predicate
from vggc.pattern.rule import Rule
from vggc.pattern.rule_binding import bind_pattern

__all__ = [
    "Beforehand",
    "ChangeLog",
    "Check",
    "Context",
    "Declined",
    "Destination",
    "Match",
    "NodePrecision",
    "Outcome",
    "Pass",
    "Predicate",
    "Refusal",
    "Rule",
    "check_rules",
    "dry_run",
    "predicate",
    "rewrites",
    "rules_pass",
    "run_rules",
    "whole_graph",
]

Transform = Callable[..., None]

InputsAfter = Callable[[Sequence[ValueType], Mapping[str, Any]], tuple[ValueType, ...]]
"""The inputs of a model after a step, of the inputs before it and the step's options. Raises CompileError."""


@dataclass(frozen=True)
class Pass(OptionFunction):
    """A named transformation of the graph.

    `exact` passes keep what the graph computes, up to rounding and the tolerances of their rules, and are checked
    numerically; the others are `lossy`.
    One that `sets_inputs` changes the shapes of the model's inputs, which a target's options must fit, and may say to
    what it sets them before it runs; one that `learns` fits weights to its samples, so that some are held back to judge
    the result by; one that is not `repeatable` may do something else in each run, or has effects outside the graph: its
    result is never cached.
    Calling a Pass calls its function, or applies its `rules`: `fold_batch_norm(graph)` works in Python as the step does
    in a recipe, and returns the log of what it did. `context` is what the runner hands over.
    `check` returns what is wrong with the options of a step, as far as it can be known before anything runs.
    """

    exact: bool
    sets_inputs: bool | InputsAfter = False
    learns: bool = False
    repeatable: bool = True
    rules: tuple[Rule, ...] = ()
    check: Check | None = None

    @property
    def summary(self) -> str:
        """What the function's docstring says before its options."""
        return self.doc.partition("Options:")[0].strip()

    @property
    def details(self) -> str:
        """What the docstring of the pass's own file says: the algebra and the cases."""
        return inspect.getdoc(inspect.getmodule(self.function)) or ""

    @property
    def schema(self) -> Schema:
        """Its options. Raises CompileError when the signature cannot be a schema."""
        return schema(self.function, filled={"context": Context})

    def __call__(self, graph: Graph, *arguments: Any, context: Context | None = None, **options: Any) -> ChangeLog:
        context = context or Context()
        given = self._named(context, arguments, options)
        if any(each.function is not None for each in self.rules):
            run_rules(graph, [replace(each, options=given) for each in self.rules], context=context)
        else:
            self.function(graph, **given)
        return context.log

    def _named(self, context: Context, arguments: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """What the function gets beside its first parameter, by name."""
        _, *parameters = inspect.signature(self.function).parameters.values()
        hints = type_hints(self.function)
        filled = {each.name: context for each in parameters if hints.get(each.name) is Context}
        bound = inspect.Signature([each for each in parameters if each.name not in filled]).bind(*arguments, **options)
        return {**filled, **bound.arguments}


@overload
def whole_graph(function: Transform, /) -> Pass: ...
@overload
def whole_graph(
    *,
    exact: bool = True,
    sets_inputs: bool | InputsAfter = False,
    learns: bool = False,
    repeatable: bool = True,
    check: Check | None = None,
) -> Callable[[Transform], Pass]: ...
def whole_graph(
    function: Transform | None = None,
    /,
    *,
    exact: bool = True,
    sets_inputs: bool | InputsAfter = False,
    learns: bool = False,
    repeatable: bool = True,
    check: Check | None = None,
) -> Pass | Callable[[Transform], Pass]:
    """Make a pass of a function `(graph, context, option=default, ...) -> None` that looks at the graph as a whole.

    The function's name is the step's name; its annotations type the options; `@whole_graph(exact=False)` says that
    the pass changes results, `@whole_graph(sets_inputs=True)` that it changes the inputs' shapes,
    `@whole_graph(exact=False, learns=True)` that it fits weights to its samples, `@whole_graph(repeatable=False)` that
    its result must not be cached. `check` gets the options of a step and what is known before anything runs
    (Beforehand), and returns diagnostics. The function raises Declined to leave the graph alone.
    """
    if function is None:
        return lambda each: Pass(each.__name__, each, exact, sets_inputs, learns, repeatable, check=check)
    return Pass(function.__name__, function, exact, sets_inputs, learns, repeatable, check=check)


def rewrites(*patterns: str, exact: bool = True, repeatable: bool = True) -> Callable[[Callable[..., Any]], Pass]:
    """Make a pass of a function `(match, option=default, ...)`, called wherever one of the patterns matches.

    Several patterns are tried in order. Raises CompileError when a pattern is wrong.
    """

    def make(function: Callable[..., Any]) -> Pass:
        name = function.__name__
        rules = tuple(
            Rule(name, pattern, span, tolerance=None if exact else math.inf, function=function)
            for pattern, span in (bind_pattern(text, name) for text in patterns)
        )
        return Pass(name, function, exact, repeatable=repeatable, rules=rules)

    return make


def rules_pass(rules: Sequence[Rule], name: str = "", doc: str = "") -> Pass:
    """A pass of rules that are applied together. It is checked unless one of them may move results without a limit."""
    name = name or ", ".join(each.name for each in rules)

    def apply(graph: Graph, context: Context) -> None:
        run_rules(graph, rules, context=context)

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = doc
    return Pass(name, apply, all(each.tolerance != math.inf for each in rules), rules=tuple(rules))


def dry_run(graph: Graph, rules: Sequence[Rule]) -> Outcome:
    """What `rules` would do to a graph, and where and why they would decline: found on a copy.

    Also tells where only the condition of a rule does not hold.
    """
    copy = graph.copy()
    copy.infer_shapes()
    return run_rules(copy, rules, tell_guards=True)


def check_rules(rules: Iterable[Rule], graph: Graph | None = None) -> list[Diagnostic]:
    """What is wrong with the operators of rules for the opset of a model; without one, for the newest they are for."""
    sets = None if graph is None else OperatorSets.of(graph)
    return [message for each in rules for message in check_operators(each, sets)]
