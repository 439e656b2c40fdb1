"""Walking through a bound recipe: steps, branches, repetitions and gates, each with its record for the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vggc.analysis.costs import costs
from vggc.diagnostics import CompileError, Diagnostic, at
from vggc.graph import Graph
from vggc.pipeline.execute import execute
from vggc.pipeline.finite import check_finite
from vggc.pipeline.gates import failure, judge, warning
from vggc.pipeline.model import Bound, BoundGate, BoundRepeat, BoundStep, BoundWhen, Pipeline
from vggc.pipeline.paired_inputs import PairedInputs
from vggc.pipeline.rollback import Rollback
from vggc.pipeline.sample_use import SampleUse
from vggc.pipeline.state import CompileState
from vggc.pipeline.verify import Verifier, VerifyMode
from vggc.report.record import Report, StepRecord
from vggc.rewrite import Context

REPEAT_LIMIT = 50
"""Rounds after which a `repeat` that still changes the graph is an error."""

Progress = Callable[[str], None]
Stepped = Callable[[StepRecord, Graph], None]
"""Called after every step with its record and the graph."""


class Runner:
    """Runs a recipe's body on a graph.

    Without `gates`, requirements are passed by: a plan asks what steps would do, not whether that is good enough.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        graph: Graph,
        model: Path,
        *,
        verify: VerifyMode,
        report: Report,
        progress: Progress,
        stepped: Stepped = lambda record, graph: None,
        gates: bool = True,
    ) -> None:
        self._pipeline = pipeline
        self._report = report
        self._progress = progress
        self._stepped = stepped
        self._verify = verify
        self._gates = gates
        self._state = CompileState(graph, model)
        self.costs = costs(graph)
        """of the graph as it is now"""
        self._seen = 0
        self._total = sum(1 for _ in pipeline.steps())
        self.samples = SampleUse(pipeline)
        needed = any(gate.otherwise == "rollback" for gate in pipeline.gates())
        self._rollback = Rollback(self._state.as_read, needed=needed)
        inputs = PairedInputs(list(pipeline.data.values()))
        self.verifier = Verifier(verify, inputs, graph=graph, file=model, start=self._state.as_read, rerun=self._again)
        report.verification = self.verifier.records

    def run(self) -> Graph:
        """Run the whole body. Raises CompileError, RequirementNotMet among them, placed in the recipe.

        The last steps have not been compared then: that is done with the file that is written of the graph.
        """
        self._body(self._pipeline.body)
        return self._state.graph

    @property
    def sets_inputs(self) -> bool:
        """Whether a step may change the shapes of the model's inputs."""
        return any(bool(step.pass_.sets_inputs) for step in self._pipeline.steps())

    def _body(self, body: Sequence[Bound]) -> None:
        for each in body:
            if isinstance(each, BoundStep):
                self._step(each)
            elif isinstance(each, BoundRepeat):
                self._repeat(each)
            elif isinstance(each, BoundWhen):
                self._when(each)
            else:
                self._gate(each)

    def _step(self, step: BoundStep) -> None:
        self._seen += 1
        self._progress(step.name)
        options = self._options(step)
        graph, before, context = self._state.graph, self.costs, self._context(step)
        if not step.pass_.exact:
            self.verifier.finish(graph)
        record, self.costs = execute(step, graph, context, options, before=before, doing=self._doing())
        if record.total and not step.pass_.exact:
            self._check_finite(step, graph)
        self._report.steps.append(record)
        self._report.warnings += [f"{step.label}: {each}" for each in context.log.warnings]
        self._stepped(record, graph)
        if record.total:
            self._state.changed(graph)
            if step.pass_.exact:
                self.verifier.stepped(step, record, graph)
            else:
                self.verifier.restart(graph)

    def _check_finite(self, step: BoundStep, graph: Graph) -> None:
        data = next(iter(self._pipeline.data.values()), None)
        if data is not None and self._verify != "off":
            check_finite(step, graph, self._state.as_read, data, self._doing())

    def _context(self, step: BoundStep) -> Context:
        return Context(
            targets=self._pipeline.destinations,
            original=self._state.as_read,
            progress=lambda text: self._progress(f"{step.name}: {text}"),
            prove=self._verify == "each",
        )

    def _doing(self) -> str:
        return f"while running step {self._seen} of {max(self._total, self._seen)}"

    def _options(self, step: BoundStep) -> dict[str, Any]:
        return self.samples.of_step(step, self._state.loaded(step.options), self.costs.macs)

    def _again(self, step: BoundStep, graph: Graph, *, prove: bool = False) -> StepRecord:
        context = replace(self._context(step), prove=prove)
        return execute(step, graph, context, self._options(step), before=self.costs, doing=self._doing())[0]

    def _repeat(self, repeat: BoundRepeat) -> None:
        for _ in range(REPEAT_LIMIT):
            start = len(self._report.steps)
            self._body(repeat.body)
            changed = [record for record in self._report.steps[start:] if record.total and not record.undone]
            if not changed:
                return
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(record.name for record in changed))
        raise CompileError(
            Diagnostic(
                f"`repeat` did not settle: after {REPEAT_LIMIT} rounds the graph still changes",
                repeat.span,
                facts=(("note", f"still changing it: {names}"),),
                help="two steps undo each other's work, or one finds something to do every time",
            )
        )

    def _when(self, when: BoundWhen) -> None:
        with at(when.span):
            chosen = when.condition.evaluate(self._state)
        self._body(when.body if chosen else when.otherwise)

    def _gate(self, gate: BoundGate) -> None:
        if not self._gates:
            return
        self._progress(f"require {gate.text}")
        steps = self._report.steps
        requirement = judge(gate, self._state, len(steps))
        self._report.requirements.append(requirement)
        if requirement.outcome == "held":
            self._rollback.keep(self._state.graph, steps)
        elif gate.otherwise == "rollback":
            graph = self._rollback.restore(steps)
            self._state.changed(graph)
            self.costs = costs(graph)
            self.verifier.restart(graph)
        elif gate.otherwise == "warn":
            self._report.warnings.append(warning(requirement))
        else:
            raise failure(gate, requirement)
