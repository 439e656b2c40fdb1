"""The differences between the values of two models on the same inputs, and the first value that diverges."""

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
    """A value of the first model and its counterpart: their names, the nodes that compute them, and the difference.

    `sqnr` is 10 log10(sum a² / sum (a - b)²) in dB over all inputs; infinite when nothing differs, None for types other
    than floats. `random` values differ between runs of the first model, so a difference from the second is no error.
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
    """The differences of all outputs, and of all values with a counterpart, in the order of the first model.

    `broken` says why the second model does not run, and is empty when it runs. Values after the failure are missing.
    """

    inputs: str
    tolerance: float
    outputs: tuple[ValueDifference, ...]
    values: tuple[ValueDifference, ...]
    broken: str = ""

    @property
    def first(self) -> ValueDifference | None:
        """The first value that diverges, or else the first output that diverges."""
        return next((each for each in (*self.values, *self.outputs) if not each.ok), None)


def numbers(
    before: Graph, after: Graph, matching: Matching, feeds: Sequence[Feeds], *, inputs: str, tolerance: float
) -> NumericDiff:
    """Run both models on the same inputs, given by the names of the first model, and compare the matched values.

    The shapes of the first model must be inferred. Intermediate values are fetched about 256 MB at a time. Floats of
    different types are compared as float32. Raises CompileError when the first model does not run.
    """
    renamed = dict(matching.inputs)
    pairs = [(first, second) for first, second, _ in matching.values]
    pairs += [pair for pair in matching.outputs if pair not in set(pairs)]
    tallies: dict[tuple[str, str], _Tally] = {pair: _Tally(pair[0], tolerance) for pair in pairs}
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
            chunk = [(name, twin) for name in names for twin in twins[name] if twin in got or not broken]
            compared.update(chunk)
            for pair in chunk:
                tallies[pair].add(expected.get(pair[0]), got.get(pair[1]))
            diverging = [pair for pair in chunk if not tallies[pair].ok and not tallies[pair].run_twice]
            random = _random(before, [first for first, _ in diverging], feed)
            for pair in diverging:
                tallies[pair].run_twice, tallies[pair].random = True, pair[0] in random
            if broken:
                break
        if broken:
            break
    made = _made_by(before), _made_by(after)
    methods = {(first, second): each.how for first, second, each in matching.values}

    def value_difference(first: str, second: str) -> ValueDifference:
        default: How = "name" if first == second else "structure"
        tally = tallies[first, second]
        return ValueDifference(
            before=first,
            after=second,
            node_before=made[0].get(first, ""),
            node_after=made[1].get(second, ""),
            matched_by=methods.get((first, second), default),
            difference=tally.worst,
            sqnr=tally.sqnr,
            random=tally.random,
        )

    values = tuple(
        value_difference(first, second) for first, second, _ in matching.values if (first, second) in compared
    )
    outputs = tuple(value_difference(*pair) for pair in matching.outputs if pair in compared)
    return NumericDiff(inputs, tolerance, outputs, values, broken)


def _fetched(graph: Graph, names: list[str], feed: Feeds) -> tuple[dict[str, Any], str]:
    """The named values and an empty text, or as many of the first ones as the model can compute, and the reason."""
    try:
        return fetch(graph, names, feed), ""
    except CompileError as error:
        first = error.diagnostics[0]
        reason = "; ".join([first.message, *(f"{name}: {text}" for name, text in first.facts)])
    fetched: dict[str, Any] = {}
    runs, fails = 0, len(names)
    while fails - runs > 1:
        middle = (runs + fails) // 2
        try:
            fetched, runs = fetch(graph, names[:middle], feed), middle
        except CompileError:
            fails = middle
    return fetched, reason


def _random(graph: Graph, names: Sequence[str], feed: Feeds) -> set[str]:
    """The values that change when the model runs a second time. Both runs share a session, which keeps random state."""
    if not names:
        return set()
    session = Session(graph, names)
    first, again = run(session, feed), run(session, feed)
    return {name for name in names if difference(name, first[name], again[name], 0.0).error > 0}


class _Tally:
    """The difference of a pair of values over several inputs."""

    def __init__(self, name: str, tolerance: float) -> None:
        self._tolerance = tolerance
        self._signal = self._noise = 0.0
        self._floats = False
        self.worst = Difference(name, Distance(0.0), tolerance)
        self.run_twice = self.random = False

    @property
    def ok(self) -> bool:
        return self.worst.ok

    def add(self, expected: Any, got: Any) -> None:
        if _is_float(expected) and _is_float(got) and expected.dtype != got.dtype:
            expected, got = expected.astype(np.float32), got.astype(np.float32)
        new = difference(self.worst.name, expected, got, self._tolerance)
        if new.error > self.worst.error or new.tolerance < self.worst.tolerance:
            self.worst = new
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
