"""How far the values of two models are apart on the same inputs, and where they part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vggc.diagnostics import CompileError
from vggc.diff.value_matches import How, Matching
from vggc.execution.array_distance import Distance
from vggc.execution.batching import run
from vggc.execution.intermediates import fetch, in_chunks, variables
from vggc.execution.model_comparison import Difference, difference
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Array, Feeds


@dataclass(frozen=True)
class ValueDifference:
    """A value of the first model beside its counterpart: names, the nodes that compute them, and how far apart.

    `sqnr` is 10 log10(sum a² / sum (a - b)²) in dB over all inputs, infinite where nothing differs, None for what is no
    float. `random` values differ from one run of the first model to the next, and are not held against the second.
    """

    before: str
    after: str
    node_before: str
    node_after: str
    matched_by: How
    difference: Difference
    sqnr: float | None
    random: bool = False

    @property
    def ok(self) -> bool:
        return self.random or self.difference.ok


@dataclass(frozen=True)
class NumericDiff:
    """Every output, and every value that has a counterpart in the order in which the first model computes them.

    `broken` says why the second model does not run, empty where it does; then there is only what it computes before.
    """

    inputs: str
    tolerance: float
    outputs: tuple[ValueDifference, ...]
    values: tuple[ValueDifference, ...]
    broken: str = ""

    @property
    def first(self) -> ValueDifference | None:
        """The first value that diverges: an output where no value before it does."""
        return next((each for each in (*self.values, *self.outputs) if not each.ok), None)


def numbers(
    before: Graph, after: Graph, matching: Matching, feeds: Sequence[Feeds], *, inputs: str, tolerance: float
) -> NumericDiff:
    """Run both models on the same inputs, given by the names of the first model, and compare what is matched.

    The shapes of the first have been inferred. Intermediate values are fetched about 256 MB at a time. Floats of
    different types are compared as float32. Raises CompileError when the first model does not run.
    """
    renamed = dict(matching.inputs)
    pairs = [(first, second) for first, second, _ in matching.values]
    pairs += [pair for pair in matching.outputs if pair not in set(pairs)]
    found: dict[tuple[str, str], _Tally] = {pair: _Tally(pair[0], tolerance) for pair in pairs}
    twins: dict[str, list[str]] = {}
    for first, second in pairs:
        twins.setdefault(first, []).append(second)
    compared: set[tuple[str, str]] = set()
    broken = ""
    for feed in feeds:
        other = {renamed[name]: _as_type(array, after, renamed[name]) for name, array in feed.items()}
        for names in in_chunks(before, list(twins), feed):
            expected = fetch(before, names, feed)
            got, broken = _fetched(after, [twin for name in names for twin in twins[name]], other)
            here = [(name, twin) for name in names for twin in twins[name] if twin in got or not broken]
            compared.update(here)
            for pair in here:
                found[pair].add(expected.get(pair[0]), got.get(pair[1]))
            doubted = [pair for pair in here if not found[pair].ok and not found[pair].looked_at]
            random = _random(before, [first for first, _ in doubted], feed)
            for pair in doubted:
                found[pair].looked_at, found[pair].random = True, pair[0] in random
            if broken:
                break
        if broken:
            break
    made = _made_by(before), _made_by(after)
    how = {(first, second): each.how for first, second, each in matching.values}

    def told(first: str, second: str) -> ValueDifference:
        by_name: How = "name" if first == second else "structure"
        tally = found[first, second]
        return ValueDifference(
            before=first,
            after=second,
            node_before=made[0].get(first, ""),
            node_after=made[1].get(second, ""),
            matched_by=how.get((first, second), by_name),
            difference=tally.worst,
            sqnr=tally.sqnr,
            random=tally.random,
        )

    values = tuple(told(first, second) for first, second, _ in matching.values if (first, second) in compared)
    outputs = tuple(told(*pair) for pair in matching.outputs if pair in compared)
    return NumericDiff(inputs, tolerance, outputs, values, broken)


def _fetched(graph: Graph, names: list[str], feed: Feeds) -> tuple[dict[str, Any], str]:
    """The named values, or as many of the first of them as the model runs with, and why it does not with all."""
    try:
        return fetch(graph, names, feed), ""
    except CompileError as error:
        first = error.diagnostics[0]
        reason = "; ".join([first.message, *(f"{name}: {text}" for name, text in first.facts)])
    found: dict[str, Any] = {}
    runs, fails = 0, len(names)
    while fails - runs > 1:
        middle = (runs + fails) // 2
        try:
            found, runs = fetch(graph, names[:middle], feed), middle
        except CompileError:
            fails = middle
    return found, reason


def _random(graph: Graph, names: Sequence[str], feed: Feeds) -> set[str]:
    """Which of the values are others when the model runs a second time. A model loaded anew would start anew."""
    if not names:
        return set()
    session = Session(graph, names)
    first, again = run(session, feed), run(session, feed)
    return {name for name in names if difference(name, first[name], again[name], 0.0).error > 0}


class _Tally:
    """What is known of a pair of values over several inputs."""

    def __init__(self, name: str, tolerance: float) -> None:
        self._tolerance = tolerance
        self._signal = self._noise = 0.0
        self._floats = False
        self.worst = Difference(name, Distance(0.0), tolerance)
        self.looked_at = self.random = False

    @property
    def ok(self) -> bool:
        return self.worst.ok

    def add(self, expected: Any, got: Any) -> None:
        if _is_float(expected) and _is_float(got) and expected.dtype != got.dtype:
            expected, got = expected.astype(np.float32), got.astype(np.float32)
        here = difference(self.worst.name, expected, got, self._tolerance)
        if here.error > self.worst.error or here.tolerance < self.worst.tolerance:
            self.worst = here
        if _is_float(expected) and _is_float(got) and expected.shape == got.shape:
            self._floats = True
            first, second = expected.astype(np.float64), got.astype(np.float64)
            with np.errstate(invalid="ignore", over="ignore"):
                self._signal += float(np.square(first).sum())
                self._noise += float(np.square(first - second).sum())

    @property
    def sqnr(self) -> float | None:
        if not self._floats or not math.isfinite(self._signal) or not math.isfinite(self._noise):
            return None
        if self._noise == 0:
            return math.inf
        return 10 * math.log10(self._signal / self._noise) if self._signal else -math.inf


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fV" and "int" not in value.dtype.name


def _as_type(array: Array, graph: Graph, name: str) -> Array:
    wanted = next(graph.dtype(value) for value in graph.inputs if value.name == name)
    return array if wanted is None or array.dtype == wanted else array.astype(wanted)


def _made_by(graph: Graph) -> Mapping[str, str]:
    return {name: graph.label(node) for name, value in variables(graph).items() for node in value.inputs[:1]}
