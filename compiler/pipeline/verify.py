"""Check exact steps: run the models before and after them on the same inputs, and compare the results.

Consecutive exact steps form a sequence. By default, a sequence is compared once, at its end. Only when this fails, its
steps run again one by one to find the guilty step. Lossy steps end a sequence. The recipe judges their effect with
`require`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from vggc.diagnostics import CompileError, Diagnostic, at
from vggc.execution.model_comparison import Difference, DoesNotRun, ModelComparison, compare, first_difference
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.pipeline.execute import shipped
from vggc.pipeline.model import BoundStep
from vggc.report.record import Verification

VerifyMode = Literal["each", "end", "off"]


class Inputs(Protocol):
    """Inputs for a pair of models."""

    description: str

    def feeds(self, before: Graph, after: Graph, session: Session) -> Sequence[Feeds]:
        """Inputs that both graphs accept; `session` runs `before`."""
        ...


class Verifier:
    """Keeps the model at the start of the current sequence of exact steps, and compares at its end."""

    def __init__(
        self,
        mode: VerifyMode,
        inputs: Inputs,
        start: Callable[[], Graph],
        rerun: Callable[[BoundStep, Graph], None],
    ) -> None:
        self._mode = mode
        self._inputs = inputs
        self._start = start
        self._rerun = rerun
        self._steps: list[BoundStep] = []
        self.records: list[Verification] = []
        self.warnings: list[str] = []

    def stepped(self, step: BoundStep, graph: Graph) -> None:
        """Record that an exact step has changed `graph`."""
        if self._mode == "off":
            return
        self._steps.append(step)
        if self._mode == "each":
            self.finish(graph)
            self.restart(graph)

    def restart(self, graph: Graph) -> None:
        """Begin a new sequence of exact steps with `graph` as it is now."""
        self._steps = []
        if self._mode != "off":
            copy = graph.copy()
            self._start = lambda: copy

    def finish(self, graph: Graph) -> None:
        """End the sequence. Raises CompileError at the step that changed the results of the model, or broke it."""
        if not self._steps or self._mode == "off":
            return
        before = self._start()
        try:
            with at(self._steps[-1].span, "while comparing the model before and after"):
                comparison = self._compare(before, graph)
        except DoesNotRun:
            raise self._guilty(before, graph) from None
        self.warnings += comparison.warnings
        names = tuple(dict.fromkeys(step.name for step in self._steps))
        self.records.append(Verification(names, self._inputs.description, comparison.error, comparison.tolerance))
        if not comparison.ok:
            raise self._guilty(before, graph)
        self._steps = []

    def _compare(self, before: Graph, after: Graph) -> ModelComparison:
        session = Session(before)
        return compare(before, after, self._inputs.feeds(before, after, session), session=session)

    def _guilty(self, before: Graph, after: Graph) -> CompileError:
        steps = self._steps
        if len(steps) == 1:
            return self._failure(steps[0], before, after, "this step")
        graph = before.copy()
        for step in steps:
            previous = graph.copy()
            self._rerun(step, graph)
            if not self._holds(previous, graph):
                return self._failure(step, previous, graph, "this step")
        return self._failure(steps[-1], before, after, f"the {len(steps)} exact steps up to here together")

    def _holds(self, before: Graph, after: Graph) -> bool:
        try:
            return self._compare(before, after).ok
        except DoesNotRun:
            return False

    def _failure(self, step: BoundStep, before: Graph, after: Graph, subject: str) -> CompileError:
        session = Session(before)
        feeds = self._inputs.feeds(before, after, session)
        inputs = ("inputs", self._inputs.description)
        try:
            comparison = compare(before, after, feeds, session=session)
        except DoesNotRun as error:
            reason = error.diagnostics[0]
            facts = [("note", reason.message), *reason.facts, inputs]
            return _blamed(f"{subject} made a model that does not run", step, facts)
        first = first_difference(before, after, feeds)
        facts = [("output", f"`{comparison.worst.name}`: {comparison.worst}")]
        if first is not None:
            facts.append(("first value that differs", f"`{first.name}`{_producer(after, first)}: {first}"))
        return _blamed(
            f"{subject} changed the results of the model, but `{step.name}` is declared exact", step, [*facts, inputs]
        )


def _blamed(message: str, step: BoundStep, facts: Sequence[tuple[str, str]]) -> CompileError:
    if shipped(step.pass_):
        advice = f"nothing was written; `{step.name}` is a pass of vggc: please report this with the model"
    else:
        advice = "nothing was written; declare a pass that may change results with @whole_graph(exact=False)"
    return CompileError(Diagnostic(message, step.span, facts=tuple(facts), help=advice))


def _producer(graph: Graph, difference: Difference) -> str:
    for node in graph.nodes:
        if any(value.name == difference.name for value in node.outputs):
            return f" of {graph.label(node)}"
    return ""
