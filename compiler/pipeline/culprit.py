"""Find the step, and the rule of a step, that changed the results of the model.

The steps of a sequence run again from its start, one by one, and are compared after each. In a step that applies rules,
each application is proved where it happens. When this finds no wrong rule, the rules are left out one at a time. The
result is an error that says whose mistake it is: the user's rule or pass, or vggc's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.execution.model_comparison import Difference, DoesNotRun, ModelComparison, compare, first_difference
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.graph.signature import ValueType, inputs_of
from vggc.pipeline.execute import shipped, shipped_rule
from vggc.pipeline.model import BoundStep
from vggc.report.record import StepRecord
from vggc.rewrite import Rule, rules_pass

_LEFT_OUT = 24
"""The most rules that are left out one at a time."""


class Rerun(Protocol):
    """Runs a step on a graph again. With `prove`, each application of a rule is proved."""

    def __call__(self, step: BoundStep, graph: Graph, *, prove: bool = False) -> StepRecord: ...


class Inputs(Protocol):
    """Inputs for a pair of models."""

    description: str

    def feeds(self, after: Sequence[ValueType], session: Session) -> Sequence[Feeds]:
        """Inputs with the shapes `after` of the second model; `session` runs the first model."""
        ...


def tolerance_of(step: BoundStep, record: StepRecord) -> float:
    """The largest error that the applied rules of a step may cause, all applications together."""
    tolerances = {rule.name: rule.tolerance or 0.0 for rule in step.pass_.rules}
    return sum(tally.applied * tolerances.get(name, 0.0) for name, tally in record.rules.items())


class Culprit:
    """The search in one sequence of steps, from the graph at its start."""

    def __init__(self, start: Callable[[], Graph], steps: Sequence[BoundStep], rerun: Rerun, inputs: Inputs) -> None:
        self._start = start
        self._steps = steps
        self._rerun = rerun
        self._inputs = inputs

    def find(self) -> CompileError | None:
        """The error for the guilty step; None when no step changes the results of the graph in memory."""
        graph = self._start().copy()
        tolerance = 0.0
        for step in self._steps:
            held = graph.copy()
            record = self._rerun(step, graph)
            tolerance += tolerance_of(step, record)
            if wrong := self._wrong(held, graph, tolerance):
                return self._rule(step, record, held, wrong) or self._step(step, held, graph, "this step", wrong)
        before = self._start()
        if self._steps and (wrong := self._wrong(before, graph, tolerance)):
            together = f"the {len(self._steps)} exact steps up to here together"
            return self._step(self._steps[-1], before, graph, together, wrong)
        return None

    def of_files(self, wrong: ModelComparison | DoesNotRun) -> CompileError:
        """The error when no step is guilty: vggc read or wrote the model wrongly."""
        if isinstance(wrong, DoesNotRun):
            message = "the written model does not run, but the model in memory does"
        else:
            message = "the written model does not compute what the model as read computes"
        help = "nothing was written; vggc read or wrote the model wrongly, and no step caused this: please report this"
        return CompileError(
            Diagnostic(message, facts=self._facts(wrong), help=f"{help} with the model", code=Code.RESULTS_CHANGED)
        )

    def _wrong(self, before: Graph, after: Graph, tolerance: float) -> ModelComparison | DoesNotRun | None:
        """The comparison of two graphs when it exceeds the tolerance; None when they agree."""
        session = Session(before)
        feeds = self._inputs.feeds(inputs_of(after), session)
        try:
            comparison = compare(before, after, feeds, session=session, tolerance=tolerance)
        except DoesNotRun as error:
            return error
        return None if comparison.ok else comparison

    # --- the rules of a step ------------------------------------------------------------------------------

    def _rule(
        self, step: BoundStep, record: StepRecord, before: Graph, wrong: ModelComparison | DoesNotRun
    ) -> CompileError | None:
        """The error for the guilty rule; None when the step has no rules, or no single rule is guilty."""
        applied = [rule for rule in step.pass_.rules if rule.name in record.rules and record.rules[rule.name].applied]
        if not applied:
            return None
        try:
            self._rerun(step, before.copy(), prove=True)
        except CompileError as error:
            return _with_facts(error, self._facts(wrong))
        for rule in applied[:_LEFT_OUT] if len(applied) > 1 else applied:
            others = [each for each in step.pass_.rules if each is not rule]
            if len(applied) == 1 or self._holds_with(step, others, before):
                return self._blame_rule(rule, step, wrong)
        return None

    def _holds_with(self, step: BoundStep, rules: Sequence[Rule], before: Graph) -> bool:
        without = replace(step, pass_=rules_pass(rules, step.name))
        graph = before.copy()
        record = self._rerun(without, graph)
        return self._wrong(before, graph, tolerance_of(without, record)) is None

    def _blame_rule(self, rule: Rule, step: BoundStep, wrong: ModelComparison | DoesNotRun) -> CompileError:
        broken = isinstance(wrong, DoesNotRun)
        message = f"rule `{rule.name}` " + (
            "makes a model that does not run" if broken else "changes the results of the model"
        )
        return CompileError(
            Diagnostic(
                message,
                rule.name_span or step.span,
                facts=self._facts(wrong),
                help=rule_advice(rule),
                code=Code.RESULTS_CHANGED,
            )
        )

    # --- a step as a whole --------------------------------------------------------------------------------

    def _step(
        self, step: BoundStep, before: Graph, after: Graph, subject: str, wrong: ModelComparison | DoesNotRun
    ) -> CompileError:
        facts = list(self._facts(wrong))
        if isinstance(wrong, DoesNotRun):
            message = f"{subject} made a model that does not run"
        else:
            message = f"{subject} changed the results of the model, but `{step.name}` is declared exact"
            session = Session(before)
            first = first_difference(before, after, self._inputs.feeds(inputs_of(after), session))
            if first is not None:
                text = f"`{first.name}`{_producer(after, first)}: {first}"
                facts.insert(1, ("first value that differs", text))
        return CompileError(
            Diagnostic(message, step.span, facts=tuple(facts), help=_step_advice(step), code=Code.RESULTS_CHANGED)
        )

    def _facts(self, wrong: ModelComparison | DoesNotRun) -> tuple[tuple[str, str], ...]:
        inputs = ("inputs", self._inputs.description)
        if isinstance(wrong, DoesNotRun):
            reason = wrong.diagnostics[0]
            return (("note", reason.message), *reason.facts, inputs)
        return (("output", f"`{wrong.worst.name}`: {wrong.worst}"), inputs)


def rule_advice(rule: Rule) -> str:
    """The help for a wrong rule, which depends on whether it is the user's or vggc's."""
    if shipped_rule(rule):
        return f"nothing was written; `{rule.name}` is a rule of vggc: please report this with the model"
    return (
        "nothing was written; correct the rule, restrict it with `where`, or state the error that it may cause: "
        f"`rule {rule.name} tolerance=1e-3`"
    )


def _step_advice(step: BoundStep) -> str:
    if shipped(step.pass_):
        return f"nothing was written; `{step.name}` is a pass of vggc: please report this with the model"
    if step.pass_.rules and all(rule.body is not None for rule in step.pass_.rules):
        return "nothing was written; correct these rules, or apply them one by one to find the wrong one"
    return "nothing was written; declare a pass that may change results with @whole_graph(exact=False)"


def _with_facts(error: CompileError, facts: Iterable[tuple[str, str]]) -> CompileError:
    first, *others = error.diagnostics
    return CompileError(replace(first, facts=(*first.facts, *facts)), *others)


def _producer(graph: Graph, difference: Difference) -> str:
    for node in graph.nodes:
        if any(value.name == difference.name for value in node.outputs):
            return f" of {graph.label(node)}"
    return ""
