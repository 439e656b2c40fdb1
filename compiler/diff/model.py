"""The comparison of two models, for `vggc diff`."""

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
from vggc.graph.arrays import Dimensions, Feeds, Size
from vggc.graph.signature import ValueType, inputs_of

SAMPLES = 8
"""The default number of samples of a data set that are run."""


@dataclass(frozen=True)
class ModelDiff:
    """The comparison. `numbers` is None when the models cannot run on the same inputs; `not_run` says why."""

    structure: Structure
    numbers: NumericDiff | None
    not_run: str

    def as_dict(self) -> dict[str, Any]:
        """The comparison as plain JSON values. Infinite numbers become text."""
        values: dict[str, Any] = {"structure": asdict(self.structure), "numbers": None, "not_run": self.not_run}
        if self.numbers is not None:
            first = self.numbers.first
            values["numbers"] = {
                "inputs": self.numbers.inputs,
                "tolerance": self.numbers.tolerance,
                "broken": self.numbers.broken,
                "outputs": [_plain(each) for each in self.numbers.outputs],
                "values": [_plain(each) for each in self.numbers.values],
                "first": None if first is None else _plain(first),
            }
        return values


def diff_models(
    before: Graph,
    after: Graph,
    *,
    data: Dataset | None = None,
    samples: int = SAMPLES,
    tolerance: float | None = None,
) -> ModelDiff:
    """Compare two models in structure and, when their inputs are compatible, in numbers.

    They run on the first `samples` of `data`, or else on seeded random numbers. A float value diverges when its error,
    relative to its largest magnitude, exceeds `tolerance` (by default what vggc.execution.model_comparison allows for
    the coarsest type of the two models). Any other value diverges when an element differs. When the second model does
    not run, the values that it computes before it fails are compared. Raises CompileError when the first model is not
    valid or does not run, or the data does not fit.
    """
    before.infer_shapes(check=True)
    after.infer_shapes()
    matching = match(before, after)
    compared = structure(before, after, matching)
    wanted, problem = _common_inputs(before, after, matching)
    if problem:
        return ModelDiff(compared, None, problem)
    feeds, description = _feeds(before, wanted, data, samples)
    limit = coarsest(before, after) if tolerance is None else tolerance
    return ModelDiff(compared, numbers(before, after, matching, feeds, inputs=description, tolerance=limit), "")


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
    """The inputs that both models take, by the names of the first, or the reason why there are none."""
    try:
        own, other = inputs_of(before), {each.name: each for each in inputs_of(after)}
    except CompileError as error:
        return (), error.diagnostics[0].message
    pairs = dict(matching.inputs)
    unmatched = [each for each in own if each.name not in pairs]
    unmatched += [each for each in other.values() if each.name not in pairs.values()]
    if unmatched:
        return (), f"only one of the models has an input {unmatched[0]}"
    wanted = []
    for value in own:
        twin = other[pairs[value.name]]
        floats = value.dtype.kind in "fV" and twin.dtype.kind in "fV"
        shape = _common_shape(value.shape, twin.shape)
        if shape is None or not (floats or value.dtype == twin.dtype):
            return (), f"input {value} of the first model does not match {twin} of the second"
        wanted.append(ValueType(value.name, value.dtype, shape))
    return tuple(wanted), ""


def _common_shape(first: tuple[Size, ...] | None, second: tuple[Size, ...] | None) -> tuple[Size, ...] | None:
    """The shape that fits both models. A size that one leaves open is taken from the other. The first is the batch."""
    if first is None or second is None:
        return first or second
    if len(first) != len(second):
        return None
    sizes: Dimensions = []
    for axis, (own, other) in enumerate(zip(first, second, strict=True)):
        if isinstance(own, int) and isinstance(other, int) and own != other and axis > 0:
            return None
        # Models with different fixed batch sizes run on the first model's samples, split into batches.
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
        "difference": str(value.difference),
        "sqnr": None if value.sqnr is None else _number(value.sqnr),
        "random": value.random,
    }


def _number(number: float) -> float | str:
    return number if np.isfinite(number) else str(number)
