"""Two models side by side: what `vggc diff` shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vggc.data import Dataset
from vggc.diagnostics import CompileError
from vggc.diff.numbers import NumericDiff, ValueDifference, numbers
from vggc.diff.structure import Structure, structure
from vggc.diff.value_matches import Matching, match
from vggc.execution.model_comparison import coarsest
from vggc.execution.random_inputs import random_inputs
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.graph.signature import Dimensions, ValueType, inputs_of

SAMPLES = 8
"""Samples of a data set that are run unless another number is asked for."""


@dataclass(frozen=True)
class ModelDiff:
    """What differs. `numbers` is None where the two cannot be run on the same inputs, which `not_run` explains."""

    structure: Structure
    numbers: NumericDiff | None
    not_run: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is infinite is told as text."""
        found: dict[str, Any] = {"structure": asdict(self.structure), "numbers": None, "not_run": self.not_run}
        if self.numbers is not None:
            first = self.numbers.first
            found["numbers"] = {
                "inputs": self.numbers.inputs,
                "tolerance": self.numbers.tolerance,
                "broken": self.numbers.broken,
                "outputs": [_plain(each) for each in self.numbers.outputs],
                "values": [_plain(each) for each in self.numbers.values],
                "first": None if first is None else _plain(first),
            }
        return found


def diff_models(
    before: Graph,
    after: Graph,
    *,
    data: Dataset | None = None,
    samples: int = SAMPLES,
    tolerance: float | None = None,
) -> ModelDiff:
    """Compare two models in structure and, where their inputs are compatible, in numbers.

    They run on the first `samples` of `data`, else on seeded random numbers. A float value diverges when it is further
    away than `tolerance`, relative to its largest magnitude (by default what vggc.execution.model_comparison allows
    the coarsest type of the two); any other value when an element differs. Where the second model does not run, what
    it computes before it breaks is compared. Raises CompileError when the first is not valid or does not run, or the
    data does not fit.
    """
    before.infer_shapes(check=True)
    after.infer_shapes()
    matching = match(before, after)
    found = structure(before, after, matching)
    wanted, problem = _common_inputs(before, after, matching)
    if problem:
        return ModelDiff(found, None, problem)
    feeds, told = _feeds(before, wanted, data, samples)
    limit = coarsest(before, after) if tolerance is None else tolerance
    return ModelDiff(found, numbers(before, after, matching, feeds, inputs=told, tolerance=limit), "")


def _feeds(
    before: Graph, wanted: tuple[ValueType, ...], data: Dataset | None, samples: int
) -> tuple[Sequence[Feeds], str]:
    if data is None:
        return random_inputs(before, wanted), "seeded random numbers"
    fitted = data.fit(wanted)
    feeds = list(fitted.batches(samples, limit=samples))
    count = sum(len(next(iter(each.values()))) for each in feeds)
    return feeds, f"the first {count} samples"


def _common_inputs(before: Graph, after: Graph, matching: Matching) -> tuple[tuple[ValueType, ...], str]:
    """What both models take, by the names of the first; else why they take nothing in common."""
    try:
        own, other = inputs_of(before), {each.name: each for each in inputs_of(after)}
    except CompileError as error:
        return (), error.diagnostics[0].message
    pairs = dict(matching.inputs)
    lost = [each for each in own if each.name not in pairs]
    lost += [each for each in other.values() if each.name not in pairs.values()]
    if lost:
        return (), f"only one of the models has an input {lost[0]}"
    wanted = []
    for each in own:
        twin = other[pairs[each.name]]
        floats = each.dtype.kind in "fV" and twin.dtype.kind in "fV"
        shape = _common_shape(each.shape, twin.shape)
        if shape is None or not (floats or each.dtype == twin.dtype):
            return (), f"input {each} of the first model does not go with {twin} of the second"
        wanted.append(ValueType(each.name, each.dtype, shape))
    return tuple(wanted), ""


def _common_shape(first: Dimensions | None, second: Dimensions | None) -> Dimensions | None:
    """The shape that fits both: where one leaves a size open, that of the other. The first size is the batch's."""
    if first is None or second is None:
        return first or second
    if len(first) != len(second):
        return None
    sizes: list[int | str | None] = []
    for axis, (own, other) in enumerate(zip(first, second, strict=True)):
        if isinstance(own, int) and isinstance(other, int) and own != other and axis > 0:
            return None
        # Models of two fixed batch sizes run on the first one's samples, in pieces.
        sizes.append(own if isinstance(own, int) or not isinstance(other, int) else other)
    return tuple(sizes)


def _plain(value: ValueDifference) -> dict[str, Any]:
    return {
        "before": value.before,
        "after": value.after,
        "node_before": value.node_before,
        "node_after": value.node_after,
        "matched_by": value.matched_by,
        "ok": value.ok,
        "error": _number(value.difference.error),
        "tolerance": value.difference.tolerance,
        "told": str(value.difference),
        "sqnr": None if value.sqnr is None else _number(value.sqnr),
        "random": value.random,
    }


def _number(number: float) -> float | str:
    return number if np.isfinite(number) else str(number)
