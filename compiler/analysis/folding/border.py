"""What a constant image becomes in a convolution that pads it: zeros around it make its border differ.

conv(s * x + t, W) = conv(x, W * s) + conv(t, W)       conv(t, W) is t * sum(W) inside, less at the border
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from vggc.graph.arrays import Float64


def is_padded(node: gs.Node) -> bool:
    """Whether a Conv reads anything outside its input, as far as its attributes tell."""
    automatic = node.attrs.get("auto_pad", "NOTSET")
    if automatic == "NOTSET":
        return any(each > 0 for each in node.attrs.get("pads", ()))
    return bool(automatic != "VALID")


def map_sizes(node: gs.Node, kernel: Sequence[int], image: Sequence[int]) -> list[int]:
    """The height, width, ... of what a Conv makes of an image."""
    return [len(each) for each in _positions(node, kernel, image)]


def border_map(node: gs.Node, response: Float64, image: Sequence[int]) -> Float64:
    """The result of a Conv for an input that is constant in each channel: (Cout, height, width, ...), in float64.

    `response` is what each position of the kernel gives, (Cout, kernel height, ...); `image` the input's size.
    """
    kernel = response.shape[1:]
    for positions, size in zip(_positions(node, kernel, image), image, strict=True):
        inside = ((positions >= 0) & (positions < size)).astype(np.float64)
        response = np.tensordot(response, inside, axes=([1], [1]))
    return response


def _positions(node: gs.Node, kernel: Sequence[int], image: Sequence[int]) -> list[Float64]:
    """The input index that each position of the kernel reads, (outputs, kernel) a dimension; below 0 is padding."""
    rank = len(kernel)
    strides = node.attrs.get("strides") or [1] * rank
    dilations = node.attrs.get("dilations") or [1] * rank
    pads = node.attrs.get("pads") or [0] * (2 * rank)
    automatic = node.attrs.get("auto_pad", "NOTSET")
    found = []
    for at, (taps, size, stride, dilation) in enumerate(zip(kernel, image, strides, dilations, strict=True)):
        reach = dilation * (taps - 1) + 1
        begin, end = (pads[at], pads[at + rank]) if automatic == "NOTSET" else (0, 0)
        if automatic in ("SAME_UPPER", "SAME_LOWER"):
            total = max((-(-size // stride) - 1) * stride + reach - size, 0)
            begin = total // 2 if automatic == "SAME_UPPER" else total - total // 2
            end = total - begin
        count = max((size + begin + end - reach) // stride + 1, 0)
        found.append(np.arange(count)[:, None] * stride - begin + np.arange(taps) * dilation)
    return found
