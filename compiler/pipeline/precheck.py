"""What can be known of a recipe before it runs: options that cannot work, alone, together, or for this model.

Passes, measures and targets check their own options; this module says what runs before each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vggc.data import Dataset, KnownData
from vggc.diagnostics import Code, CompileError, Diagnostic, Diagnostics, at, placed
from vggc.diagnostics.number_text import counted
from vggc.diagnostics.source import Span
from vggc.graph import Graph
from vggc.graph.signature import ValueType, fixed_batch, inputs_of
from vggc.options import defined_at
from vggc.pattern.beforehand import Beforehand, Check, EarlierStep
from vggc.pipeline.conditions import Arithmetic, BoundComparison, BoundLogical, Condition, Expression, Measured
from vggc.pipeline.execute import apply, shipped, shipped_rule
from vggc.pipeline.image_scale import scale_warning
from vggc.pipeline.model import (
    Bound,
    BoundData,
    BoundObjective,
    BoundRepeat,
    BoundStep,
    BoundTarget,
    BoundWhen,
    Pipeline,
)
from vggc.rewrite import Context, Destination, check_rules


def check_model(pipeline: Pipeline, model: Path | None) -> tuple[Diagnostic, ...]:
    """Raise CompileError when the recipe cannot work for the model in a file, or without one for any model.

    Returns warnings.
    """
    if model is None:
        return check_options(pipeline)
    graph = Graph.load(model)
    graph.infer_shapes(check=True)
    return check_fit(pipeline, graph)


def check_fit(pipeline: Pipeline, graph: Graph) -> tuple[Diagnostic, ...]:
    """Raise CompileError when the recipe cannot work for a model, before any work is done. Returns warnings."""
    found = Diagnostics()
    inputs = inputs_of(graph)
    samples = {}
    for data in pipeline.data.values():
        with found.collect(), at(data.span):
            data.load().fit(inputs)
            samples[data.name] = data.load()
            if warning := scale_warning(graph, data.load()):
                found.extend([replace(warning, span=data.span)])
    walk = _Walk(pipeline.destinations, graph, samples)
    walk.statements(pipeline.body)
    walk.objectives(pipeline.objectives)
    found.extend(dict.fromkeys(walk.found))
    # Inputs that nobody knows beforehand are checked by the target itself.
    for number, each in enumerate(pipeline.targets if walk.inputs is not None else ()):
        with found.collect(), at(each.span):
            _check_target(each, pipeline.targets[:number], walk.inputs or (), graph)
    # Those of vggc's own that cannot be written in the model's opset are left out; nobody could correct them.
    found.extend(check_rules((rule for rule in pipeline.all_rules() if not shipped_rule(rule)), graph))
    found.raise_errors()
    return tuple(found.messages)


def _check_target(
    checked: BoundTarget, before: Sequence[BoundTarget], inputs: tuple[ValueType, ...], graph: Graph
) -> None:
    """Raise CompileError when a target's options do not fit the inputs, or a file that a target before it writes."""
    if problems := checked.target.check(inputs, checked.options):
        final_shapes = inputs == inputs_of(graph)
        raise CompileError(*problems, *(checked.target.check_graph(graph) if final_shapes else ()))
    for name in checked.target.reads(checked.options):
        for source in before:
            if name in source.target.files(source.options) and not source.target.check(inputs, source.options):
                problems += checked.target.check_source(inputs, checked.options, source.target, source.options)
    if problems:
        raise CompileError(*problems)


def check_options(pipeline: Pipeline) -> tuple[Diagnostic, ...]:
    """Raise CompileError when the recipe cannot work for any model. Returns warnings."""
    found = Diagnostics()
    walk = _Walk(pipeline.destinations, None, {})
    walk.statements(pipeline.body)
    walk.objectives(pipeline.objectives)
    found.extend(dict.fromkeys(walk.found))
    found.extend(check_rules(pipeline.all_rules()))
    found.raise_errors()
    return tuple(found.messages)


def check_body(
    body: Sequence[Bound], objectives: Sequence[BoundObjective], targets: tuple[Destination, ...]
) -> list[Diagnostic]:
    """What is wrong with the options of steps and measures, whatever the model and the other statements are."""
    walk = _Walk(targets, None, {})
    walk.statements(body, may_be_skipped=True)
    walk.objectives(objectives)
    return list(dict.fromkeys(walk.found))


