"""How much two models differ on the same inputs, and where they first differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.diagnostics import CompileError
from vggc.execution.array_distance import Distance, distance, has_fractions
from vggc.execution.batching import run
from vggc.execution.intermediates import fetch, in_chunks, variables
from vggc.execution.session import Optimise, Session
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.graph.domains import is_standard
from vggc.graph.signature import type_text
from vggc.operators.activations import BOUNDED
from vggc.operators.data_movement import moves

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
"""How many times the noise of a model's own results two ways to compute them may differ."""

NOISE_LIMIT = 1e-2
"""Noise multiplied by NOISE_FACTOR excuses no more than this share of an output's largest magnitude."""

ALL_NOISE = 5e-2
"""An output that rounding moves by this share holds nothing but rounding errors: a sum of numbers that cancel out."""


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


@dataclass(frozen=True)
class Runnable:
    """A model to run: `load` gives it to onnxruntime, `floats` is how far two ways to compute it may differ.

    `bounded` names the outputs that a function with results of the order of 1, such as Sigmoid, computes.
    """

    load: Callable[[Optimise], Session]
    floats: float
    bounded: frozenset[str] = frozenset()

    @classmethod
    def of(cls, graph: Graph) -> Runnable:
        """A graph in memory."""
        return cls(lambda optimise: Session(graph, optimise=optimise), coarsest(graph), bounded_outputs(graph))

    @classmethod
    def of_file(cls, path: Path, graph: Graph) -> Runnable:
        """A model file as any program reads it; `graph` is what vggc reads in it, or wrote to it."""
        return cls(lambda optimise: Session(path, optimise=optimise), coarsest(graph), bounded_outputs(graph))


Observe = Callable[[str, Any, Any], None]
"""Gets the name of an output and what two models computed for it on the same inputs."""


def compare(
    before: Graph | Runnable,
    after: Graph | Runnable,
    feeds: Sequence[Feeds],
    *,
    session: Session | None = None,
    tolerance: float = 0.0,
    observe: Observe = lambda name, expected, got: None,
) -> ModelComparison:
    """Run both on the same inputs and compare each output.

    Floats may differ by TOLERANCE, or by `tolerance` where that is more; integers, truth values and texts not at all.
    Where that is exceeded, the noise of `before` itself is measured: how far onnxruntime's own rewriting moves its
    results, and how far inputs that differ in their last bit do. NOISE_FACTOR times that is allowed, up to NOISE_LIMIT;
    of an output that is nothing but rounding errors any amount of the same order is allowed, with a warning.
    `session` is `before` loaded, where somebody has done that already. Outputs that are random (a Dropout in training
    mode, RandomNormal) are named in the warnings. `observe` is called with each output on each of the inputs.

    Raises DoesNotRun when only `after` does not run, and CompileError when `before` does not run.
    """
    old, new = (each if isinstance(each, Runnable) else Runnable.of(each) for each in (before, after))
    first, second = session or old.load("none"), _Second(new)
    floats = max(old.floats, new.floats, tolerance)
    again = _Rerun(lambda: first)
    noisy = (_Rerun(lambda: old.load("extended")), _Rerun(lambda: first, _last_bits))
    worst: dict[str, Difference] = {}
    finite: dict[str, bool] = {}
    random: set[str] = set()
    rounding: set[str] = set()
    for feed in feeds:
        expected, got = run(first, feed), second.run(feed)
        for name, numbers in expected.items():
            observe(name, numbers, got.get(name))
            finite[name] = finite.get(name, False) or _any_finite(numbers)
            each = difference(name, numbers, got.get(name), floats)
            if not each.ok and difference(name, numbers, again.output(feed, name), 0.0).error > 0:
                random.add(name)
                each = Difference(name, Distance(0.0), each.tolerance)
            elif not each.ok and math.isfinite(each.error):
                noise = _noise(name, numbers, [rerun.output(feed, name) for rerun in noisy])
                allowed = _with_noise(noise, each.tolerance)
                if name in old.bounded & new.bounded:
                    allowed = max(allowed, _of_order_one(numbers, floats))
                each = replace(each, tolerance=allowed)
                if noise >= ALL_NOISE and each.ok:
                    rounding.add(name)
            worst[name] = max(worst.get(name, each), each, key=_beyond)
        for name in got.keys() - expected.keys():
            worst[name] = Difference(name, Distance(math.inf, note="is an output of one model only"), 0.0)
    warnings = [
        f"output `{name}` was NaN or infinite throughout, so that its numbers could not be compared"
        for name, any_finite in finite.items()
        if not any_finite
    ]
    warnings += [f"output `{name}` is random, so that its numbers could not be compared" for name in sorted(random)]
    warnings += [
        f"output `{name}` is nothing but rounding errors, so that its numbers could not be compared"
        for name in sorted(rounding)
    ]
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

    def __init__(self, model: Runnable) -> None:
        self._model = model
        self._session: Session | None = None

    def run(self, feed: Feeds) -> dict[str, Any]:
        try:
            self._session = self._session or self._model.load("none")
            return run(self._session, feed)
        except CompileError as error:
            raise DoesNotRun(*error.diagnostics) from None


