"""What training compares: values of the graph that is trained, and the same values of the model as read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_graphsurgeon as gs
import torch
from torch.nn import functional as F

from vggc.execution.array_distance import has_fractions
from vggc.graph import Graph
from vggc.graph.arrays import Int64
from vggc.graph.domains import is_standard
from vggc.operators.roles import PRODUCTS
from vggc.recovery.operators.call import Tensor

Loss = Literal["auto", "kl", "mean_squares"]

_LEAST = 1e-12


@dataclass(frozen=True)
class Term:
    """A value that both models compute, and how far the two are apart.

    kind      `kl` for logits along `axis`, `kl_of_shares` for the results of a Softmax along it, else `mean_squares`
    kept      the channels of the original's value that the trained graph has left; None when it has all
    features  whether the value is inside of the model
    """

    name: str
    kind: Literal["kl", "kl_of_shares", "mean_squares"]
    axis: int = 1
    kept: tuple[int, ...] | None = None
    features: bool = False

    def wanted(self, expected: Tensor) -> Tensor:
        """The original's value with the channels that are left."""
        if self.kept is None:
            return expected
        return expected.index_select(1, torch.tensor(self.kept, device=expected.device))

    def loss(self, got: Tensor, expected: Tensor, spread: float) -> Tensor:
        """How far a batch is from what it should be, as a mean over its places; `spread` is the value's variance."""
        if self.kind == "mean_squares":
            return F.mse_loss(got, expected) / spread
        ours, theirs = self._logarithms(got), self._logarithms(expected)
        return (theirs.exp() * (theirs - ours)).sum(self.axis).mean()

    def pull(self, got: Tensor, expected: Tensor, spread: float) -> Tensor:
        """What training makes smaller: of logits, their squared differences as a share of their variance.

        These have more to say of classes with small shares than the divergence (Kim et al. 2021): after 16 epochs of a
        resnet20 with 35 % of its MACs, the divergence itself was 0.0273, and 0.0285 when it was made smaller directly.
        """
        return F.mse_loss(got, expected) / spread if self.kind == "kl" else self.loss(got, expected, spread)

    def cross_entropy(self, got: Tensor, labels: Tensor) -> Tensor:
        """How far a batch, (samples, classes), is from the class numbers of its samples."""
        return F.nll_loss(self._logarithms(got), labels)

    def _logarithms(self, value: Tensor) -> Tensor:
        """The logarithms of the classes' shares."""
        return torch.log_softmax(value, self.axis) if self.kind == "kl" else value.clamp(min=_LEAST).log()

    def agreement(self, got: Tensor, expected: Tensor) -> Tensor:
        """Where both choose the same class: (samples, *places) of booleans."""
        return got.argmax(self.axis) == expected.argmax(self.axis)


def output_terms(graph: Graph, computed: Collection[str], loss: Loss) -> list[Term]:
    """A term for each floating-point output, or for the values in front of it when the output is not `computed`.

    `computed` are the values that both models compute. Logits are outputs (samples, classes), and what a Softmax reads.
    """
    found: dict[str, Term] = {}
    waiting: list[gs.Tensor] = list(graph.outputs)
    seen: set[int] = set()
    while waiting:
        value = waiting.pop(0)
        if id(value) in seen or isinstance(value, gs.Constant) or not value.name:
            continue
        seen.add(id(value))
        dtype, producer = graph.dtype(value), graph.producer(value)
        if producer is None:
            continue
        if value.name in computed and dtype is not None and has_fractions(dtype):
            term = _term(graph, value, producer, computed, loss)
            found.setdefault(term.name, term)
        else:
            waiting += producer.inputs
    return list(found.values())


def _term(graph: Graph, value: gs.Tensor, producer: gs.Node, computed: Collection[str], loss: Loss) -> Term:
    if loss == "mean_squares":
        return Term(value.name, "mean_squares")
    shape = graph.shape(value)
    if producer.op in ("Softmax", "LogSoftmax") and is_standard(producer):
        axis = int(producer.attrs.get("axis", -1 if graph.opset >= 13 else 1))
        logits = producer.inputs[0]
        if logits.name in computed:
            return Term(logits.name, "kl", axis)
        return Term(value.name, "kl" if producer.op == "LogSoftmax" else "kl_of_shares", axis)
    if loss == "kl" or (shape is not None and len(shape) == 2 and shape[1] != 1):
        return Term(value.name, "kl")
    return Term(value.name, "mean_squares")


def feature_terms(
    graph: Graph, original: Graph, computed: Collection[str], kept: Mapping[str, Int64], outputs: Iterable[Term]
) -> list[Term]:
    """A term for each result of a product that is not an output: where both models have it in the same shape.

    `kept` has the channels that are left, by the name of the value, where pruning has removed some.
    """
    taken = {each.name for each in outputs}
    then = {value.name: value for node in original.nodes for value in node.outputs}
    found = []
    for node in graph.nodes:
        if node.op not in PRODUCTS or not is_standard(node):
            continue
        value = node.outputs[0]
        if value.name not in computed or value.name in taken or value.name not in then:
            continue
        now, before = graph.shape(value), original.shape(then[value.name])
        if now is None or before is None or len(now) != len(before) or len(now) < 2:
            continue
        channels = kept.get(value.name)
        if now[1] == (before[1] if channels is None else len(channels)):
            numbers = None if channels is None else tuple(np.asarray(channels).tolist())
            found.append(Term(value.name, "mean_squares", kept=numbers, features=True))
    return found
