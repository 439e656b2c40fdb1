"""Repair of a pruned model: each node's weights solved anew so that its results are the original's again.

Nodes are taken in the order of the graph. The inputs of a node are those it has in the pruned model, whose nodes before
it have been repaired already; the results wanted are those of the original, so that errors do not add up from node to
node. Where a residual sum follows, the sum is what is wanted: the other branch's error is made good as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.affine import Affine
from vggc.calibration.batch_rows import BatchRows, gathered
from vggc.calibration.epilogue import Epilogue, epilogue
from vggc.calibration.least_squares import solve
from vggc.calibration.matrix import WIDEST, AsMatrix, Unsuitable
from vggc.calibration.node_matrices import as_matrix
from vggc.calibration.row_choice import choose_rows, enough_rows
from vggc.calibration.samples import Samples, not_finite
from vggc.calibration.spill import Spill
from vggc.calibration.staged_run import StagedRun
from vggc.execution.products import small_products
from vggc.execution.threads import ahead, background
from vggc.graph import Graph
from vggc.graph.arrays import Array, Floats, Int64
from vggc.graph.extras import node_extras
from vggc.operators.roles import RECURRENT
from vggc.pruning.provenance import SPARSITY
from vggc.pruning.schedule import Schedule
from vggc.pruning.sparsity import Thinning
from vggc.pruning.statistics import measure, re_estimate, shift
from vggc.rewrite import Context

Mode = Literal["bias", "least_squares"]
_WIDE_ROWS = 4096
"""About how many rows of a node are looked at, over all samples, where rows are longer than WIDEST."""

_FEWEST_SAMPLES = 64
"""Samples that every node is repaired with."""

_ROWS_PER_SAMPLE = (32, 256)
_SHARE_PER_SAMPLE = 16
"""How many rows one sample gives at least and at most, and between these one of so many.

