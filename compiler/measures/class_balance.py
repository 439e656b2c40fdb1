"""The F1 score of a classifier, which counts rare classes as much as frequent ones."""

from __future__ import annotations

from typing import Literal

import numpy as np

from vggc.data import Dataset
from vggc.measures.measure import measure
from vggc.measures.output_checks import check_classes
from vggc.measures.outputs import predicted_classes
from vggc.measures.subject import Subject
from vggc.values import Ratio


@measure(better="higher", check=check_classes)
def f1(
    subject: Subject,
    data: Dataset,
    *,
    output: str | None = None,
    average: Literal["macro", "micro", "weighted"] = "macro",
) -> Ratio:
    """The F1 score, the harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn).

    Classes that neither the labels nor the model have are left out.

    Options:
        data: samples with class numbers.
        output: the output with the logits; the first by default.
        average: macro takes the mean over classes, weighted the mean with the number of their samples as weights, and
            micro the score of all samples together, which is the accuracy.
    """
    labels, found = predicted_classes(subject, data, output)
    classes = int(max(labels.max(), found.max())) + 1
    right = np.bincount(labels[labels == found], minlength=classes)
    true, predicted = np.bincount(labels, minlength=classes), np.bincount(found, minlength=classes)
    if average == "micro":
        return Ratio(right.sum() / len(labels))
    present = true + predicted > 0
    scores = 2 * right[present] / (true + predicted)[present]
    return Ratio(np.average(scores, weights=true[present] if average == "weighted" else None))
