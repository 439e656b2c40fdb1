"""Measures of object detection: the mean average precision of COCO, by the library of its authors, pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import numpy as np

from vggc.data import Dataset
from vggc.data.annotations import BOXES, NOTHING
from vggc.diagnostics import Code, fail
from vggc.diagnostics.packages import DETECTION
from vggc.graph.arrays import Array, Float64
from vggc.graph.signature import shape_text
from vggc.measures.beside import beside
from vggc.measures.measure import measure
from vggc.measures.output_checks import check_extra
from vggc.measures.subject import Subject
from vggc.values import Ratio, Within

_MOST = 100
"""COCO counts the 100 best detections of an image."""

_CANDIDATES = 1000
"""The most boxes of an image that go into non-maximum suppression."""


class Found(NamedTuple):
    """The detections of one image: boxes (count, 4) left, top, right, bottom; scores (count,); classes (count,)."""

    boxes: Float64
    scores: Float64
    classes: Array


Overlap = Annotated[float, Within(0.0, 1.0)]


@measure(better="higher", check=check_extra("boxes"))
def map50(
    subject: Subject,
    data: Dataset,
    *,
    output: str | None = None,
    scores: str | None = None,
    classes: str | None = None,
    overlap: Overlap = 0.7,
    boxes: str = BOXES,
) -> Ratio:
    """The mean average precision over classes (COCO), where a box is right when it overlaps a true one by half.

    It reads these outputs: [samples, 4 + classes, places] of YOLO, with middles and sizes in pixels (duplicates are
    removed here); [samples, boxes, 6] with corners, score and class; three outputs with corners, scores and classes.

    Options:
        data: samples with the boxes of their objects: images(..., boxes="instances.json").
        output: the output with the boxes; the first by default.
        scores: the output with the score of each box, when it is a separate one.
        classes: the output with the class of each box, when it is a separate one.
        overlap: of YOLO boxes that overlap more than this (intersection over union), only the best is kept.
        boxes: the array with the true boxes.
    """
    return Ratio(_precisions(subject, data, Outputs(output, scores, classes, overlap), boxes)[0].mean())


@measure(better="higher", check=check_extra("boxes"))
def map50_95(
    subject: Subject,
    data: Dataset,
    *,
    output: str | None = None,
    scores: str | None = None,
    classes: str | None = None,
    overlap: Overlap = 0.7,
    boxes: str = BOXES,
) -> Ratio:
    """The mean average precision of COCO, in the mean of overlaps of 50, 55, ... 95 percent; outputs as for `map50`.

    Options:
        data: samples with the boxes of their objects: images(..., boxes="instances.json").
        output: the output with the boxes; the first by default.
        scores: the output with the score of each box, when it is a separate one.
        classes: the output with the class of each box, when it is a separate one.
        overlap: of YOLO boxes that overlap more than this (intersection over union), only the best is kept.
        boxes: the array with the true boxes.
    """
    return Ratio(_precisions(subject, data, Outputs(output, scores, classes, overlap), boxes).mean())


class Outputs(NamedTuple):
    """Where the detections of a model are."""

    boxes: str | None
    scores: str | None
    classes: str | None
    overlap: float


def _precisions(subject: Subject, data: Dataset, outputs: Outputs, boxes: str) -> Float64:
    """The precision by overlap, recall and class, (10, 101, classes); classes without true boxes are left out."""
    coco, evaluation = _pycocotools()
    truth: list[Array] = [each for piece in data.extra(boxes) for each in piece]
    found = list(_detections(subject, data, outputs))
    images = [{"id": number} for number in range(len(truth))]
    wanted = [row for number, rows in enumerate(truth) for row in _true_rows(number, rows)]
    if not wanted:
        raise fail(f"data `{data.name}` has no boxes in any of its images", code=Code.NEEDS_ARRAY)
    numbers = sorted({each["category_id"] for each in wanted} | {int(c) for each in found for c in each.classes})
    results = [row for number, each in enumerate(found) for row in _found_rows(number, each)]
    # The library prints what it does.
    with contextlib.redirect_stdout(io.StringIO()):
        true, guessed = coco(), coco()
        for dataset, rows in ((true, wanted), (guessed, results)):
            identified = [row | {"id": number} for number, row in enumerate(rows, 1)]
            dataset.dataset = {"images": images, "categories": [{"id": n} for n in numbers], "annotations": identified}
            dataset.createIndex()
        judged = evaluation(true, guessed, "bbox")
        judged.evaluate()
        judged.accumulate()
    # Axes of the library: overlap, recall, class, area (0: all), most detections (2: 100).
    precision: Float64 = judged.eval["precision"][:, :, :, 0, 2]
    return precision[:, :, (precision > -1).any(axis=(0, 1))]


def _pycocotools() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise fail(
            "mean average precision needs the package pycocotools, which is not installed",
            help=DETECTION.command,
            code=Code.MISSING_PACKAGE,
        ) from None
    return COCO, COCOeval


def _true_rows(image: int, rows: Array) -> Iterator[dict[str, Any]]:
    for left, top, right, bottom, label, *crowd in rows[rows[:, 4] != NOTHING].tolist():
        size = [right - left, bottom - top]
        area = size[0] * size[1]
        iscrowd = int(bool(crowd and crowd[0]))
        yield {
            "image_id": image,
            "category_id": int(label),
            "bbox": [left, top, *size],
            "area": area,
            "iscrowd": iscrowd,
        }


def _found_rows(image: int, found: Found) -> Iterator[dict[str, Any]]:
    best = np.argsort(-found.scores, kind="stable")[:_MOST]
    for (left, top, right, bottom), score, label in zip(
        found.boxes[best].tolist(), found.scores[best].tolist(), found.classes[best].tolist(), strict=True
    ):
        box = [left, top, right - left, bottom - top]
        yield {"image_id": image, "category_id": int(label), "bbox": box, "area": box[2] * box[3], "score": score}


def _detections(subject: Subject, data: Dataset, outputs: Outputs) -> Iterator[Found]:
    """What the model finds in each sample."""
    name = subject.output_name(outputs.boxes)
    if outputs.scores is not None and outputs.classes is not None:
        streams = beside(
            subject.outputs(data, name),
            _stacked(subject, data, subject.output_name(outputs.scores), subject.output_name(outputs.classes)),
        )
        for corners, rest in streams:
            for each, (score, label) in zip(corners.astype(np.float64), rest, strict=True):
                yield Found(each, score, label.astype(np.int64))
        return
    if outputs.scores is not None or outputs.classes is not None:
        raise fail(
            "`scores` and `classes` name two outputs of one model",
            help="give both of them, or none",
            code=Code.OPTION_CONFLICT,
        )
    for batch in subject.outputs(data, name):
        for each in batch.astype(np.float64):
            yield _of_one_output(each, name, outputs.overlap)


def _stacked(subject: Subject, data: Dataset, scores: str, classes: str) -> Iterator[Array]:
    """Scores and classes as one array (samples, 2, boxes)."""
    for one, other in beside(subject.outputs(data, scores), subject.outputs(data, classes)):
        rows = [each.reshape(len(each), -1).astype(np.float64) for each in (one, other)]
        yield np.stack(rows, axis=1)


def _of_one_output(rows: Float64, name: str, overlap: float) -> Found:
    if rows.ndim == 2 and rows.shape[1] == 6:
        # What fills up the list of boxes has the score 0.
        kept = rows[rows[:, 4] > 0]
        return Found(kept[:, :4], kept[:, 4], kept[:, 5].astype(np.int64))
    if rows.ndim == 2 and rows.shape[0] > 4 and rows.shape[1] > rows.shape[0]:
        return _of_yolo(rows, overlap)
    raise fail(
        f"output `{name}` has shape {shape_text(('samples', *rows.shape))}: map50 reads [samples, 4 + classes, places] "
        "of YOLO, or [samples, boxes, 6]",
        help='name the outputs: map50(test, output="boxes", scores="scores", classes="labels"); or write a measure',
        code=Code.MODEL_OUTPUT,
    )


def _of_yolo(rows: Float64, overlap: float) -> Found:
    """Detections of (4 + classes, places), where boxes are middle and size; duplicates of a class are removed."""
    best, labels = rows[4:].max(axis=0), rows[4:].argmax(axis=0)
    order = np.argsort(-best, kind="stable")[:_CANDIDATES]
    order = order[best[order] > 0.001]
    middle, half = rows[:2, order].T, rows[2:4, order].T / 2
    boxes = np.concatenate([middle - half, middle + half], axis=1)
    kept = suppressed(boxes, labels[order], overlap)
    return Found(boxes[kept], best[order][kept], labels[order][kept])


def suppressed(boxes: Float64, labels: Array, overlap: float) -> Array:
    """The numbers of the boxes (count, 4) that stay of each class; the best stand first (non-maximum suppression)."""
    kept: list[int] = []
    left = np.ones(len(boxes), bool)
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    for number in range(len(boxes)):
        if not left[number]:
            continue
        kept.append(number)
        corner = np.maximum(boxes[number, :2], boxes[:, :2]), np.minimum(boxes[number, 2:], boxes[:, 2:])
        common = np.prod(np.maximum(corner[1] - corner[0], 0), axis=1)
        union = np.maximum(areas[number] + areas - common, 1e-12)
        left &= (common / union <= overlap) | (labels != labels[number])
    return np.array(kept, np.int64)
