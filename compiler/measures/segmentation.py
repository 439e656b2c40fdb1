"""Measures of semantic segmentation: a class for each pixel."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from vggc.data import Dataset
from vggc.diagnostics import Code, fail
from vggc.graph.arrays import Array, Int64
from vggc.graph.signature import shape_text
from vggc.measures.beside import beside
from vggc.measures.measure import measure
from vggc.measures.output_checks import check_extra
from vggc.measures.subject import Subject
from vggc.values import Ratio, Within


@measure(better="higher", check=check_extra("masks"))
def mean_iou(
    subject: Subject,
    data: Dataset,
    *,
    output: str | None = None,
    masks: str = "masks",
    ignore: Annotated[int, Within(0, 65535)] = 255,
) -> Ratio:
    """The mean over classes of the intersection over union of predicted and true pixels, over all samples together.

    An output [samples, classes, height, width] gives the class with the largest value, an integer output
    [samples, height, width] the class itself. Classes that neither the masks nor the model have are left out.

    Options:
        data: samples with a class number for each pixel: images(..., masks="FOLDER"), or an array of a .npz file.
        output: the output with the classes of the pixels; the first by default.
        masks: the array with the masks.
        ignore: the class of pixels that do not count.
    """
    name = subject.output_name(output)
    counts = np.zeros((0, 0), np.int64)
    for scores, given in beside(subject.outputs(data, name), data.extra(masks)):
        found = _classes(scores, name)
        truth = given[:, 0] if given.ndim == 4 and given.shape[1] == 1 else given
        if found.shape != truth.shape:
            raise fail(
                f"output `{name}` gives classes of shape {shape_text(found.shape)}, but the masks have shape "
                f"{shape_text(truth.shape)}",
                help="the masks must have the size of the output: images(..., size=...), or resize them beforehand",
                code=Code.MODEL_OUTPUT,
            )
        counted = truth != ignore
        counts = _added(counts, truth[counted].astype(np.int64), found[counted])
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    if not union.any():
        raise fail(
            f"the masks of data `{data.name}` have only pixels of the class {ignore}, which do not count",
            code=Code.NEEDS_ARRAY,
        )
    shares = counts.diagonal()[union > 0] / union[union > 0]
    return Ratio(shares.mean())


def _classes(scores: Array, name: str) -> Int64:
    """The class of each pixel, (samples, height, width)."""
    if scores.dtype.kind in "iu" and scores.ndim == 4 and scores.shape[1] == 1:
        scores = scores[:, 0]
    if scores.dtype.kind in "iu" and scores.ndim == 3:
        return scores.astype(np.int64)
    if scores.ndim != 4 or scores.shape[1] < 2:
        help = "name the output with the classes of the pixels: output=..."
        raise fail(
            f"output `{name}` has shape {shape_text(scores.shape)}, not [samples, classes, height, width]",
            help=help,
            code=Code.MODEL_OUTPUT,
        )
    found: Int64 = scores.argmax(axis=1).astype(np.int64)
    return found


def _added(counts: Int64, truth: Int64, found: Int64) -> Int64:
    """The number of pixels by true and found class, (classes, classes), with more pixels added to it."""
    classes = int(max(len(counts), truth.max(initial=-1) + 1, found.max(initial=-1) + 1))
    grown = np.zeros((classes, classes), np.int64)
    grown[: len(counts), : len(counts)] = counts
    grown += np.bincount(truth * classes + found, minlength=classes * classes).reshape(classes, classes)
    return grown
