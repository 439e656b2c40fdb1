"""Resize and Upsample, one axis after the other: each new number is a weighted sum of a few old ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from vggc.graph.arrays import Float64, Int64
from vggc.recovery.operators.call import Call, Operator, Tensor, along, integers


def resize(
    call: Call, x: Tensor, region: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None
) -> Tensor:
    if call.opset < 11:
        scales, sizes = region, None
    for axis, old, new, scale in _axes(call, x, scales, sizes):
        if old != new or scale != 1:
            places, weights = _taps(call, old, new, scale)
            x = _summed(x, axis, places, weights)
    return x


def _axes(call: Call, x: Tensor, scales: Tensor | None, sizes: Tensor | None) -> Iterator[tuple[int, int, int, float]]:
    """Each axis that is resized, with its old size, its new size and its scale."""
    along = [int(each) % x.dim() for each in call.get("axes", range(x.dim()))]
    if sizes is not None and sizes.numel():
        wanted = integers(sizes)
        factors = [new / x.shape[axis] for axis, new in zip(along, wanted, strict=True)]
        policy = call.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            shared = min(factors) if policy == "not_larger" else max(factors)
            factors = [shared] * len(factors)
            wanted = [int(np.floor(x.shape[axis] * shared + 0.5)) for axis in along]
    else:
        assert scales is not None
        factors = [float(each) for each in scales.reshape(-1).tolist()]
        wanted = [int(np.floor(x.shape[axis] * factor)) for axis, factor in zip(along, factors, strict=True)]
    for axis, new, factor in zip(along, wanted, factors, strict=True):
        yield axis, x.shape[axis], new, factor


def _taps(call: Call, old: int, new: int, scale: float) -> tuple[Int64, Float64]:
    """For each new number the places of the old ones that it is made of, and their weights: (new, taps)."""
    at = np.arange(new, dtype=np.float64)
    kind = call.get("coordinate_transformation_mode", "half_pixel" if call.opset >= 11 else "asymmetric")
    if kind == "align_corners":
        x = at * (old - 1) / (new - 1) if new > 1 else np.zeros(1)
    elif kind == "asymmetric":
        x = at / scale
    elif kind == "half_pixel_symmetric":
        x = (old / 2) * (1 - new / (old * scale)) + (at + 0.5) / scale - 0.5
    else:
        x = np.zeros(1) if kind == "pytorch_half_pixel" and new == 1 else (at + 0.5) / scale - 0.5
    mode = call.get("mode", "nearest")
    if mode == "nearest":
        nearest = _rounded(x, call.get("nearest_mode", "round_prefer_floor" if call.opset >= 11 else "floor"))
        return np.clip(nearest, 0, old - 1).astype(np.int64)[:, None], np.ones((new, 1))
    below = np.floor(x)
    share = x - below
    if mode == "linear":
        places, weights = [below, below + 1], [1 - share, share]
    else:
        a = call.get("cubic_coeff_a", -0.75)
        places = [below - 1, below, below + 1, below + 2]
        weights = [_cubic(np.abs(share + 1 - tap), a) for tap in range(4)]
    found = np.stack(weights, 1)
    inside = np.stack(places, 1)
    if mode == "cubic" and call.get("exclude_outside", 0):
        found = np.where((inside < 0) | (inside >= old), 0.0, found)
        found /= found.sum(axis=1, keepdims=True)
    return np.clip(inside, 0, old - 1).astype(np.int64), found


def _rounded(x: Float64, mode: str) -> Float64:
    if mode == "round_prefer_floor":
        return np.ceil(x - 0.5)
    if mode == "round_prefer_ceil":
        return np.floor(x + 0.5)
    return np.floor(x) if mode == "floor" else np.ceil(x)


def _cubic(distance: Float64, a: float) -> Float64:
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, far)


def _summed(x: Tensor, axis: int, places: Int64, weights: Float64) -> Tensor:
    parts = []
    for tap in range(places.shape[1]):
        part = x.index_select(axis, torch.from_numpy(np.ascontiguousarray(places[:, tap])).to(x.device))
        if places.shape[1] > 1:
            part = part * along(torch.from_numpy(weights[:, tap]).to(x.device, x.dtype), x, axis)
        parts.append(part)
    return sum(parts[1:], parts[0])


OPERATORS: dict[str, Operator] = {
    "Resize": resize,
    "Upsample": lambda call, x, scales=None: resize(call, x, scales if call.opset < 11 else None, scales),
}
