"""Build what a training needs of two graphs, train, and write the weights back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch

from vggc.calibration.samples import Samples
from vggc.diagnostics import Code, fail
from vggc.diagnostics.number_text import counted
from vggc.execution.threads import thread_limit
from vggc.graph import Graph
from vggc.graph.arrays import Int64
from vggc.operators.roles import NORMS, RECURRENT, ROLES
from vggc.recovery.checkpoints import Checkpoints
from vggc.recovery.sample_store import SampleStore
from vggc.recovery.terms import Loss, Term, feature_terms, output_terms
from vggc.recovery.training import Settings, State, Trainer
from vggc.recovery.twin import Twin
from vggc.recovery.weights import Weight, trainable, write_back
from vggc.rewrite import Context, Declined

_PARTS = 16
"""Samples are divided into at least this many parts, a quarter of which is held back."""


@contextmanager
def _allowed_threads() -> Iterator[None]:
    """PyTorch uses as many threads in this block as `thread_limit` allows."""
    threads = torch.get_num_threads()
    if thread_limit() is not None:
        torch.set_num_threads(thread_limit())
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_allowed_threads()
def recover_weights(
    graph: Graph,
    original: Graph,
    context: Context,
    samples: Samples,
    *,
    kept: Mapping[str, Int64],
    loss: Loss,
    settings: Settings,
) -> None:
    """Train the weights of `graph` towards `original` on samples; nothing else of the graph changes.

    `kept` gives, by the name of a value, the positions of its channels among those of the original. Raises Declined
    when nothing can be trained, and CompileError when values are not finite on the samples.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights = trainable(graph)
    twin = Twin(graph, device=device, trained=[place for each in weights for place in each.ids])
    teacher = Twin(original, device=device)
    computed = twin.computed & teacher.computed
    terms = output_terms(graph, computed, loss)
    if settings.labels and not _has_classes(graph, terms, samples):
        raise fail(
            f"`labels` needs an output (samples, classes) with a class for each label of data `{samples.name}`",
            help="remove `labels`: the model as read says what the outputs should be",
            code=Code.RECOVER,
        )
    if settings.features:
        terms += feature_terms(graph, original, computed, kept, terms)
    weights = _reached(graph, context, weights, twin, terms)
    if not weights:
        raise Declined("no value that both models compute depends on weights that can be trained")
    judge, learn = samples.in_batches_of(max(1, samples.count // _PARTS)).apart()
    trainer = Trainer(
        twin,
        teacher,
        weights,
        terms,
        learn=SampleStore(learn),
        judge=SampleStore(judge),
        settings=settings,
        device=device,
    )
    checkpoints = Checkpoints(context, graph, original, samples, weights=weights, terms=terms, settings=settings)
    state = trainer.train(checkpoints.last(), context.progress, checkpoints.keep)
    if not math.isfinite(state.history[0]):
        raise fail(
            f"outputs have NaN or infinite numbers on the samples of data `{samples.name}`",
            help="look at the samples and at the model: vggc inspect, vggc diff",
            code=Code.NOT_FINITE_RESULT,
        )
    changed = write_back(graph, weights, trainer.best(state)) if state.best_epoch else 0
    if changed:
        context.record("train weights", changed)
    _report(context, state, learn.count, judge.count)


def _has_classes(graph: Graph, terms: Iterable[Term], samples: Samples) -> bool:
    """Whether the first output that has classes has one for each label."""
    name = next((each.name for each in terms if each.kind != "mean_squares"), None)
    value = next((each for node in graph.nodes for each in node.outputs if each.name == name), None)
    shape = None if value is None else graph.shape(value)
    assert samples.labels is not None
    if shape is None or len(shape) != 2 or not isinstance(shape[1], int):
        return False
    return int(samples.labels.min()) >= 0 and int(samples.labels.max()) < shape[1]


def _reached(graph: Graph, context: Context, weights: list[Weight], twin: Twin, terms: Iterable[Term]) -> list[Weight]:
    """The weights that a value which is compared depends on. Nodes whose weights stay as they are get a reason."""
    needed = {each.name for each in terms}
    used: set[int] = set()
    for node in reversed(graph.nodes):
        if id(node) not in twin.skipped and any(value.name in needed for value in node.outputs):
            used.add(id(node))
            needed |= {value.name for value in node.inputs}
    for node in graph.nodes:
        if node.op in ROLES.keys() | NORMS | RECURRENT and id(node) not in used:
            reason = twin.skipped.get(id(node), "no value that is compared depends on it")
            context.decline(node, f"its weights are not trained: {reason}")
    return [each for each in weights if any(place in used for place, _ in each.ids)]


def _report(context: Context, state: State, learn: int, judge: int) -> None:
    """Say what the training was, and what it has reached on the samples held back."""
    best = state.best_epoch
    agreement = (state.agreements[0], state.agreements[best])
    shares = "" if None in agreement else ", agreement {:.2%} -> {:.2%}".format(*agreement)
    context.note(
        f"trained {counted(state.epoch, 'epoch')} of {counted(learn, 'sample')} at the rate {state.rate:g}; "
        f"on {judge} held back, the loss is {state.history[0]:.4g} -> {state.history[best]:.4g}{shares}"
        + (f" (after epoch {best})" if 0 < best < state.epoch else "")
    )
    if best == 0:
        context.decline("recover", "no epoch was better on the samples held back than the weights it began with")
