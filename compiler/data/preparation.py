"""How an image becomes an input of a model: decoded, turned upright, resized, cropped or padded, and normalized."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from vggc.data.stored import readable
from vggc.diagnostics import Code, fail
from vggc.graph.arrays import Array, Float64

Layout = Literal["nchw", "nhwc"]
Channels = Literal["rgb", "bgr", "gray"]
Size = tuple[int, int]

_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may decode. It knows others by their content, and starts programs for some of them (EPS)."""

_EIGHT_BITS = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
REMOVE = "remove it or copy it again, or leave out all bad images: images(..., skip_bad=true)"
"""The help for an image that cannot be read."""

_LARGEST = 89_478_485
"""How many pixels an image may have: Pillow's own limit against decompression bombs."""


class Geometry(NamedTuple):
    """Where the pixels of an image go: to `resized` (width, height), of which `box` is taken.

    The box is (left, top, right, bottom); what of it lies outside of the resized image is filled.
    """

    original: Size
    resized: Size
    box: tuple[int, int, int, int]

    def boxes(self, boxes: Float64) -> Float64:
        """Boxes of the original image (count, 4), left, top, right, bottom, in pixels of the prepared one.

        What lies outside of it is cut off.
        """
        scale = np.array(self.resized, np.float64) / np.array(self.original, np.float64)
        moved = boxes * np.tile(scale, 2) - np.tile(np.array(self.box[:2], np.float64), 2)
        width, height = self.box[2] - self.box[0], self.box[3] - self.box[1]
        return np.clip(moved, 0, np.array([width, height, width, height], np.float64))


