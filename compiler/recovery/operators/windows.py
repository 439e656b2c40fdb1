"""Padding of operators that slide a window over their input."""

from __future__ import annotations

from collections.abc import Sequence

from torch.nn import functional as F

from vggc.recovery.operators.call import Call, Tensor


def pads_of(
    call: Call, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], list[int]]:
    """The padding before and behind each axis of a window of size `kernel`, from `pads` or `auto_pad`."""
    axes = len(sizes)
    kind = call.get("auto_pad", "NOTSET")
    if not kind.startswith("SAME"):
        pads = list(call.get("pads", [0] * (2 * axes))) if kind != "VALID" else [0] * (2 * axes)
        return pads[:axes], pads[axes:]
    before, after = [], []
    for size, length, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        whole = max(0, (-(-size // stride) - 1) * stride + (length - 1) * dilation + 1 - size)
        less, more = whole // 2, whole - whole // 2
        before.append(less if kind == "SAME_UPPER" else more)
        after.append(more if kind == "SAME_UPPER" else less)
    return before, after


def padded(x: Tensor, before: Sequence[int], after: Sequence[int], value: float) -> Tensor:
    """`x` with a constant around its last axes, a pair of numbers for each axis."""
    if not any(before) and not any(after):
        return x
    return F.pad(x, pairs_of(before, after), value=value)


def pairs_of(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Pads as PyTorch takes them: those of the last axis first, each axis with its pad before and behind it."""
    return [each for pair in reversed(list(zip(before, after, strict=True))) for each in pair]
