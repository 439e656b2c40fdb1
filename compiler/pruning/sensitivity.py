"""How much the outputs of the whole model change when one group alone shrinks and its readers are repaired.

Nodes before the readers of a group compute what they always do. So a trial runs only what lies behind them, on values
that the original has given; in the order of the graph all trials together cost one more run of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels import Group, Groups
from vggc.calibration.node_matrices import as_matrix
from vggc.calibration.samples import Samples, floating_outputs, not_finite
from vggc.calibration.spill import Spill
from vggc.calibration.staged_run import StagedRun
from vggc.data import Batch
from vggc.diagnostics import Code, fail
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Int64
from vggc.graph.node_order import subgraphs
from vggc.graph.subgraph import part
from vggc.pruning.elimination import Elimination, remaining
from vggc.pruning.group_readers import Readings

_WORK = 3e11
"""About how many MACs may go into trials; the number of samples follows from it."""

_FEWEST, _MOST = 8, 512

_NEAR = 0.05
"""The share of a group's channels up to which two counts are close to each other."""

_PREFIX = "trials:"
"""Of the keys under which values lie in the spill."""


class Trials:
    """Runs the model on some samples with one group smaller, and measures how far its outputs are off.

    `readings` gives the repair of the nodes that read the group; without it the removed channels are only masked.
    """

    def __init__(
        self, groups: Groups, samples: Samples, readings: Readings | None, spill: Spill, *, trials: int
    ) -> None:
        self._groups = groups
        self._samples = samples
        self._readings = readings
        self._spill = spill
        self._outputs = floating_outputs(groups.graph)
        if not self._outputs:
            raise fail(
                "no output of the model is a float, so that the effect of pruning cannot be measured", code=Code.PRUNE
            )
        macs = groups.cost({}).macs or 1e9
        wanted = int(np.clip(_WORK / (macs * max(1, trials)), _FEWEST, _MOST))
        self._batches = min(-(-wanted // samples.size), len(samples))
        # A part of a graph has no bodies.
        self._whole = any(True for node in groups.graph.nodes for _ in subgraphs(node))
        self._values = {value.name: value for node in groups.graph.nodes for value in node.outputs if value.name}
        self._original = self._begun()
        self._reference = [
            [found[name] for name in self._outputs] for found in self._results(groups.graph, self._outputs)
        ]
        for name, arrays in zip(self._outputs, zip(*self._reference, strict=True), strict=True):
            if not all(np.isfinite(each).all() for each in arrays):
                raise not_finite(f"output `{name}`", samples.name)
        self._powers = [
            max(float(np.var(np.concatenate([np.ravel(each) for each in arrays]), dtype=np.float64)), 1e-30)
            for arrays in zip(*self._reference, strict=True)
        ]
        self._known: dict[tuple[int, int], float] = {}

    def in_order(self, chosen: Iterable[Group]) -> list[Group]:
        """Groups in the order in which the graph first reads them."""
        at = {id(node): index for index, node in enumerate(self._groups.graph.nodes)}
        first: dict[int, int] = {}
        for contraction in self._groups.swept.contractions:
            for group in self._groups.of(contraction.along).groups:
                first[group] = min(at[id(contraction.node)], first.get(group, len(at)))
        return sorted(chosen, key=lambda group: first.get(group.id, len(at)))

    def restart(self) -> None:
        """Go back to the first node, to try groups in order once more. Out of order trials are right, but slow."""
        keys = self._spill.keys()
        for key in [each for each in keys if each.startswith(_PREFIX)]:
            self._spill.drop(key)
        self._original = self._begun()

    def _begun(self) -> StagedRun:
        return StagedRun(self._groups.graph, self._samples, self._spill, _PREFIX, first=self._batches, optimise="all")

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
        squared, counts = np.zeros(len(self._outputs)), np.zeros(len(self._outputs))
        for found, reference in zip(self._changed(graph), self._reference, strict=True):
            for index, (name, wanted) in enumerate(zip(self._outputs, reference, strict=True)):
                counts[index] += wanted.size
                if name in found:
                    difference = found[name].astype(np.float64) - wanted.astype(np.float64)
                    squared[index] += float(np.square(difference).sum())
        error = float((squared / np.maximum(counts, 1) / self._powers).mean())
        return error if np.isfinite(error) else np.inf

    def _changed(self, graph: Graph) -> Iterator[Batch]:
        """The outputs that differ from the original's, batch by batch. What is the same is not computed again."""
        nodes = graph.nodes if self._whole else self._differing(graph)
        computed = {value.name for node in nodes for value in node.outputs}
        ends = [value for value in graph.outputs if value.name in self._outputs and value.name in computed]
        names = [value.name for value in ends]
        if not names:
            yield from ({} for _ in self._reference)
        elif self._whole:
            yield from self._results(graph, names)
        else:
            given = {value.name for node in nodes for value in node.inputs} - computed
            starts = [self._values[name] for name in sorted(given & self._values.keys())]
            self._original.reach(starts)
            yield from self._results(part(graph, nodes, ends), names)
            self._original.release(starts)

    def _results(self, graph: Graph, names: list[str]) -> Iterator[Batch]:
        session = Session(graph, names, optimise="all")
        for index in range(self._original.count):
            yield session.run(self._original.feeds(session, index))

    def _differing(self, graph: Graph) -> list[gs.Node]:
        """The nodes that do not compute the same values as in the original, in order."""
        found: list[gs.Node] = []
        differing: set[str] = set()
        for node in graph.nodes:
            first = next(value.name for value in node.outputs if value.name)
            twin = self._groups.graph.producer(self._values[first]) if first in self._values else None
            if twin is None or not _same(node, twin) or any(value.name in differing for value in node.inputs):
                found.append(node)
                differing.update(value.name for value in node.outputs if value.name)
        return found


def _same(node: gs.Node, twin: gs.Node) -> bool:
    """Whether two nodes, of a graph and a copy of it, are of one operator and read values of the same names."""
    read, wanted = ([value.name for value in each.inputs] for each in (node, twin))
    # Weights that are given to a node have a name of their own.
    return node.op == twin.op and read == wanted


def calibrated(group: Group, elimination: Elimination, trials: Trials, counts: Sequence[int]) -> Elimination:
    """The losses of an elimination in units of the model's output error, measured where `counts` atoms are left.

    Between them the ratio of the two is interpolated, in the logarithm. A count close to an earlier one is not tried:
    the ratio there is nearly the same.
    """
    size = group.size
    points: dict[int, float] = {}
    for count in counts:
        removed = size - min(max(count, 1), size)
        known = any(abs(removed - each) <= _NEAR * size for each in points)
        if removed and not known and elimination.losses[removed] > 0:
            error = trials.error(group, elimination, size - removed)
            points[removed] = float(np.log(max(error, 1e-12) / elimination.losses[removed]))
    if not points:
        return elimination
    at = sorted(points)
    factors = np.exp(np.interp(np.arange(size), at, [points[each] for each in at]))
    return Elimination(elimination.order, np.maximum.accumulate(elimination.losses * factors))