class _Walk:
    """Goes through the statements of a recipe in the order in which they run, and knows which steps surely ran."""

    def __init__(self, targets: tuple[Destination, ...], graph: Graph | None, samples: Mapping[str, Dataset]) -> None:
        self._samples = samples
        self._targets = targets
        self._graph = graph
        self._inputs_as_read = None if graph is None else inputs_of(graph)
        self._earlier: list[BoundStep] = []
        self._from_start = True
        """whether the earlier steps are all steps since the model was read"""
        self._as_read = graph
        self.inputs = self._inputs_as_read
        """the inputs after the steps so far; None when they are not known"""
        self.found: list[Diagnostic] = []

    def statements(self, body: Sequence[Bound], *, may_be_skipped: bool = False) -> None:
        for each in body:
            if may_be_skipped:
                self._forget()
            if isinstance(each, BoundStep):
                self._step(each, may_be_skipped=may_be_skipped)
            elif isinstance(each, BoundRepeat):
                self.statements(each.body, may_be_skipped=may_be_skipped)
                self._forget()
            elif isinstance(each, BoundWhen):
                self._measures(each.condition, each.span)
                self.statements(each.body, may_be_skipped=True)
                self.statements(each.otherwise, may_be_skipped=True)
                self._forget()
            else:
                self._measures(each.condition, each.span)
                if each.otherwise == "rollback":
                    self._forget()
                    # The steps that set them may be undone.
                    self.inputs = self.inputs if self.inputs == self._inputs_as_read else None

    def objectives(self, objectives: Sequence[BoundObjective]) -> None:
        for each in objectives:
            self._measures(each.measured, each.span)

    def _step(self, step: BoundStep, *, may_be_skipped: bool) -> None:
        pass_ = step.pass_
        if pass_.check is not None:
            self._check(pass_.name, pass_.check, pass_.with_defaults(step.options), step.span)
        if shipped(pass_):
            self._check_batch(step)
        if pass_.sets_inputs:
            self._set_inputs(step, may_be_skipped=may_be_skipped)
        if not shipped(pass_):
            self._forget()
            self._as_read = None
        else:
            self._earlier.append(step)

    def _check_batch(self, step: BoundStep) -> None:
        """Report data with fewer samples than the model takes at a time. Passes do not fill up their batches."""
        batch = fixed_batch(self.inputs or ())
        for each in step.options.values():
            samples = self._samples.get(each.name) if isinstance(each, BoundData) else None
            if samples is not None and batch is not None and len(samples) < batch:
                given = counted(len(samples), "sample")
                message = f"data `{samples.name}` has {given}, but the model takes batches of {batch}"
                self.found.append(Diagnostic(message, step.span, help="give it more samples", code=Code.PASS_RAISED))

    def _set_inputs(self, step: BoundStep, *, may_be_skipped: bool) -> None:
        after = step.pass_.sets_inputs
        if isinstance(after, bool) or may_be_skipped or self.inputs is None:
            self.inputs = None
            return
        try:
            self.inputs = after(self.inputs, step.pass_.with_defaults(step.options))
        except CompileError as error:
            self.found += placed(error, step.span).diagnostics
            self.inputs = None

    def _forget(self) -> None:
        """The graph is not known from here on."""
        self._earlier.clear()
        self._from_start = False

    def _measures(self, condition: Condition | Expression, span: Span) -> None:
        for each in _measured(condition):
            measure = each.measure
            if measure.check is not None:
                self._check(measure.name, measure.check, measure.with_defaults(each.options), span)

    def _check(self, name: str, check: Check, options: Mapping[str, Any], span: Span) -> None:
        steps = tuple(self._earlier) if self._from_start else None
        # Steps that learn change weights, and measuring ones nothing: nodes keep their names.
        rest = [each for each in steps or () if not (each.pass_.learns or (each.pass_.exact and _reads_data(each)))]
        known = self._graph is not None and steps is not None and all(each.pass_.exact for each in rest)
        beforehand = Beforehand(
            self._targets,
            tuple(EarlierStep(each.name, each.pass_.with_defaults(each.options)) for each in self._earlier),
            self._as_read,
            lambda: self._after(rest) if known else None,
            exactly=known and len(rest) == len(steps or ()),
        )
        filled = {name: self._known(each) if isinstance(each, BoundData) else each for name, each in options.items()}
        try:
            problems = check(filled, beforehand)
        except CompileError as error:
            problems = list(error.diagnostics)
        except Exception as error:
            if check.__module__.startswith("vggc."):
                raise
            message = f"the check of `{name}` raised {type(error).__name__}: {error}"
            problems = [
                Diagnostic(
                    message, facts=defined_at(check), help="a check returns a list of Diagnostic", code=Code.PASS_RAISED
                )
            ]
        self.found += [each if each.span else replace(each, span=span) for each in problems]

    def _known(self, data: BoundData) -> KnownData:
        return KnownData(data.name, data.span.place, data.loader, frozenset(data.options), self._samples.get(data.name))

    def _after(self, steps: Sequence[BoundStep]) -> Graph:
        """The graph after these steps, which run on a copy of the model."""
        as_read = self._graph
        assert as_read is not None
        graph = as_read.copy()
        for step in steps:
            context = Context(targets=self._targets, original=lambda: as_read)
            apply(step, graph, context, step.options, doing="")
        return graph


def _reads_data(step: BoundStep) -> bool:
    return any(isinstance(each, BoundData) for each in step.options.values())


def _measured(condition: Condition | Expression) -> Iterator[Measured]:
    """The measures that a condition needs."""
    if isinstance(condition, Measured):
        yield condition
    elif isinstance(condition, BoundComparison | Arithmetic):
        yield from _measured(condition.left)
        yield from _measured(condition.right)
    elif isinstance(condition, BoundLogical):
        for each in condition.operands:
            yield from _measured(each)
