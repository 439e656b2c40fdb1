"""Measures of models that read text, trained with CTC: the output has a character or a blank for each time step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np

from vggc.data import Dataset
from vggc.diagnostics import Code, fail
from vggc.graph.arrays import Array
from vggc.graph.signature import shape_text
from vggc.measures.beside import beside
from vggc.measures.measure import measure
from vggc.measures.output_checks import check_extra
from vggc.measures.subject import Subject
from vggc.values import Ratio, Within

Blank = Annotated[int, Within(0, 1 << 20)]


@measure(better="higher", check=check_extra("texts"))
def word_accuracy(
    subject: Subject,
    data: Dataset,
    *,
    alphabet: str,
    texts: str = "texts",
    blank: Blank = 0,
    output: str | None = None,
) -> Ratio:
    """The share of samples whose text is read without a mistake, by greedy CTC decoding.

    Options:
        data: samples with the text of each, an array of strings.
        alphabet: the characters in the order of the output's classes, without the blank.
        texts: the array with the texts.
        blank: the class of the blank.
        output: the output with a row of logits for each time step; the first by default.
    """
    right = [read == text for read, text in _read(subject, data, texts, output, alphabet=alphabet, blank=blank)]
    return Ratio(np.mean(right))


@measure(better="higher", check=check_extra("texts"))
def character_accuracy(
    subject: Subject,
    data: Dataset,
    *,
    alphabet: str,
    texts: str = "texts",
    blank: Blank = 0,
    output: str | None = None,
) -> Ratio:
    """One minus the character error rate, the edits that make the texts read of the true ones, by their characters.

    Options:
        data: samples with the text of each, an array of strings.
        alphabet: the characters in the order of the output's classes, without the blank.
        texts: the array with the texts.
        blank: the class of the blank.
        output: the output with a row of logits for each time step; the first by default.
    """
    edits = characters = 0
    for read, text in _read(subject, data, texts, output, alphabet=alphabet, blank=blank):
        edits += edit_distance(read, text)
        characters += len(text)
    if not characters:
        raise fail(f"the texts of data `{data.name}` are all empty", code=Code.NEEDS_ARRAY)
    return Ratio(max(0.0, 1 - edits / characters))


def _read(
    subject: Subject, data: Dataset, texts: str, output: str | None, *, alphabet: str, blank: int
) -> Iterator[tuple[str, str]]:
    """The text that the model reads in each sample, and the true one."""
    if len(set(alphabet)) != len(alphabet) or not alphabet:
        raise fail(
            "`alphabet` must have each character once",
            help="in the order of the output's classes",
            code=Code.OPTION_LIMITS,
        )
    if blank > len(alphabet):
        raise fail(
            f"the blank is class {blank}, but an alphabet of {len(alphabet)} has classes 0 to {len(alphabet)}",
            code=Code.OPTION_LIMITS,
        )
    name = subject.output_name(output)
    characters = [*alphabet[:blank], "", *alphabet[blank:]]
    for scores, true in beside(subject.outputs(data, name), data.extra(texts)):
        for steps, text in zip(_steps(scores, len(characters), name), true.reshape(-1), strict=True):
            # The same class in steps behind each other is one character, unless a blank stands between.
            new = np.concatenate([[True], steps[1:] != steps[:-1]])
            yield "".join(characters[each] for each in steps[new]), _text(text)


def _steps(scores: Array, classes: int, name: str) -> Array:
    """The class of each time step, (samples, steps), from scores with the classes on the second or third axis."""
    if scores.dtype.kind in "iu" and scores.ndim == 2:
        return scores
    if scores.ndim == 4 and scores.shape[2] == 1:
        scores = scores[:, :, 0]
    axes = [axis for axis in (2, 1) if scores.ndim == 3 and scores.shape[axis] == classes]
    if not axes:
        shape = shape_text(scores.shape)
        message = f"output `{name}` has shape {shape}, but the alphabet and a blank are {classes} classes"
        help = "compare `alphabet` with that of training, or name the output with the logits: output=..."
        raise fail(message, help=help, code=Code.MODEL_OUTPUT)
    found: Array = scores.argmax(axis=axes[0])
    return found


def _text(given: object) -> str:
    return given.decode() if isinstance(given, bytes) else str(given)


def edit_distance(one: str, other: str) -> int:
    """The least number of characters to insert, remove or replace to make one text of the other (Levenshtein)."""
    row = list(range(len(other) + 1))
    for number, character in enumerate(one, 1):
        before, row[0] = row[0], number
        for at, its in enumerate(other, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (character != its))
    return row[-1]
