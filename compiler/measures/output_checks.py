"""Whether outputs can be measured: errors for measures, before anything runs and while they measure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vggc.data import Dataset, KnownData
from vggc.data.annotations import BOXES, MASKS
from vggc.diagnostics import Code, Diagnostic, spelling_help
from vggc.graph.arrays import Array, Size
from vggc.graph.signature import inputs_of, outputs_of, shape_text
from vggc.rewrite import Beforehand, Check


def check_output(options: Mapping[str, Any], beforehand: Beforehand) -> list[Diagnostic]:
    """An error when the model has no output of the name that is given."""
    graph, output = beforehand.as_read, options["output"]
    names = [] if graph is None else [str(value.name) for value in graph.outputs]
    return [no_output(output, names)] if names and output is not None and output not in names else []


def check_classes(options: Mapping[str, Any], beforehand: Beforehand) -> list[Diagnostic]:
    """Errors when the data has no labels, or the output has no row of logits with a place for each of them."""
    data, graph = options["data"], beforehand.as_read
    if data.unlabelled:
        return [no_labels(data)]
    if graph is None or (missing := check_output(options, beforehand)):
        return [] if graph is None else missing
    output = next(each for each in outputs_of(graph) if options["output"] in (None, each.name))
    batches = {each.shape[0] for each in inputs_of(graph) if each.shape}
    if output.shape is None or output.dtype.kind != "f":
        return []
    if _has_positions(output.shape, batches):
        return [not_rows(output.name, output.shape)]
    if len(output.shape) != 2 or not isinstance(output.shape[1], int):
        return []
    if output.shape[1] == 1:
        return [single_logit(output.name)]
    samples = data.samples
    if samples is not None and samples.classes and len(samples.classes) != output.shape[1]:
        return [other_classes(data.name, samples.classes, output.shape[1], output.name)]
    labels = None if samples is None else samples.labels
    wrong = None if labels is None else unknown_class(data.name, labels, 0, output.shape[1], output.name)
    return [wrong] if wrong else []


def check_extra(option: str) -> Check:
    """A check that the data has the array which an option names, and the model the output."""

    def check(options: Mapping[str, Any], beforehand: Beforehand) -> list[Diagnostic]:
        data, array = options["data"], options[option]
        problems = check_output(options, beforehand)
        samples = data.samples if isinstance(data, KnownData) else data
        if samples is not None and array is not None and array not in samples.extras:
            problems.append(no_array(samples, array, option))
        return problems

    return check


def no_array(data: Dataset, array: str, option: str) -> Diagnostic:
    """The error for data without an array that a measure needs."""
    if array in (MASKS, BOXES):
        help = 'images("FOLDER", masks="FOLDER")' if array == MASKS else 'images("FOLDER", boxes="instances.json")'
        help = f"say where they are: {help}; or give them as an array of a .npz file or of a loader"
    else:
        help = spelling_help(array, data.extras, "its arrays") or f"name it: {option}=..."
    return Diagnostic(f"data `{data.name}` has no array `{array}`", help=help, code=Code.NEEDS_ARRAY)


def no_output(output: str, names: Sequence[str]) -> Diagnostic:
    """The error for an output that the model does not have."""
    return Diagnostic(
        f"the model has no output `{output}`", help=spelling_help(output, names, "its outputs"), code=Code.MODEL_OUTPUT
    )


def no_labels(data: Dataset | KnownData) -> Diagnostic:
    """The error for data without labels."""
    facts = (("note", f"it is declared at {data.place}"),) if isinstance(data, KnownData) else ()
    return Diagnostic(
        f"data `{data.name}` has no labels to measure accuracy with",
        facts=facts,
        help=data.label_help,
        code=Code.NEEDS_LABELS,
    )


def not_rows(output: str, shape: Sequence[Size]) -> Diagnostic:
    """The error for an output with more than one row for each sample."""
    message = f"output `{output}` has shape {shape_text(shape)}: accuracy needs one row of logits for each sample"
    return Diagnostic(message, help="name the output with the logits: output=...", code=Code.MODEL_OUTPUT)


def single_logit(output: str) -> Diagnostic:
    """The error for an output with one number for each sample."""
    return Diagnostic(
        f"output `{output}` has a single logit for each sample: accuracy needs one for each class",
        code=Code.MODEL_OUTPUT,
    )


def unknown_class(data: str, labels: Array, first: int, classes: int, output: str) -> Diagnostic | None:
    """The error for the first label that is not a class; None when all are. `first` is the number of its sample."""
    if not len(labels) or labels.max() < classes:
        return None
    bad = int(np.argmax(labels >= classes))
    return Diagnostic(
        f"label {labels[bad]} of sample {first + bad} of data `{data}` is not a class of the model: "
        f"output `{output}` has {classes} classes, numbered from 0",
        code=Code.LABELS,
    )


def other_classes(data: str, names: Sequence[str], classes: int, output: str) -> Diagnostic:
    """The error for class folders that are not as many as the classes of the model, which shifts their numbers."""
    listed = ", ".join(f"`{each}`" for each in names[:3]) + (", ..." if len(names) > 3 else "")
    return Diagnostic(
        f"data `{data}` has {len(names)} class folders ({listed}), but output `{output}` has {classes} classes",
        facts=(
            ("note", "folders are numbered in sorted order, so that a missing or additional one shifts the others"),
        ),
        help='give the class numbers in a table: labels="classes.csv" with lines `file,class number`',
        code=Code.LABELS,
    )


def _has_positions(shape: Sequence[Size], batches: set[Size]) -> bool:
    """Whether an output of this shape surely has several positions for each sample, wherever the axis of samples is.

    [steps, samples, classes] with a single step is a row of logits, too.
    """
    if len(shape) < 3:
        return False
    samples_first = shape[0] in batches if isinstance(shape[0], str) else shape[0] is not None and shape[0] != 1
    sizes = [each for each in shape[2:] if isinstance(each, int)]
    return samples_first and len(sizes) == len(shape) - 2 and math.prod(sizes) > 1
