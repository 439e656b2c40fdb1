"""Samples as small pictures, as a model gets them, on one HTML page that needs no network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vggc.data import Dataset
from vggc.data.annotations import BOXES, NOTHING
from vggc.data.images import ImageFolder
from vggc.graph.arrays import Array

_SIDE = 160
"""The longer side of a picture in pixels; smaller images are enlarged by whole numbers."""

_STYLE = """
body { font-family: system-ui, sans-serif; margin: 1.5rem; color: #1b1f24; background: #fff; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .3rem; }
ul { display: flex; flex-wrap: wrap; gap: .8rem; list-style: none; padding: 0; }
li { width: 170px; font-size: .75rem; overflow-wrap: anywhere; }
img { display: block; image-rendering: pixelated; max-width: 160px; }
@media (prefers-color-scheme: dark) { body { color: #e6e6e6; background: #16181b; } }
"""


class Picture(NamedTuple):
    """A sample: its PNG file, and a caption."""

    png: bytes
    caption: str


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


def contact_sheet(title: str, parts: Sequence[tuple[str, str, Sequence[Picture]]]) -> str:
    """The HTML page of data sets: name, description and pictures of each."""
    sections = []
    for name, description, pictures in parts:
        items = "".join(
            f'<li><img alt="{html.escape(each.caption)}" '
            f'src="data:image/png;base64,{base64.b64encode(each.png).decode()}">{html.escape(each.caption)}</li>'
            for each in pictures
        )
        sections.append(f"<h2>{html.escape(name)}</h2><p>{html.escape(description)}</p><ul>{items}</ul>")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>{''.join(sections)}</body></html>\n"
    )