@dataclass(frozen=True)
class Preparation:
    """How each image is prepared, in this order.

    resize  shorter side to this many pixels, or exactly (height, width); None keeps the size
    cover   resize, keeping proportions, to the smallest size that covers the crop
    crop    (height, width) of the middle; None keeps everything
    scale, mean, std  (pixel * scale - mean) / std, by channel
    pad     with `cover`, the value of pixels around the image, which is resized to fit into the crop as a whole
    """

    resize: int | Size | None
    crop: Size | None
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: Layout
    channels: Channels
    cover: bool = False
    pad: int | None = None

    def apply(self, path: Path) -> Array:
        """The image in `path`, (channels, height, width) or (height, width, channels) by the layout, in float32.

        Raises CompileError when it cannot be decoded or is too small.
        """
        pixels = self._pixels(path)
        if self.channels == "bgr":
            pixels = pixels[:, :, ::-1]
        prepared: Array = pixels.astype(np.float32) * np.float32(self.scale)
        prepared = (prepared - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        if self.layout == "nchw":
            prepared = prepared.transpose(2, 0, 1)
        return np.ascontiguousarray(prepared)

    def geometry(self, path: Path) -> Geometry:
        """Where the pixels of an image go, from its header alone."""
        with opened(path) as image:
            turned = image.getexif().get(_ORIENTATION, 1) >= 5
            return self._geometry(image.size[::-1] if turned else image.size, path)

    def mask(self, path: Path, geometry: Geometry) -> Array:
        """A mask prepared like its image, (height, width) in uint8: class numbers, 255 where nothing is.

        `geometry` is that of the image. Raises CompileError when the mask has another size than the image, or colours.
        """
        from PIL import Image

        with opened(path) as image:
            if image.mode not in ("L", "P", "1"):
                message = f"the mask `{path}` has colours (mode {image.mode})"
                raise fail(
                    message, help="save a class number for each pixel, as an image with one channel", code=Code.IMAGES
                )
            if image.size != geometry.original:
                got, want = image.size, geometry.original
                raise fail(
                    f"the mask `{path}` has {got[1]} x {got[0]} pixels, but its image {want[1]} x {want[0]}",
                    code=Code.IMAGES,
                )
            classes = _decoded(image, path)
        # Through numpy, because Pillow would turn the numbers of a palette into colours.
        plain = Image.fromarray(np.asarray(classes).astype(np.uint8))
        return np.asarray(_placed(plain, geometry, Image.Resampling.NEAREST, 255))

    def _pixels(self, path: Path) -> Array:
        from PIL import Image, ImageOps

        with opened(path) as image:
            # Cameras write pixels as the sensor lies, and beside them how the picture is to be turned.
            upright = ImageOps.exif_transpose(_decoded(image, path))
            decoded = upright.convert("L" if self.channels == "gray" else "RGB")
        geometry = self._geometry(decoded.size, path)
        pixels = np.asarray(_placed(decoded, geometry, Image.Resampling.BILINEAR, self.pad or 0))
        return pixels[:, :, None] if self.channels == "gray" else pixels

    def _geometry(self, size: Size, path: Path) -> Geometry:
        resized = self._resized(size)
        if resized[0] * resized[1] > _LARGEST:
            raise fail(
                f"the image `{path}` would have {resized[1]} x {resized[0]} pixels after resizing", code=Code.IMAGES
            )
        width, height = resized
        if self.crop is None:
            return Geometry(size, resized, (0, 0, width, height))
        if self.pad is None and (height < self.crop[0] or width < self.crop[1]):
            raise fail(
                f"the image `{path}` is {height} x {width} after resizing: too small to crop "
                f"{self.crop[0]} x {self.crop[1]}",
                help=f"resize first: resize={max(self.crop)}",
                code=Code.IMAGES,
            )
        left, top = round((width - self.crop[1]) / 2), round((height - self.crop[0]) / 2)
        return Geometry(size, resized, (left, top, left + self.crop[1], top + self.crop[0]))

    def _resized(self, size: Size) -> Size:
        """Width and height after resizing. Pillow's sizes are (width, height); recipes say (height, width)."""
        width, height = size
        if self.cover and self.crop is not None:
            factors = self.crop[0] / height, self.crop[1] / width
            if self.pad is not None:
                return max(1, round(width * min(factors))), max(1, round(height * min(factors)))
            return max(self.crop[1], round(width * max(factors))), max(self.crop[0], round(height * max(factors)))
        if not isinstance(self.resize, int):
            return size if self.resize is None else (self.resize[1], self.resize[0])
        # Truncated as torchvision does it, so that a model sees what it saw in training.
        if width <= height:
            return self.resize, int(self.resize * height / width)
        return int(self.resize * width / height), self.resize


_ORIENTATION = 0x0112
"""The EXIF tag that says how a picture is to be turned; from 5 on, width and height change places."""


def opened(path: Path) -> Any:
    """An image of which only the header is read. Raises CompileError unless it has 8 bits for each channel."""
    from PIL import Image, UnidentifiedImageError

    readable(path)
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        image = Image.open(path, formats=_FORMATS)
    except UnidentifiedImageError:
        raise fail(f"`{path}` is not an image that can be read", help=REMOVE, code=Code.IMAGES) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise fail(f"the image `{path}` cannot be read: {error}", help=REMOVE, code=Code.IMAGES) from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    if image.width * image.height > _LARGEST:
        image.close()
        raise fail(f"the image `{path}` is too large: {image.width} x {image.height} pixels", code=Code.IMAGES)
    if image.mode not in _EIGHT_BITS:
        image.close()
        raise fail(
            f"the image `{path}` has more than 8 bits a channel (mode {image.mode})",
            help="write a loader of your own for such images, or convert them to 8 bits",
            code=Code.IMAGES,
        )
    return image


def _decoded(image: Any, path: Path) -> Any:
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise fail(f"the image `{path}` cannot be decoded: {error}", help=REMOVE, code=Code.IMAGES) from None
    return image


def _placed(image: Any, geometry: Geometry, how: Any, fill: int) -> Any:
    """An image resized, cropped, and put on a ground of one colour where the box is larger."""
    from PIL import Image

    if image.size != geometry.resized:
        image = image.resize(geometry.resized, how)
    left, top, right, bottom = geometry.box
    if (0, 0, *geometry.resized) == geometry.box:
        return image
    if left >= 0 and top >= 0:
        return image.crop(geometry.box)
    ground = Image.new(image.mode, (right - left, bottom - top), fill if image.mode == "L" else (fill,) * 3)
    ground.paste(image, (-left, -top))
    return ground
