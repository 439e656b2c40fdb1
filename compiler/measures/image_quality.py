"""Measures of models whose output is an image: super-resolution, denoising, compression."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import numpy as np

from vggc.data import Dataset
from vggc.diagnostics import Code, fail
from vggc.graph.arrays import Array, Float64
from vggc.graph.signature import shape_text
from vggc.measures.beside import beside
from vggc.measures.measure import measure
from vggc.measures.output_checks import check_extra
from vggc.measures.subject import Subject
from vggc.values import Within

Peak = Annotated[float, Within(1e-12, 1e12)]

_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03
"""The constants of Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004."""


@measure(better="higher", unit="dB", check=check_extra("target"))
def psnr(
    subject: Subject, data: Dataset, *, target: str | None = None, output: str | None = None, peak: Peak = 1.0
) -> float:
    """The peak signal-to-noise ratio in dB, 10 log10(peak² / mean squared error), in the mean over images.

    It is infinite when an image does not differ.

    Options:
        data: samples.
        target: the array with the true images; without it, the output of the model as read is taken for true.
        output: the output with the images; the first by default.
        peak: the largest value of a pixel: 1, or 255.
    """
    values = []
    for now, true in _images(subject, data, target, output):
        errors = np.square(now - true).reshape(len(now), -1).mean(axis=1)
        values += [math.inf if each == 0 else 10 * math.log10(peak * peak / each) for each in errors]
    return float(np.mean(values))


@measure(better="higher", check=check_extra("target"))
def ssim(
    subject: Subject, data: Dataset, *, target: str | None = None, output: str | None = None, peak: Peak = 1.0
) -> float:
    """The structural similarity of images, at most 1, in the mean over images, channels and places.

    After Wang et al. 2004: a Gaussian window of 11 x 11 pixels with a deviation of 1.5, K1 = 0.01, K2 = 0.03, and only
    windows that lie inside of the image.

    Options:
        data: samples.
        target: the array with the true images; without it, the output of the model as read is taken for true.
        output: the output with the images, [samples, channels, height, width]; the first by default.
        peak: the largest value of a pixel: 1, or 255.
    """
    total = count = 0.0
    for now, true in _images(subject, data, target, output):
        if now.ndim < 3 or min(now.shape[-2:]) < _WINDOW:
            message = f"the images have shape {shape_text(now.shape)}: ssim needs at least {_WINDOW} x {_WINDOW} pixels"
            raise fail(message, help="measure psnr instead", code=Code.MODEL_OUTPUT)
        for one, other in zip(now, true, strict=True):
            total += float(_similarity(one, other, peak).mean())
            count += 1
    return total / count


def _images(
    subject: Subject, data: Dataset, target: str | None, output: str | None
) -> Iterator[tuple[Float64, Float64]]:
    """The output and the true images in pairs of batches."""
    name = subject.output_name(output)
    true = subject.original.outputs(data, name) if target is None else data.extra(target)
    for now, expected in beside(subject.outputs(data, name), true):
        if now.shape != expected.shape:
            of = "the model as read" if target is None else f"`{target}`"
            raise fail(
                f"output `{name}` has shape {shape_text(now.shape)}, but {of} {shape_text(expected.shape)}",
                code=Code.MODEL_OUTPUT,
            )
        yield now.astype(np.float64), expected.astype(np.float64)


def _similarity(one: Float64, other: Float64, peak: float) -> Float64:
    """The map of similarities of two images (..., height, width)."""
    mean, mean_other = _blurred(one), _blurred(other)
    variance, variance_other = _blurred(one * one) - mean**2, _blurred(other * other) - mean_other**2
    together = _blurred(one * other) - mean * mean_other
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    light = (2 * mean * mean_other + c1) / (mean**2 + mean_other**2 + c1)
    found: Float64 = light * (2 * together + c2) / (variance + variance_other + c2)
    return found


def _blurred(image: Array) -> Float64:
    """An image (..., height, width) under a Gaussian window, at the places where the window lies inside."""
    at = np.arange(_WINDOW) - _WINDOW // 2
    window = np.exp(-(at**2) / (2 * _SIGMA**2))
    window /= window.sum()
    for axis in (-2, -1):
        image = np.lib.stride_tricks.sliding_window_view(image, _WINDOW, axis=axis) @ window
    return image
