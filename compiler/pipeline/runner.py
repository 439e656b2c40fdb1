"""Walking through a bound recipe: steps, branches, repetitions and gates, each with its record for the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vggc.diagnostics import CompileError, Diagnostic, RequirementNotMet, at
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
from vggc.measures import Subject, format_value
from vggc.pipeline.execute import cost_of, execute
from vggc.pipeline.feeds import PairedInputs
from vggc.pipeline.model import Bound, BoundData, BoundGate, BoundRepeat, BoundStep, BoundWhen, Pipeline
from vggc.pipeline.verify import Verifier, VerifyMode
from vggc.report.record import Report, Requirement, StepRecord
from vggc.rewrite import Context

REPEAT_LIMIT = 50
"""Rounds after which a `repeat` that still changes the graph is an error."""

Progress = Callable[[str], None]
Stepped = Callable[[StepRecord, Graph], None]
"""Told of every step that has run, with the graph it left."""


class Runner:
    """Runs a recipe's body on a graph. Conditions ask it what the graph is like (vggc.pipeline.conditions.State).

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
        self.graph = graph
        self._pipeline = pipeline
        self._model = model
        self._report = report
        self._progress = progress
        self._stepped = stepped
        self._verify = verify
        self._gates = gates
        self._cost = cost_of(graph)
        self._original: Graph | None = None
        self._subject: Subject | None = None
        self._reference: Subject | None = None
        self._fitted: dict[int, Any] = {}
        self._rolls_back = any(gate.otherwise == "rollback" for gate in pipeline.gates())
        self._held: Callable[[], Graph] = lambda: self.original_graph().copy()
        self._since_held = 0
        self._seen = 0
        self._total = sum(1 for _ in pipeline.steps())
        self.used: list[BoundData] = []
        inputs = PairedInputs(list(pipeline.data.values()))
        self._verifier = Verifier(verify, inputs, self.original_graph, self._again)
        report.verification = self._verifier.records

    def run(self) -> Graph:
        """Run the whole body. Raises CompileError, RequirementNotMet among them, placed in the recipe."""
        self._body(self._pipeline.body)
        self._verifier.finish(self.graph)
        self._report.warnings += dict.fromkeys(self._verifier.warnings)
        return self.graph

    def original_graph(self) -> Graph:
        """The model as read: read again, since the other reading is being rewritten."""
        if self._original is None:
            self._original = Graph.load(self._model)
            self._original.infer_shapes()
        return self._original

    # --- what conditions ask ------------------------------------------------------------------------------

    def measure(self, measure: Any, options: Mapping[str, Any]) -> float:
        if self._subject is None:
            self._subject = Subject(self.graph, self._original_subject())
        return float(measure(self._subject, **self._loaded(options)))

    def original(self, measure: Any, options: Mapping[str, Any]) -> float:
        return float(measure(self._original_subject(), **self._loaded(options)))

    def _original_subject(self) -> Subject:
        if self._reference is None:
            self._reference = Subject(self.original_graph())
        return self._reference

    # --- statements ---------------------------------------------------------------------------------------

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

    def _step(self, step: BoundStep) -> int:
        self._seen += 1
        self._progress(step.name)
        options = self._step_options(step)
        if not step.pass_.exact:
            self._verifier.finish(self.graph)
        before = self._cost
        context = self._context(step)
        record = execute(step, self.graph, context, options, before=before, doing=self._doing())
        self._report.steps.append(record)
        self._report.warnings += [f"{step.label}: {each}" for each in context.log.warnings]
        self._stepped(record, self.graph)
        self._cost = record.after
        if record.total or record.after != before:
            self._subject = None
            if step.pass_.exact:
                self._verifier.stepped(step, self.graph)
            else:
                self._verifier.restart(self.graph)
        return record.total

    def _doing(self) -> str:
        return f"while running step {self._seen} of {max(self._total, self._seen)}"

    def _context(self, step: BoundStep) -> Context:
        return Context(
            targets=self._pipeline.destinations,
            original=self.original_graph,
            progress=lambda text: self._progress(f"{step.name}: {text}"),
            prove=self._verify == "each",
        )

    def _again(self, step: BoundStep, graph: Graph) -> None:
        execute(step, graph, self._context(step), self._step_options(step), before=self._cost, doing=self._doing())

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
            chosen = when.condition.evaluate(self)
        self._body(when.body if chosen else when.otherwise)

    def _gate(self, gate: BoundGate) -> None:
        if not self._gates:
            return
        self._progress(f"require {gate.text}")
        with at(gate.span):
            left, right = gate.condition.sides(self)
        held = gate.condition.holds(left, right)
        measured = format_value(left, gate.condition.left.kind)
        wanted = f"{gate.condition.relation} {format_value(right, gate.condition.right.kind)}"
        place = f"{Path(gate.span.source.path).name}:{gate.span.line}"
        outcome = "held" if held else {"fail": "failed", "warn": "warned", "rollback": "rolled back"}[gate.otherwise]
        requirement = Requirement(
            line=place,
            text=gate.text,
            measured=measured,
            wanted=wanted,
            outcome=outcome,
            value=left if math.isfinite(left) else None,
            limit=right if math.isfinite(right) else None,
            kind=gate.condition.left.kind,
            after=len(self._report.steps),
        )
        self._report.requirements.append(requirement)
        if held:
            self._hold()
        elif gate.otherwise == "rollback":
            self._roll_back()
        else:
            self._not_met(gate, measured, wanted)

    def _not_met(self, gate: BoundGate, measured: str, wanted: str) -> None:
        message = f"requirement not met: {gate.text}"
        facts = (("measured", measured), ("wanted", wanted))
        if gate.otherwise == "warn":
            self._report.warnings.append(f"{message}: measured {measured}, wanted {wanted}")
            return
        advice = "`else rollback` undoes the steps since the last gate that held; `else warn` goes on"
        raise RequirementNotMet(Diagnostic(message, gate.span, facts=facts, help=advice))

    def _hold(self) -> None:
        self._since_held = len(self._report.steps)
        if self._rolls_back:
            copy = self.graph.copy()
            self._held = copy.copy

    def _roll_back(self) -> None:
        for record in self._report.steps[self._since_held :]:
            record.undone = True
        self.graph = self._held()
        self.graph.infer_shapes()
        self._cost = cost_of(self.graph)
        self._subject = None
        self._since_held = len(self._report.steps)
        self._verifier.restart(self.graph)

    # --- data ---------------------------------------------------------------------------------------------

    def _loaded(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._fit(each) if isinstance(each, BoundData) else each for name, each in options.items()}

    def _step_options(self, step: BoundStep) -> dict[str, Any]:
        self.used += [each for each in step.options.values() if isinstance(each, BoundData) and each not in self.used]
        return self._loaded(step.options)

    def _fit(self, data: BoundData) -> Any:
        """A data set as the inputs of the graph; samples are read once, whatever the number of uses."""
        if id(data) not in self._fitted:
            with at(data.span):
                self._fitted[id(data)] = data.load().fit(inputs_of(self.graph))
        return self._fitted[id(data)]
