"""How the loss against labels changes when channels are scaled down: the Taylor importance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vggc.analysis.channels import Group, Groups
from vggc.analysis.channels.masks import GATE, gated
from vggc.calibration.samples import Samples, floating_outputs, not_finite
from vggc.data import Batch
from vggc.diagnostics import Code, fail
from vggc.execution.session import Session
from vggc.graph.arrays import Array, Float64
from vggc.graph.signature import shape_text

_STEP = 0.02
"""How far a channel is scaled down."""

_WORK = 3e12
"""About how many MACs may go into it; the number of samples follows from it."""

_FEWEST, _MOST = 16, 256


class Losses:
    """The cross entropy between labels and the model's first output, whose logits (or probabilities) are in rows.

    Raises CompileError when the output has no row of class scores for each sample, a label is no class of the model,
    or the scores are not finite.
    """

    def __init__(self, groups: Groups, samples: Samples, chosen: Sequence[Group]) -> None:
        assert samples.labels is not None
        self._groups = groups
        names = floating_outputs(groups.graph)
        self._output = names[0] if names else groups.graph.outputs[0].name
        macs = groups.cost({}).macs or 1e9
        runs = sum(group.size for group in chosen)
        wanted = int(np.clip(_WORK / (macs * max(1, runs)), _FEWEST, _MOST))
        self._batches: list[tuple[Batch, Array]] = []
        at = 0
        for batch in samples:
            count = min(len(next(iter(batch.values()))), max(wanted - at, 1) if not samples.fixed else samples.size)
            self._batches.append(
                ({name: array[:count] for name, array in batch.items()}, samples.labels[at : at + count])
            )
            at += count
            if at >= wanted:
                break
        producer = groups.graph.producer(next(each for each in groups.graph.outputs if each.name == self._output))
        self._normal = producer is not None and producer.op == "Softmax"
        session = Session(groups.graph, [self._output], optimise="all")
        self._reference = [self._loss(session, batch, labels, samples.name) for batch, labels in self._batches]

    def taylor(self, group: Group) -> Float64:
        """For each atom, (size,), the mean square of the loss's derivative by a factor on it, as shares of their sum.

        This is the first-order change of the loss when the atom goes (Molchanov et al. 2019). The derivative is taken
        as a difference quotient: one run of the samples for each atom, which is slow for wide models.
        """
        session = Session(gated(self._groups, group), [self._output], optimise="all")
        total = np.zeros(group.size)
        for atom in range(group.size):
            gate = np.ones(group.size, np.float32)
            gate[atom] -= _STEP
            for (batch, labels), before in zip(self._batches, self._reference, strict=True):
                change = (self._loss(session, {**batch, GATE: gate}, labels, "") - before) / _STEP
                total[atom] += float(np.square(change).sum())
        return np.asarray(total / max(float(total.sum()), np.finfo(float).tiny))

    def _loss(self, session: Session, batch: Batch, labels: Array, data: str) -> Float64:
        """The loss of each sample."""
        found = session.run({each.name: batch[each.name] for each in session.inputs})[self._output]
        scores = found.astype(np.float64).reshape(len(found), -1) if found.ndim > 1 else np.zeros((0, 0))
        if len(scores) != len(labels) or scores.shape[1] != found.shape[1] or scores.shape[1] < 2:
            raise fail(
                f"importance=taylor needs one row of logits for each sample, but output `{self._output}` has shape "
                f"{shape_text(found.shape)} for {len(labels)}",
                help="choose another importance: obs needs no labels",
                code=Code.LABELS,
            )
        if not np.isfinite(scores).all():
            raise not_finite(f"output `{self._output}`", data)
        if labels.max() >= scores.shape[1]:
            raise fail(
                f"label {labels.max()} of data `{data}` is not a class of the model: output `{self._output}` has "
                f"{scores.shape[1]}, numbered from 0",
                code=Code.LABELS,
            )
        own = scores[np.arange(len(labels)), labels]
        if self._normal:
            return np.asarray(-np.log(np.maximum(own, 1e-12)))
        top = scores.max(axis=1)
        return np.asarray(top + np.log(np.exp(scores - top[:, None]).sum(axis=1)) - own)