A node with large images gets its rows from fewer samples, for their positions say nearly the same.
"""

_CACHE = 512 << 20
"""Bytes of rows that are kept between the rounds of one node instead of being cut out anew."""


@dataclass(frozen=True)
class Repaired:
    """A node that has been looked at: the squared error left, as share of the variance, and the ridge.

    Without a ridge its weights gave the right results already; without an error, only its means have been made right.
    """

    name: str
    error: float | None = None
    ridge: float | None = None


def repair(
    graph: Graph,
    original: Graph,
    context: Context,
    kept: Mapping[str, Int64],
    samples: Samples,
    *,
    mode: Mode = "least_squares",
    only_changed: bool = True,
    thinning: Mapping[str, Thinning] | None = None,
    seed: int = 0,
) -> list[Repaired]:
    """Solve the weights of `graph` so that its nodes compute again what those of `original` do.

    What a node should compute is the value of its output's name in the original, or that of the last value before its
    activation. `kept` gives by the former name the positions, (channels left,), of the output channels of the original
    that are left, where some are lost.
    With `only_changed`, nodes that read exactly what the original reads stay as they are. Mode `bias` keeps the weights
    and makes the mean of each channel right. With `thinning` only the nodes are solved that it names, by their first
    output, and get the zeros it asks for.

    Raises CompileError when a value of the original is NaN or infinite on the samples.
    """
    everything = not only_changed or thinning is not None
    schedule = Schedule(
        graph,
        original,
        everything=everything,
        wanted=lambda node: thinning is None or node.outputs[0].name in thinning,
    )
    repaired = []
    with Spill() as spill, small_products(), background("original") as beside:
        first = -(-_FEWEST_SAMPLES // samples.size)
        walks = (
            StagedRun(original, samples, spill, "original:", first=first, optimise="all", beside=beside),
            StagedRun(graph, samples, spill, "pruned:", first=first, optimise="all"),
        )
        for index, node in enumerate(schedule.nodes):
            context.progress("solve weights", index, len(schedule.nodes))
            try:
                task = _Task(node, schedule, walks, context, kept, seed=seed + index)
                task.thinning = (thinning or {}).get(node.outputs[0].name)
                repaired.append(task.run(mode))
            except Unsuitable as reason:
                context.decline(node, f"its weights are not solved: {reason}")
            schedule.finish(node)
    return repaired


def record(context: Context, done: Iterable[Repaired]) -> None:
    """Count for the report what has been done to nodes, and keep the errors that are left."""
    found = list(done)
    context.log.repaired.update({each.name: each.error for each in found if each.error is not None})
    solved = sum(each.ridge is not None for each in found)
    corrected = sum(each.error is None for each in found)
    for what, count in (("solve weights", solved), ("correct statistics", corrected)):
        if count:
            context.record(what, count)


class _Task:
    """One node, with what its results should be and the rows it has to make them of."""

    def __init__(
        self,
        node: gs.Node,
        schedule: Schedule,
        walks: tuple[StagedRun, StagedRun],
        context: Context,
        kept: Mapping[str, Int64],
        *,
        seed: int,
    ) -> None:
        self.node = node
        self.schedule = schedule
        self.original, self.pruned = walks
        self.context = context
        self.kept = kept.get(node.outputs[0].name)
        self.seed = seed
        self.thinning: Thinning | None = None
        self.own = as_matrix(self.pruned.graph, node)
        if len(self.pruned.graph.readers(self.own.weight)) > 1:
            raise Unsuitable("other nodes read the same weights")
        if SPARSITY in node_extras(node).metadata:
            raise Unsuitable("its zeros must stay")
        self.twin = self._recurrent_twin()

    def run(self, mode: Mode) -> Repaired:
        """Solve the node, or, where its inputs say too little for that, make its means right."""
        try:
            return self._run(mode)
        except Unsuitable as reason:
            if mode == "bias":
                raise
            found = self._run("bias")
            self.context.decline(self.node, f"only its means are corrected: {reason}")
            return found

    def _run(self, mode: Mode) -> Repaired:
        graph, own = self.pruned.graph, self.own
        if mode == "bias" or self.twin is not None:
            behind = Epilogue(self.node.outputs[0], Affine.identity(own.blocks * own.outputs))
        else:
            behind = epilogue(graph, self.node, ready=self.schedule.is_ready)
        end = self.schedule.values.get(behind.end.name) if self.twin is None else self.twin.data
        if end is None:
            raise Unsuitable(f"the original has no value `{behind.end.name}`")
        name = self.node.name or self.node.outputs[0].name
        here = [own.data] if behind.other is None else [own.data, behind.other]
        self.original.reach([end])
        self.pruned.reach(here)
        try:
            self._widen(end)
            self.original.begin(self.schedule.expected(self.node))
            cut = _Cut(self, behind, end)
            if mode == "least_squares":
                return _solved(cut, name, self.thinning)
            re_estimate(graph, own, measure(cut.row_batches, own))
            return Repaired(name)
        finally:
            self.original.release([end])
            self.pruned.release(here)

    def _recurrent_twin(self) -> AsMatrix | None:
        """Of a recurrent operator, that of the original: its weights and inputs say what the results should be."""
        if self.node.op not in RECURRENT:
            return None
        twin = self.schedule.twin(self.node)
        if twin is None:
            raise Unsuitable(f"the original has no value `{self.node.outputs[0].name}`")
        return as_matrix(self.original.graph, twin)

    def _widen(self, end: gs.Tensor) -> None:
        """Have as many samples as the node needs for its rows; many more at once, for each time costs a run."""
        samples = self.original.samples
        shapes = self.pruned.array(self.own.data, 0).shape, self.original.array(end, 0).shape
        positions = self.own.count(*shapes) // samples.size
        each = int(np.clip(positions // _SHARE_PER_SAMPLE, *_ROWS_PER_SAMPLE))
        needed = -(-_rows_wanted(self.own) // (min(each, max(positions, 1)) * samples.size))
        if needed > self.original.count:
            for walk in (self.original, self.pruned):
                walk.widen(max(needed, 2 * walk.count))


def _rows_wanted(own: AsMatrix) -> int:
    return enough_rows(own.width, own.blocks) if own.width <= WIDEST else _WIDE_ROWS


def _solved(cut: _Cut, name: str, thinning: Thinning | None) -> Repaired:
    own, affine = cut.own, cut.behind.affine
    scale = affine.scale.reshape(own.blocks, 1, own.outputs)
    # In place where that is possible: the weights of a wide layer take hundreds of megabytes.
    prior = own.matrix()
    prior *= scale
    found = solve(cut.row_batches, prior, own.bias() * affine.scale + affine.shift, cut.behind.gate)
    del prior
    if found.ridge is None and thinning is None:
        return Repaired(name, found.error)
    # A channel that a batch norm multiplies by zero keeps what it has: nothing of it is seen.
    seen = np.abs(affine.scale) > np.finfo(np.float32).tiny
    divisor = np.where(seen, affine.scale, 1.0)
    weights, bias = found.weights, (found.bias - affine.shift) / divisor
    weights /= divisor.reshape(scale.shape)
    if not seen.all():
        weights = np.where(seen.reshape(scale.shape), weights, own.matrix())
        bias = np.where(seen, bias, own.bias())
    if thinning is not None:
        weights, bias = thinning.solve(cut.row_batches, own, weights, bias)
    own.store_matrix(weights)
    shift(own.graph, own, bias)
    return Repaired(name, found.error, found.ridge)


class _Cut:
    """The rows of one node, cut out of the values of both models."""

    def __init__(self, task: _Task, behind: Epilogue, end: gs.Tensor) -> None:
        self.own = task.own
        self.behind = behind
        self._end = end
        self._kept = task.kept
        self._results = task.own if task.twin is None else task.twin
        self._original, self._pruned = task.original, task.pruned
        self._seed = task.seed
        self._cached: list[BatchRows] = []
        self._complete = False

    def row_batches(self) -> Iterator[BatchRows]:
        """The same batches each time."""
        if self._complete:
            yield from self._cached
            return
        size = 0
        self._cached = []
        for batch in ahead("rows", gathered(self._batches())):
            size += batch.inputs.nbytes
            if size <= _CACHE:
                self._cached.append(batch)
            yield batch
        self._complete = size <= _CACHE
        if not self._complete:
            self._cached = []

    def _batches(self) -> Iterator[BatchRows]:
        random = np.random.default_rng(self._seed)
        for index in range(self._original.count):
            yield self._batch(index, self._original.count, random)

    def _batch(self, index: int, batches: int, random: np.random.Generator) -> BatchRows:
        target = self._original.array(self._end, index)
        if not np.isfinite(target).all():
            raise not_finite(f"`{self._end.name}`", self._original.samples.name)
        x = self._pruned.array(self.own.data, index)
        chosen = choose_rows(self.own.count(x.shape, target.shape), _rows_wanted(self.own), batches, random)
        inputs = self.own.rows(x, target.shape, chosen)
        other = self.behind.other
        offset: Floats | None = None
        if other is not None:
            offset = self.own.results(self._pruned.array(other, index), chosen)
        return BatchRows(inputs, offset, self._wanted(target, chosen))

    def _wanted(self, target: Array, chosen: Int64 | None) -> Floats:
        """The original's results of the channels that are left."""
        found = self._results.results(target, chosen)
        full, own = found.shape[1], self.own.blocks * self.own.outputs
        if (full != own) if self._kept is None else (len(self._kept) != own or int(max(self._kept)) >= full):
            raise Unsuitable(f"`{self._end.name}` has {full} channels in the original, and which of them is not known")
        return found if self._kept is None else found[:, self._kept]
