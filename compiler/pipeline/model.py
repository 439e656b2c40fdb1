"""The bound recipe: every name resolved, every option typed, ready to run.

`vggc.binding.bind` makes a Pipeline of a syntax tree; `vggc.pipeline` runs it. Calls of `define` are expanded: what
stands here are passes. Options are keyed by the parameter of the function they go to (`except_`, not `except`), only
those that the recipe gives: `step.pass_(graph, **step.options)`. An option typed Dataset holds the BoundData; the
runner loads it and fits it to the model before it calls the function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from vggc.data import Dataset, Loader
from vggc.diagnostics import Diagnostic
from vggc.diagnostics.source import Source, Span
from vggc.pipeline.conditions import BoundComparison, Condition
from vggc.rewrite import Destination, Pass, Rule
from vggc.targets.contract import Target

Otherwise = Literal["fail", "rollback", "warn"]


@dataclass(frozen=True, eq=False)
class BoundData:
    """A `data` statement. One statement is one BoundData, however many options name it."""

    name: str
    loader: Loader
    options: Mapping[str, Any]
    span: Span
    open: Callable[[], Dataset] = field(repr=False)
    """opens the samples anew; `load` is what one wants"""

    def load(self) -> Dataset:
        """The samples, opened at the first call. Raises CompileError placed at the statement."""
        return self._loaded

    @cached_property
    def _loaded(self) -> Dataset:
        return self.open()


@dataclass(frozen=True)
class BoundStep:
    """A pass to run. `span` covers the call in the recipe; `via` are the calls of `define` that led there."""

    pass_: Pass
    options: Mapping[str, Any]
    span: Span
    via: tuple[Span, ...] = ()

    @property
    def name(self) -> str:
        return self.pass_.name

    @property
    def line(self) -> int:
        return self.span.line

    @property
    def label(self) -> str:
        """How reports and node metadata name the step's place: `vgg16.opt:4`, the outermost call first."""
        return " > ".join(f"{Path(each.source.path).name}:{each.line}" for each in (*self.via, self.span))


@dataclass(frozen=True)
class BoundRepeat:
    """Steps to run until the graph stops changing."""

    body: tuple[Bound, ...]
    span: Span


@dataclass(frozen=True)
class BoundWhen:
    """Steps to choose when they are reached. `span` covers the condition, `text` is the condition as written."""

    condition: Condition
    body: tuple[Bound, ...]
    otherwise: tuple[Bound, ...]
    span: Span
    text: str


@dataclass(frozen=True)
class BoundGate:
    """A requirement. `span` covers the condition, `text` is the condition as written."""

    condition: BoundComparison
    otherwise: Otherwise
    span: Span
    text: str


Bound = BoundStep | BoundRepeat | BoundWhen | BoundGate


@dataclass(frozen=True)
class BoundTarget:
    """A target to lower the finished graph to: `target.target(lowering, **target.options)`."""

    target: Target
    options: Mapping[str, Any]
    span: Span


@dataclass(frozen=True)
class Pipeline:
    """A recipe whose every name is resolved. `params` are the values after `--set`, in order of declaration."""

    source: Source
    params: Mapping[str, Any]
    data: Mapping[str, BoundData]
    body: tuple[Bound, ...]
    targets: tuple[BoundTarget, ...]
    warnings: tuple[Diagnostic, ...] = ()
    rules: tuple[Rule, ...] = ()
    """the rules that the recipe declares, used or not"""

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """The targets as passes get to know them."""
        return tuple(Destination(each.target.name, each.options) for each in self.targets)

    def steps(self) -> Iterator[BoundStep]:
        """Every step in the order of the recipe, those of all branches included."""
        return (each for each in _flat(self.body) if isinstance(each, BoundStep))

    def all_rules(self) -> tuple[Rule, ...]:
        """The rules that the recipe declares, and those of used recipes that it applies."""
        applied = (rule for step in self.steps() for rule in step.pass_.rules if rule.body is not None)
        return tuple(dict.fromkeys([*self.rules, *applied]))

    def gates(self) -> Iterator[BoundGate]:
        """Every requirement in the order of the recipe, those of all branches included."""
        return (each for each in _flat(self.body) if isinstance(each, BoundGate))


def _flat(body: tuple[Bound, ...]) -> Iterator[Bound]:
    for each in body:
        yield each
        if isinstance(each, BoundRepeat):
            yield from _flat(each.body)
        elif isinstance(each, BoundWhen):
            yield from _flat(each.body)
            yield from _flat(each.otherwise)