class _Rerun:
    """The first model run once more, on the inputs asked for as `prepare` makes them; loaded when first needed."""

    def __init__(self, load: Callable[[], Session], prepare: Callable[[Feeds], Feeds] = lambda feed: feed) -> None:
        self._load = load
        self._prepare = prepare
        self._session: Session | None = None
        self._feed: Feeds | None = None
        self._outputs: dict[str, Any] = {}

    def output(self, feed: Feeds, name: str) -> Any:
        if self._feed is not feed:
            self._session = self._session or self._load()
            self._outputs = run(self._session, self._prepare(feed))
            self._feed = feed
        return self._outputs[name]


def _last_bits(feed: Feeds) -> Feeds:
    """The same inputs, each float moved by about the last bit of its type, up or down at random."""
    generator = np.random.default_rng(0)
    moved = {}
    for name, array in feed.items():
        if isinstance(array, np.ndarray) and array.dtype.kind == "f":
            signs = generator.integers(0, 2, array.shape) * 2 - 1
            moved[name] = (array * (1 + signs * np.finfo(array.dtype).eps)).astype(array.dtype)
        else:
            moved[name] = array
    return moved


def _noise(name: str, expected: Any, reruns: Sequence[Any]) -> float:
    """How far an output of the first model moves by itself; 0 where that cannot be said."""
    errors = [difference(name, expected, rerun, 0.0).error for rerun in reruns]
    return max((error for error in errors if math.isfinite(error)), default=0.0)


def _with_noise(noise: float, tolerance: float) -> float:
    """What an output may differ by: the tolerance given, or what its noise excuses when that is more."""
    excused = NOISE_FACTOR * noise if noise >= ALL_NOISE else max(noise, min(NOISE_FACTOR * noise, NOISE_LIMIT))
    return max(tolerance, excused)


def _of_order_one(numbers: Any, floats: float) -> float:
    """`floats` relative to 1, as a share of an output's largest magnitude: so functions like Sigmoid round.

    Their kernels are as exact as the steps of numbers around 1, however small all results are.
    """
    if not isinstance(numbers, np.ndarray) or not has_fractions(numbers.dtype) or not numbers.size:
        return 0.0
    largest = float(np.nanmax(np.abs(numbers.astype(np.float64))))
    return floats / largest if 0 < largest < 1 else 0.0


def bounded_outputs(graph: Graph) -> frozenset[str]:
    """The outputs that a node of BOUNDED computes, perhaps with nodes behind it that only move numbers."""
    names = set()
    for output in graph.outputs:
        value: gs.Tensor = output
        node = graph.producer(value)
        while node is not None and moves(graph, node):
            value = node.inputs[0]
            node = graph.producer(value)
        if node is not None and node.op in BOUNDED and is_standard(node):
            names.add(output.name)
    return frozenset(names)


def coarsest(*graphs: Graph) -> float:
    """The tolerance of the coarsest float type that any value of the graphs has."""
    # Few values have a type of their own, and naming a type takes longer than finding it in a dictionary.
    samples: dict[Any, gs.Tensor] = {}
    for graph in graphs:
        values = [value for node in graph.nodes for value in node.outputs]
        for value in (*graph.inputs, *graph.outputs, *values, *graph.constants()):
            samples.setdefault(value.dtype, value)
    types = map(graph.dtype, samples.values())
    names = {type_text(each) for each in types if each is not None}
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
