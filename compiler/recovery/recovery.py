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
from vggc.recovery.job import Job, as_files, reached, trainer_of, twin_of, used_nodes
from vggc.recovery.sample_store import SampleStore
from vggc.recovery.settings import Settings, State
from vggc.recovery.teacher import Teacher
from vggc.recovery.team import Team
from vggc.recovery.teams import team
from vggc.recovery.terms import Loss, Term, feature_terms, output_terms
from vggc.recovery.twin import Twin
from vggc.recovery.weights import trainable, write_back
from vggc.rewrite import Context, Declined

_PARTS = 8
"""One of so many parts of the samples is held back."""


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
    when nothing can be trained, and CompileError when values are not finite on the samples, or when one of several
    processes ends.
    """
    with team() as processes, _allowed_threads():
        _recover(graph, original, context, samples, kept=kept, loss=loss, settings=settings, team=processes)


def _recover(
    graph: Graph,
    original: Graph,
    context: Context,
    samples: Samples,
    *,
    kept: Mapping[str, Int64],
    loss: Loss,
    settings: Settings,
    team: Team,
) -> None:
    weights = trainable(graph, statistics=any(settings.statistics))
    twin = twin_of(graph, weights, settings, team)
    teacher = Teacher(original, team.device)
    computed = twin.computed & set(teacher.computed)
    terms = output_terms(graph, computed, loss)
    _check(graph, terms, samples, settings)
    if settings.features:
        terms += feature_terms(graph, original, computed, kept, terms)
    weights = reached(graph, weights, twin, terms)
    _name_untrained(graph, context, twin, terms)
    if not weights:
        raise Declined("no value that both models compute depends on weights that can be trained")
    judge, learn = samples.in_batches_of(max(1, samples.count // (2 * _PARTS))).apart(_PARTS)
    checkpoints = Checkpoints(context, graph, original, samples, weights=weights, terms=terms, settings=settings)
    alone = team.size == 1
    job = Job(
        {} if alone else as_files(graph),
        {} if alone else as_files(original),
        SampleStore(learn),
        SampleStore(judge),
        terms,
        settings,
        checkpoints.last(),
    )
    team.first(job)
    trainer = trainer_of(job, twin, teacher, weights, team)
    state = trainer.train(job.state, context.progress, checkpoints.keep)
    if not math.isfinite(state.losses[0]):
        raise fail(
            f"outputs have NaN or infinite numbers on the samples of data `{samples.name}`",
            help="look at the samples and at the model: vggc inspect, vggc diff",
            code=Code.NOT_FINITE_RESULT,
        )
    changed = write_back(graph, weights, trainer.best(state)) if state.is_better else 0
    if changed:
        context.record("train weights", changed)
    _report(context, state, learn.count, judge.count)


def _check(graph: Graph, terms: Iterable[Term], samples: Samples, settings: Settings) -> None:
    """Raises CompileError for options that need classes which the model does not have."""
    if settings.labels and not _has_classes(graph, terms, samples):
        raise fail(
            f"`labels` needs an output (samples, classes) with a class for each label of data `{samples.name}`",
            help="remove `labels`: the model as read says what the outputs should be",
            code=Code.RECOVER,
        )
    if settings.until is not None and all(each.kind == "mean_squares" for each in terms):
        raise fail(
            "`until` needs an output with classes, which the model does not have",
            help="write `epochs` or `minutes` instead",
            code=Code.RECOVER,
        )


def _has_classes(graph: Graph, terms: Iterable[Term], samples: Samples) -> bool:
    """Whether the first output that has classes has one for each label."""
    name = next((each.name for each in terms if each.kind != "mean_squares"), None)
    value = next((each for node in graph.nodes for each in node.outputs if each.name == name), None)
    shape = None if value is None else graph.shape(value)
    assert samples.labels is not None
    if shape is None or len(shape) != 2 or not isinstance(shape[1], int):
        return False
    return int(samples.labels.min()) >= 0 and int(samples.labels.max()) < shape[1]


def _name_untrained(graph: Graph, context: Context, twin: Twin, terms: list[Term]) -> None:
    """Report the nodes whose weights stay as they are, and why."""
    used = used_nodes(graph, twin, terms)
    for node in graph.nodes:
        if node.op in ROLES.keys() | NORMS | RECURRENT and id(node) not in used:
            reason = twin.skipped.get(id(node), "no value that is compared depends on it")
            context.decline(node, f"its weights are not trained: {reason}")


def _report(context: Context, state: State, learn: int, judge: int) -> None:
    """Say what the training was, and what it has reached on the samples held back."""
    agreement = (state.agreements[0], state.best_agreement)
    shares = "" if None in agreement else ", agreement {:.2%} -> {:.2%}".format(*agreement)
    context.note(
        f"trained {counted(state.epoch, 'epoch')} of {counted(learn, 'sample')} at the rate {state.rate:g}"
        + (", with the statistics of batches; " if state.statistics else "; ")
        + f"on {judge} held back, the loss is {state.losses[0]:.4g} -> {state.least:.4g}{shares}"
        + (f" (after {_when(state.best_epoch)})" if state.is_better and state.best_epoch < state.epoch else "")
    )
    if state.given_up:
        context.note(
            f"a training with the statistics of batches was given up after {counted(state.given_up, 'epoch')}: it had "
            "made the loss larger; the rest was done with the statistics that there were"
        )
    if state.trials:
        tried = (
            f"{each.rate:g}{' with the statistics of batches' if each.statistics else ''} {each.loss:.3g}"
            for each in state.trials
        )
        context.note(f"rates that were tried, and the loss after each: {'; '.join(tried)}")
    if not state.is_better:
        context.decline("recover", "no epoch was better on the samples held back than the weights it began with")


def _when(epoch: int) -> str:
    return f"epoch {epoch}" if epoch else "a trial"
