"""The bound recipe: all names are resolved, all options have types, and it is ready to run.

`vggc.binding.bind` makes a Pipeline from a syntax tree, and `vggc.pipeline` runs it. Calls of `define` are expanded, so
that all steps are passes. The keys of options are the parameters of the pass's function (`except_`, not `except`), and
only options in the recipe are listed: `step.pass_(graph, **step.options)`. An option of the type Dataset contains the
BoundData; the runner loads it and fits it to the model before it calls the function.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from vggc.data import Dataset, Loader
from vggc.diagnostics import Diagnostic
from vggc.diagnostics.source import Source, Span
from vggc.pipeline.conditions import BoundComparison, Condition, Measured
from vggc.rewrite import Destination, Pass, Rule
from vggc.targets.contract import Target
from vggc.values import Interval

Otherwise = Literal["fail", "rollback", "warn"]
Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True, eq=False)
class BoundData:
    """A `data` statement. Each statement is one BoundData, also when several options name it."""

    name: str
    loader: Loader
    options: Mapping[str, Any]
    span: Span
    open: Callable[[], Dataset] = field(repr=False)
    """opens the samples again; use `load` instead"""

    def load(self) -> Dataset:
        """The samples, opened at the first call. Raises CompileError at the statement."""
        return self._loaded

    @cached_property
    def _loaded(self) -> Dataset:
        return self.open()


@dataclass(frozen=True)
class BoundStep:
    """A pass to run. `span` covers the call in the recipe; `via` are the calls of `define` that contain it."""

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
        """The step's place in reports and node metadata: `vgg16.opt:4`, the outermost call first."""
        return " > ".join(f"{Path(each.source.path).name}:{each.line}" for each in (*self.via, self.span))


@dataclass(frozen=True)
class BoundRepeat:
    """Steps to run until the graph stops changing."""

    body: tuple[Bound, ...]
    span: Span


@dataclass(frozen=True)
class BoundWhen:
    """Steps that run depending on a condition. `span` covers the condition, `text` is its text in the recipe."""

    condition: Condition
    body: tuple[Bound, ...]
    otherwise: tuple[Bound, ...]
    span: Span
    text: str


@dataclass(frozen=True)
class BoundGate:
    """A requirement. `span` covers the condition, `text` is its text in the recipe."""

    condition: BoundComparison
    otherwise: Otherwise
    span: Span
    text: str


@dataclass(frozen=True)
class BoundObjective:
    """A `minimize` or `maximize` of the finished model. `span` covers the measure, `text` is its text in the recipe."""

    direction: Direction
    measured: Measured
    span: Span
    text: str


Bound = BoundStep | BoundRepeat | BoundWhen | BoundGate


@dataclass(frozen=True)
class BoundTarget:
    """A target that lowers the finished graph: `target.target(lowering, **target.options)`."""

    target: Target
    options: Mapping[str, Any]
    span: Span


@dataclass(frozen=True)
class Pipeline:
    """A recipe with all names resolved. `params` are the values after `--set`, in the order of declaration."""

    source: Source
    params: Mapping[str, Any]
    data: Mapping[str, BoundData]
    body: tuple[Bound, ...]
    targets: tuple[BoundTarget, ...]
    objectives: tuple[BoundObjective, ...] = ()
    space: Mapping[str, Interval | tuple[Any, ...]] = field(default_factory=dict)
    """the limits of each parameter that has some, or its list of values, without the parameters that `--set` gives"""
    warnings: tuple[Diagnostic, ...] = ()
    rules: tuple[Rule, ...] = ()
    """the rules that the recipe declares, also those that it does not use"""
    files: Mapping[Path, str] = field(default_factory=dict)
    """the SHA-256 of the text of each file that the recipe brings in with `use`, directly or not"""

    @property
    def described(self) -> dict[str, Any]:
        """The recipe as reports have it: path, SHA-256 and text."""
        text = self.source.text
        return {"path": self.source.path, "sha256": hashlib.sha256(text.encode()).hexdigest(), "text": text}

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """The targets in the form that passes get."""
        return tuple(Destination(each.target.name, each.options) for each in self.targets)

    def steps(self) -> Iterator[BoundStep]:
        """All steps in the order of the recipe, those of all branches included."""
        return (each for each in _flat(self.body) if isinstance(each, BoundStep))

    def all_rules(self) -> tuple[Rule, ...]:
        """The rules that the recipe declares, and the rules of other recipes that it applies."""
        applied = (rule for step in self.steps() for rule in step.pass_.rules if rule.body is not None)
        return tuple(dict.fromkeys([*self.rules, *applied]))

    def gates(self) -> Iterator[BoundGate]:
        """All requirements in the order of the recipe, those of all branches included."""
        return (each for each in _flat(self.body) if isinstance(each, BoundGate))


def _flat(body: tuple[Bound, ...]) -> Iterator[Bound]:
    for statement in body:
        yield statement
        if isinstance(statement, BoundRepeat):
            yield from _flat(statement.body)
        elif isinstance(statement, BoundWhen):
            yield from _flat(statement.body)
            yield from _flat(statement.otherwise)
