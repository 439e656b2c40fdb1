"""Measures of a model's outputs: compared with labels, and compared with the outputs of the model as read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from vggc.data import Dataset
from vggc.diagnostics import Code, CompileError, fail
from vggc.execution.array_distance import same_class, searchable
from vggc.graph.arrays import Array, Int64
from vggc.graph.signature import shape_text
from vggc.measures.beside import beside
from vggc.measures.measure import measure
from vggc.measures.output_checks import (
    check_classes,
    check_output,
    no_labels,
    not_rows,
    single_logit,
    unknown_class,
)
from vggc.measures.subject import Subject
from vggc.values import Ratio


@measure(better="higher", check=check_classes)
def accuracy(subject: Subject, data: Dataset, *, output: str | None = None) -> Ratio:
    """The share of samples whose largest logit is that of their class (top-1).

    A sample with NaN among its logits counts as wrong. An output with one integer for each sample is the class itself.

    Options:
        data: samples with class numbers.
        output: the output with the logits; the first by default.
    """
    return _share_right(subject, data, output, 1)


@measure(better="higher", check=check_classes)
def top5(subject: Subject, data: Dataset, *, output: str | None = None) -> Ratio:
    """The share of samples whose class is among their five largest logits.

    Options:
        data: samples with class numbers.
        output: the output with the logits; the first by default.
    """
    return _share_right(subject, data, output, 5)


def _share_right(subject: Subject, data: Dataset, output: str | None, places: int) -> Ratio:
    if data.labels is None:
        raise CompileError(no_labels(data))
    name = subject.output_name(output)
    return share_right(subject.outputs(data, name), data.labels, data.name, name, places=places)


def share_right(batches: Iterable[Array], classes: Int64, data: str, name: str, *, places: int = 1) -> Ratio:
    """The share of rows of logits with the row's class among the first `places`; of data and an output by their names.

    Raises CompileError when the output does not choose a class, or does not have one of the classes.
    """
    right = at = 0
    for logits in batches:
        labels = classes[at : at + len(logits)]
        scores = _scores(logits, name)
        if scores.ndim == 1:
            if places > 1:
                raise fail(
                    f"output `{name}` has one class for each sample, but top5 needs the scores of all classes",
                    code=Code.MODEL_OUTPUT,
                )
            right += int(np.count_nonzero(scores == labels))
        else:
            if wrong := unknown_class(data, labels, at, scores.shape[1], name):
                raise CompileError(wrong)
            right += int(np.count_nonzero(_rank(scores, labels) < places))
        at += len(logits)
    return Ratio(right / at)


def predicted_classes(subject: Subject, data: Dataset, output: str | None) -> tuple[Int64, Int64]:
    """The class of each sample and the class that the model gives it, (samples,) each.

    A row with NaN among its logits gets a class that the model does not have. Raises CompileError as `accuracy` does.
    """
    if data.labels is None:
        raise CompileError(no_labels(data))
    name = subject.output_name(output)
    found: list[Array] = []
    at = 0
    for logits in subject.outputs(data, name):
        scores = _scores(logits, name)
        if scores.ndim > 1 and (wrong := unknown_class(data.name, data.labels[at:], at, scores.shape[1], name)):
            raise CompileError(wrong)
        if scores.ndim > 1:
            scores = np.where(np.isnan(scores).any(axis=1), scores.shape[1], scores.argmax(axis=1))
        found.append(scores)
        at += len(scores)
    return data.labels, np.concatenate(found).astype(np.int64)


def _scores(logits: Array, name: str) -> Array:
    """One row of logits for each sample, or one class for each sample."""
    logits = searchable(logits)
    flat = logits.reshape(logits.shape[:2]) if logits.ndim > 2 and math.prod(logits.shape[2:]) == 1 else logits
    integer = flat.dtype.kind in "iu"
    if integer and math.prod(flat.shape[1:]) == 1:
        return flat.reshape(-1)
    if flat.ndim != 2 or flat.dtype.kind not in "fiu":
        raise CompileError(not_rows(name, logits.shape))
    if flat.shape[1] == 1:
        raise CompileError(single_logit(name))
    return flat


def _rank(scores: Array, labels: Array) -> Array:
    """The number of classes before the right one: those with a larger score, or an equal score and a smaller number."""
    own = scores[np.arange(len(scores)), labels][:, None]
    earlier = np.arange(scores.shape[1])[None] < labels[:, None]
    ahead: Array = np.count_nonzero((scores > own) | ((scores == own) & earlier), axis=1)
    # No number is larger than NaN, so without this the right class of a row with NaN would come first.
    ahead[np.isnan(scores).any(axis=1)] = np.iinfo(ahead.dtype).max
    return ahead


@measure(better="higher", check=check_output)
def agreement(subject: Subject, data: Dataset, *, output: str | None = None) -> Ratio:
    """The share of samples for which the model and the model as read choose the same class (top-1 agreement).

    For an output with more than two dimensions, the share of positions; its second axis is the axis of classes. NaN
    agrees with nothing.

    Options:
        data: samples; labels are not needed.
        output: the output with the logits; the first by default.
    """
    same = total = 0
    for now, then in _pairs(subject, data, output):
        agree = same_class(now, then)
        same += int(np.count_nonzero(agree))
        total += agree.size
    return Ratio(same / total)


@measure(better="higher", check=check_output)
def cosine(subject: Subject, data: Dataset, *, output: str | None = None) -> float:
    """The mean over samples of the cosine between the model's output and that of the model as read.

    The cosine is 1 when both outputs are zero, and 0 when one is.

    Options:
        data: samples; labels are not needed.
        output: the output to compare; the first by default.
    """
    total = 0.0
    for now, then in _pairs(subject, data, output):
        new, old = _rows(now), _rows(then)
        lengths = np.linalg.norm(new, axis=1) * np.linalg.norm(old, axis=1)
        both_zero = ~new.any(axis=1) & ~old.any(axis=1)
        products = np.einsum("ij,ij->i", new, old)
        total += float(np.where(both_zero, 1.0, products / np.where(lengths == 0, 1.0, lengths)).sum())
    return total / len(data)


@measure(better="lower", check=check_output)
def max_abs_error(subject: Subject, data: Dataset, *, output: str | None = None) -> float:
    """The largest difference between an output of the model and the same output of the model as read.

    It is infinite when only one of the outputs has NaN or infinity at a position.

    Options:
        data: samples; labels are not needed.
        output: the output to compare; the first by default.
    """
    largest = 0.0
    for now, then in _pairs(subject, data, output):
        new, old = _rows(now), _rows(then)
        same = (new == old) | (np.isnan(new) & np.isnan(old))
        if not (np.isfinite(new) & np.isfinite(old) | same).all():
            return math.inf
        largest = max(largest, float(np.abs(np.where(same, 0, new) - np.where(same, 0, old)).max(initial=0.0)))
    return largest


@measure(better="higher", unit="dB", check=check_output)
def sqnr(subject: Subject, data: Dataset, *, output: str | None = None) -> float:
    """The signal-to-noise ratio of an output in dB: 10 log10(sum a² / sum (a-b)²), where a is from the model as read.

    It is infinite when nothing differs.

    Options:
        data: samples; labels are not needed.
        output: the output to compare; the first by default.
    """
    signal = noise = 0.0
    for now, then in _pairs(subject, data, output):
        new, old = _rows(now), _rows(then)
        signal += float(np.square(old).sum())
        noise += float(np.square(new - old).sum())
    if noise == 0:
        return math.inf
    return -math.inf if signal == 0 else 10 * math.log10(signal / noise)


def _rows(array: Array) -> Array:
    return array.reshape(len(array), -1).astype(np.float64)


def _pairs(subject: Subject, data: Dataset, output: str | None) -> Iterator[tuple[Array, Array]]:
    """The output of the model and of the model as read, in pairs of batches with the same samples."""
    name = subject.output_name(output)
    for new, old in beside(subject.outputs(data, name), subject.original.outputs(data, name)):
        if new.shape[1:] != old.shape[1:]:
            raise fail(
                f"output `{name}` has shape {shape_text(new.shape)}, but {shape_text(old.shape)} in the model as read",
                code=Code.MODEL_OUTPUT,
            )
        yield new, old
