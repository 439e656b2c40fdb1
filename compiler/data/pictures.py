"""Samples as small pictures, as a model gets them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from vggc.data.annotations import BOXES, NOTHING
from vggc.data.dataset import Dataset
from vggc.data.images import ImageFolder
from vggc.graph.arrays import Array

_SIDE = 160
"""The longer side of a picture in pixels; smaller images are enlarged by whole numbers."""


class Picture(NamedTuple):
    """A sample: its PNG file, and a caption."""

    png: bytes
    caption: str

    @property
    def address(self) -> str:
        """The picture as a `data:` address for a page."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def pictured(data: Dataset, batch: Mapping[str, Array], number: int, first: int) -> Picture | None:
    """The picture of sample `number`, in a batch whose first sample is `first`; None when the data is not images."""
    from PIL import Image, ImageDraw

    for name, kind in data.arrays.items():
        pixels = _pixels(data, batch[name][number - first]) if kind.dtype.kind in "iuf" else None
        if pixels is None:
            continue
        image = Image.fromarray(pixels)
        factor = _SIDE / max(image.size)
        factor = max(1, int(factor)) if factor >= 1 else factor
        size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
        small = image.convert("RGB").resize(size, Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX)
        if BOXES in data.extras and isinstance(data, ImageFolder):
            draw = ImageDraw.Draw(small)
            for row in data.annotation(BOXES, number):
                if row[4] != NOTHING:
                    draw.rectangle([float(each) * factor for each in row[:4]], outline=(255, 64, 64), width=2)
        file = io.BytesIO()
        small.save(file, "PNG")
        return Picture(file.getvalue(), _caption(data, number))
    return None


def _caption(data: Dataset, number: int) -> str:
    parts = [str(number)]
    if isinstance(data, ImageFolder):
        parts.append(data.paths[number].name)
    if data.labels is not None:
        label = int(data.labels[number])
        parts.append(f"class {label}" + (f", {data.classes[label]}" if label < len(data.classes) else ""))
    return ": ".join(parts)


def _pixels(data: Dataset, sample: Array) -> Any:
    """A sample (channels, height, width) or (height, width, channels) as pixels from 0 to 255; None for no image."""
    if sample.ndim != 3:
        return None
    last = sample.shape[2] in (1, 3) and sample.shape[0] not in (1, 3)
    image = sample if last else sample.transpose(1, 2, 0)
    if image.shape[2] not in (1, 3):
        return None
    values = image.astype(np.float64)
    if isinstance(data, ImageFolder):
        prepare = data.preparation
        values = (values * np.array(prepare.std) + np.array(prepare.mean)) / prepare.scale
        values = values[:, :, ::-1] if prepare.channels == "bgr" else values
    else:
        # What the numbers mean is not known: the darkest becomes black, and the brightest white.
        low, high = values.min(), values.max()
        values = (values - low) * (255 / (high - low) if high > low else 1)
    pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
