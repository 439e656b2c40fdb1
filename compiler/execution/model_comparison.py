"""How much two models differ on the same inputs, and where they first differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vggc.diagnostics import CompileError
from vggc.execution.array_distance import Distance, distance, has_fractions
from vggc.execution.batching import run
from vggc.execution.intermediates import fetch, in_chunks, variables
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.graph.signature import type_text

TOLERANCE = {
    "float64": 1e-9,
    "float32": 1e-5,
    "float16": 5e-3,
    "bfloat16": 4e-2,
    "float8_e4m3fn": 2e-1,
    "float8_e5m2": 4e-1,
}
"""The largest relative error between two ways to compute the same, by the coarsest float type among the values.

Four to a dozen roundings of the type: errors of a reordered sum grow with the length of the sum.
"""

NOISE_FACTOR = 10
NOISE_LIMIT = 1e-2
"""No noise excuses more than this share (or the type's own tolerance, where that is larger)."""


@dataclass(frozen=True)
class Difference:
    """How much a value differs: `error` is relative to its largest magnitude, `tolerance` is what is allowed."""

    name: str
    distance: Distance
    tolerance: float

    @property
    def error(self) -> float:
        return self.distance.error

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance

    def __str__(self) -> str:
        allowed = "" if math.isinf(self.error) else f" ({self.tolerance:.1g} allowed)"
        return f"{self.distance}{allowed}"


class DoesNotRun(CompileError):
    """The second of two models does not run on inputs on which the first one does."""


@dataclass(frozen=True)
class ModelComparison:
    """The differences of all outputs of two models, over all inputs. `warnings` say what could not be compared."""

    outputs: tuple[Difference, ...]
    warnings: tuple[str, ...] = ()

    @property
    def worst(self) -> Difference:
        """The output furthest beyond what is allowed, or nearest to it."""
        return max(self.outputs, key=_beyond)

    @property
    def error(self) -> float:
        return self.worst.error

    @property
    def tolerance(self) -> float:
        return self.worst.tolerance

    @property
    def ok(self) -> bool:
        return all(each.ok for each in self.outputs)


def _beyond(difference: Difference) -> float:
    """The error in units of what is allowed."""
    if difference.tolerance:
        return difference.error / difference.tolerance
    return math.inf if difference.error else 0.0


def compare(before: Graph, after: Graph, feeds: Sequence[Feeds], *, session: Session | None = None) -> ModelComparison:
    """Run both on the same inputs and compare each output.

    Floats may differ by TOLERANCE; integers, truth values and texts must be equal. Where floats differ more, the noise
    of `before` itself is measured: by how much onnxruntime's own optimisations change its results. Ten times that is
    allowed. `session` may hold `before`, when it is loaded already. Random outputs (of a Dropout in training mode, of
    RandomNormal) are mentioned in the warnings.

    Raises DoesNotRun when only `after` does not run, and CompileError when `before` does not run.
    """
    first, second = session or Session(before), _Second(after)
    floats, again = coarsest(before, after), _Rerun(lambda: first)
    rewritten = _Rerun(lambda: Session(before, optimise="extended"))
    worst: dict[str, Difference] = {}
    finite: dict[str, bool] = {}
    random: set[str] = set()
    for feed in feeds:
        expected, got = run(first, feed), second.run(feed)
        for name, numbers in expected.items():
            finite[name] = finite.get(name, False) or _any_finite(numbers)
            current = difference(name, numbers, got.get(name), floats)
            if not current.ok and difference(name, numbers, again.output(feed, name), 0.0).error > 0:
                random.add(name)
                current = Difference(name, Distance(0.0), current.tolerance)
            elif not current.ok and math.isfinite(current.error):
                moved = rewritten.output(feed, name)
                current = replace(current, tolerance=_with_noise(name, numbers, moved, current.tolerance))
            worst[name] = max(worst.get(name, current), current, key=_beyond)
        for name in got.keys() - expected.keys():
            worst[name] = Difference(name, Distance(math.inf, note="is an output of one model only"), 0.0)
    warnings = [
        f"output `{name}` was NaN or infinite throughout, so that its numbers could not be compared"
        for name, any_finite in finite.items()
        if not any_finite
    ]
    warnings += [f"output `{name}` is random, so that its numbers could not be compared" for name in sorted(random)]
    return ModelComparison(tuple(worst.values()), tuple(warnings))


def _any_finite(numbers: Any) -> bool:
    return (
        not isinstance(numbers, np.ndarray)
        or not numbers.size
        or not has_fractions(numbers.dtype)
        or bool(np.isfinite(numbers).any())
    )


class _Second:
    """The second model. It is loaded after the first one has run, so that what fails then is its own fault."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._session: Session | None = None

    def run(self, feed: Feeds) -> dict[str, Any]:
        try:
            self._session = self._session or Session(self._graph)
            return run(self._session, feed)
        except CompileError as error:
            raise DoesNotRun(*error.diagnostics) from None


class _Rerun:
    """Runs the first model again, on the inputs for which that is asked; it is loaded when that first happens."""

    def __init__(self, load: Callable[[], Session]) -> None:
        self._load = load
        self._session: Session | None = None
        self._feed: Feeds | None = None
        self._outputs: dict[str, Any] = {}

    def output(self, feed: Feeds, name: str) -> Any:
        if self._feed is not feed:
            self._session = self._session or self._load()
            self._outputs = run(self._session, feed)
            self._feed = feed
        return self._outputs[name]


def _with_noise(name: str, expected: Any, rewritten: Any, tolerance: float) -> float:
    """The tolerance of an output: the given one, or ten times the effect of onnxruntime's rewriting if that is more."""
    noise = difference(name, expected, rewritten, tolerance).error
    return max(tolerance, min(NOISE_FACTOR * noise, NOISE_LIMIT)) if math.isfinite(noise) else tolerance


def coarsest(*graphs: Graph) -> float:
    """The tolerance of the coarsest float type that any value of the graphs has."""
    names = set()
    for graph in graphs:
        values = [value for node in graph.nodes for value in node.outputs]
        for value in (*graph.inputs, *graph.outputs, *values, *graph.constants()):
            dtype = graph.dtype(value)
            if dtype is not None:
                names.add(type_text(dtype))
    return max((TOLERANCE[name] for name in names if name in TOLERANCE), default=TOLERANCE["float64"])


def difference(name: str, expected: Any, got: Any, floats: float) -> Difference:
    """How much a tensor, or a list of tensors, differs from the expected one; `floats` is the tolerance of floats."""
    if got is None:
        return Difference(name, Distance(math.inf, note="is no output any more"), 0.0)
    if isinstance(expected, list) or isinstance(got, list):
        return _sequences(name, expected, got, floats)
    return Difference(name, distance(expected, got), floats if has_fractions(expected.dtype) else 0.0)


def _sequences(name: str, expected: Any, got: Any, floats: float) -> Difference:
    """The worst of two lists of tensors, item by item."""
    if type(expected) is not type(got) or len(expected) != len(got):
        return Difference(name, Distance(math.inf, note="is a sequence of another length"), 0.0)
    items = [difference(name, old, new, floats) for old, new in zip(expected, got, strict=True)]
    nothing = Difference(name, Distance(0.0), 0.0)
    return max(items, key=_beyond, default=nothing)


def first_difference(before: Graph, after: Graph, feeds: Sequence[Feeds]) -> Difference | None:
    """The first value, in the order in which `after` computes, whose numbers differ from those in `before`.

    Values are compared when both graphs have one of the same name, since names keep their meaning in vggc. A constant
    of `after` may be compared with what `before` computes. Intermediate values are computed some 256 MB at a time.
    None when all values agree.
    """
    floats = coarsest(before, after)
    before.infer_shapes()
    for feed in feeds:
        for names in in_chunks(before, _shared(before, after), feed):
            expected, got = fetch(before, names, feed), fetch(after, names, feed)
            for name in names:
                if name not in expected or name not in got:
                    continue
                current = difference(name, expected[name], got[name], floats)
                if not current.ok:
                    return current
    return None


def _shared(before: Graph, after: Graph) -> list[str]:
    """The names that both graphs have: constants of `after`, then the values that it computes, in order."""
    known = {*variables(before), *(value.name for value in before.constants())}
    names = [value.name for value in after.constants()]
    return [name for name in (*names, *variables(after)) if name in known]
