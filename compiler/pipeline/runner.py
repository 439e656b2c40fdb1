"""Walking through a bound recipe: steps, branches, repetitions and gates, each with its record for the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vggc.analysis.costs import Costs
from vggc.diagnostics import Code, CompileError, Diagnostic, at
from vggc.diagnostics.progress import Progress
from vggc.graph import Graph
from vggc.pipeline.dependencies import Dependencies
from vggc.pipeline.execute import execute
from vggc.pipeline.finite import check_finite
from vggc.pipeline.gates import failure, judge, measure_objective, warning
from vggc.pipeline.model import Bound, BoundGate, BoundRepeat, BoundStep, BoundWhen, Pipeline
from vggc.pipeline.paired_inputs import PairedInputs
from vggc.pipeline.rollback import Rollback
from vggc.pipeline.sample_use import SampleUse
from vggc.pipeline.state import CompileState
from vggc.pipeline.step_cache import StepCache
from vggc.pipeline.verify import Verifier, VerifyMode
from vggc.pipeline.watched_context import WatchedContext
from vggc.report.record import ModelCost, Report, StepRecord

REPEAT_LIMIT = 50
"""Rounds after which a `repeat` that still changes the graph is an error."""

Stepped = Callable[[StepRecord, Callable[[], Graph]], None]
"""Called after every step with its record and a function that returns the graph."""


class Runner:
    """Runs a recipe's body on a graph.

    Steps that `cache` knows from earlier compiles do not run. Without `gates`, requirements are passed by: a plan asks
    what steps would do, not whether that is good enough.
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
        cache: StepCache,
        stepped: Stepped = lambda record, graph: None,
        gates: bool = True,
    ) -> None:
        self._pipeline = pipeline
        self._report = report
        self._progress = progress
        self._stepped = stepped
        self._verify = verify
        self._gates = gates
        self._cache = cache
        self.dependencies = Dependencies(pipeline, wanted=cache.root is not None)
        self.state = CompileState(graph, model, cache, self.dependencies, progress.inside)
        self._seen = 0
        self._total = sum(1 for _ in pipeline.steps())
        self.samples = SampleUse(pipeline)
        needed = any(gate.otherwise == "rollback" for gate in pipeline.gates())
        self._rollback = Rollback(self.state, needed=needed)
        inputs = PairedInputs(list(pipeline.data.values()))
        self.verifier = Verifier(
            verify,
            inputs,
            graph=graph,
            file=model,
            start=self.state.original_moment(),
            rerun=self._again,
            cache=cache,
            dependencies=self.dependencies,
        )
        report.verification = self.verifier.records

    def run(self) -> Graph:
        """Run the whole body. Raises CompileError, RequirementNotMet among them, placed in the recipe.

        The last steps have not been compared then: that is done with the file that is written of the graph.
        """
        self._body(self._pipeline.body)
        return self.state.graph

    def measure_objectives(self) -> None:
        """Measure what the recipe minimizes and maximizes, on the graph as it is now. Raises CompileError."""
        for each in self._pipeline.objectives:
            self._progress.begin(f"{each.direction} {each.text}")
            self._report.objectives.append(measure_objective(each, self.state))

    @property
    def costs(self) -> Costs:
        """The costs of the graph as it is now."""
        return self.state.costs

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
        self._progress.begin(step.name, self._seen, max(self._total, self._seen))
        context, size, doing = self._context(step), self.state.size, self._doing()
        parts = self.dependencies.of_step(step, holds_back=self.samples.holds_back(step))
        found = self._cache.find_step(self.state.key, parts, context)
        options = {} if found else self._options(step, size, self.state.graph)
        if not step.pass_.exact:
            self.verifier.finish(self.state.now())

        def again(graph: Graph) -> Graph:
            """Run the step on the graph before it, because the graph after it is not in the cache."""
            given = self._options(step, size, graph)
            once_more, _ = execute(step, graph, self._context(step), given, before=size, doing=doing)
            record.cached, record.seconds = False, once_more.seconds
            return graph

        if found:
            record = replace(found.record, line=step.label)
            warnings = found.warnings
            self.samples.has_run(step, size.macs)
            self.state.found(found.key, record, again)
        else:
            record, counted = execute(step, self.state.graph, context, options, before=size, doing=doing)
            warnings = [*context.log.warnings, *context.log.cache_warnings]
            self.state.ran(self._cache.keep_step(self.state.key, parts, context, record), record, again, counted)
        if record.total and not step.pass_.exact:
            self._check_finite(step, doing)
        self._report.steps.append(record)
        self._report.warnings += [f"{step.label}: {each}" for each in warnings]
        self._stepped(record, lambda: self.state.graph)
        if record.total and step.pass_.exact:
            self.verifier.stepped(step, record, self.state)
        elif record.total:
            self.verifier.restart(self.state)

    def _check_finite(self, step: BoundStep, doing: str) -> None:
        data = next(iter(self._pipeline.data.values()), None)
        if data is None or self._verify == "off":
            return
        parts = ("finite", self.state.key, self.dependencies.of_first_data())
        if not self._cache.find_check(*parts):
            check_finite(step, self.state.graph, self.state.as_read, data, doing)
            self._cache.keep_check(True, *parts)

    def _context(self, step: BoundStep) -> WatchedContext:
        return WatchedContext(
            targets=self._pipeline.destinations,
            original=self.state.as_read,
            progress=self._progress.inside,
            prove=self._verify == "each",
            student=_student_graph,
        )

    def _doing(self) -> str:
        return f"while running step {self._seen} of {max(self._total, self._seen)}"

    def _options(self, step: BoundStep, size: ModelCost, graph: Graph) -> dict[str, Any]:
        return self.samples.of_step(step, self.state.loaded(step.options, graph), size.macs)

    def _again(self, step: BoundStep, graph: Graph, *, prove: bool = False) -> StepRecord:
        context = replace(self._context(step), prove=prove)
        size = self.state.size
        return execute(step, graph, context, self._options(step, size, graph), before=size, doing=self._doing())[0]

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
                code=Code.REPEAT,
            )
        )

    def _when(self, when: BoundWhen) -> None:
        with at(when.span):
            chosen = when.condition.evaluate(self.state)
        self._body(when.body if chosen else when.otherwise)

    def _gate(self, gate: BoundGate) -> None:
        if not self._gates:
            return
        self._progress.begin(f"require {gate.text}")
        steps = self._report.steps
        requirement = judge(gate, self.state, len(steps))
        self._report.requirements.append(requirement)
        if requirement.outcome == "held":
            self._rollback.keep(steps)
        elif gate.otherwise == "rollback":
            self._rollback.restore(steps)
            self.verifier.restart(self.state)
        elif gate.otherwise == "warn":
            self._report.warnings.append(warning(requirement))
        else:
            raise failure(gate, requirement)


def _student_graph(factory: str, teacher: Graph, seed: int) -> Graph:
    # Here, because few recipes need it.
    from vggc.pytorch.student import student_graph

    return student_graph(factory, teacher, seed)
