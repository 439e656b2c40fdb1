"""How much the outputs of the whole model change when one group alone shrinks and its readers are repaired."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vggc.analysis.channels import Group, Groups
from vggc.calibration.node_matrices import as_matrix
from vggc.calibration.samples import Samples, floating_outputs, not_finite
from vggc.data import Batch
from vggc.diagnostics import fail
from vggc.execution.session import Session
from vggc.graph.arrays import Array, Int64
from vggc.pruning.elimination import Elimination, remaining
from vggc.pruning.group_readers import Readings

_WORK = 6e11
"""About how many MACs may go into trials; the number of samples follows from it."""

_FEWEST, _MOST = 16, 512


class Trials:
    """Runs the model on some samples with one group smaller, and measures how far its outputs are off.

    `readings` gives the repair of the nodes that read the group; without it the removed channels are only masked.
    """

    def __init__(self, groups: Groups, samples: Samples, readings: Readings | None, *, trials: int) -> None:
        self._groups = groups
        self._readings = readings
        self._outputs = floating_outputs(groups.graph)
        if not self._outputs:
            raise fail("no output of the model is a float, so that the effect of pruning cannot be measured")
        macs = groups.cost({}).macs or 1e9
        wanted = int(np.clip(_WORK / (macs * max(1, trials)), _FEWEST, _MOST))
        self._batches: list[Batch] = []
        for batch in samples:
            self._batches.append(batch)
            if len(self._batches) * samples.size >= wanted:
                break
        session = Session(groups.graph, self._outputs, optimise="all")
        self._reference = [self._run(session, batch) for batch in self._batches]
        for name, arrays in zip(self._outputs, zip(*self._reference, strict=True), strict=True):
            if not all(np.isfinite(each).all() for each in arrays):
                raise not_finite(f"output `{name}`", samples.name)
        self._powers = [
            max(float(np.var(np.concatenate([np.ravel(each) for each in arrays]), dtype=np.float64)), 1e-30)
            for arrays in zip(*self._reference, strict=True)
        ]
        self._known: dict[tuple[int, int], float] = {}

    def error(self, group: Group, elimination: Elimination, count: int) -> float:
        """The mean squared error of the outputs with `count` atoms left, as share of their variance."""
        kept = group.best(elimination.scores, count)
        key = (group.id, len(kept))
        if key not in self._known:
            self._known[key] = self._measure(group, kept)
        return self._known[key]

    def _measure(self, group: Group, kept: Int64) -> float:
        graph = self._groups.masked({group.id: kept})
        if self._readings is not None:
            made = {node.outputs[0].name: node for node in graph.nodes}
            for reader in self._readings.readers(group):
                unit = self._readings.unit(reader)
                matrix, bias = reader.product.matrix(), reader.product.bias().reshape(reader.product.blocks, -1)
                for part, problem in self._readings.problems(group, reader):
                    factor = np.where(unit[part.block] == 0, 1.0, unit[part.block])
                    change = (remaining(problem, kept) - problem.weights) / factor
                    matrix[part.block][part.columns] += change
                    bias[part.block] -= self._readings.mean(part) @ change
                as_matrix(graph, made[reader.product.node.outputs[0].name]).store(matrix, bias.reshape(-1))
            graph.tidy()
        session = Session(graph, self._outputs, optimise="all")
        total = 0.0
        for index, power in enumerate(self._powers):
            squared = count = 0.0
            for batch, reference in zip(self._batches, self._reference, strict=True):
                difference = self._run(session, batch)[index].astype(np.float64) - reference[index].astype(np.float64)
                squared += float(np.square(difference).sum())
                count += difference.size
            total += squared / max(count, 1) / power
        return total / len(self._powers) if np.isfinite(total) else np.inf

    def _run(self, session: Session, batch: Batch) -> list[Array]:
        found = session.run({each.name: batch[each.name] for each in session.inputs})
        return [found[name] for name in self._outputs]


def calibrated(group: Group, elimination: Elimination, trials: Trials, counts: Sequence[int]) -> Elimination:
    """The losses of an elimination in units of the model's output error, measured where `counts` atoms are left.

    Between them the ratio of the two is interpolated, in the logarithm.
    """
    size = group.size
    points: dict[int, float] = {}
    for count in counts:
        removed = size - min(max(count, 1), size)
        if removed and elimination.losses[removed] > 0:
            error = trials.error(group, elimination, size - removed)
            points[removed] = float(np.log(max(error, 1e-12) / elimination.losses[removed]))
    if not points:
        return elimination
    at = sorted(points)
    factors = np.exp(np.interp(np.arange(size), at, [points[each] for each in at]))
    return Elimination(elimination.order, np.maximum.accumulate(elimination.losses * factors))
