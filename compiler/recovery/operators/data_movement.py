"""Operators that move numbers and compute none."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from vggc.recovery.operators.call import Call, Operator, Tensor, integers
from vggc.recovery.operators.windows import pairs_of


def reshape(call: Call, x: Tensor, shape: Tensor) -> Tensor:
    sizes = integers(shape)
    if not call.get("allowzero", 0):
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return x.reshape(sizes)


def flatten(call: Call, x: Tensor) -> Tensor:
    axis = call.get("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    first = math.prod(x.shape[:axis])
    return x.reshape(first, x.numel() // first if first else -1)


def squeeze(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
    given = call.numbers("axes", axes)
    return x.squeeze() if given is None else x.squeeze(given)


def unsqueeze(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
    given = call.numbers("axes", axes) or []
    for axis in sorted(each % (x.dim() + len(given)) for each in given):
        x = x.unsqueeze(axis)
    return x


def transpose(call: Call, x: Tensor) -> Tensor:
    return x.permute(list(call.get("perm", range(x.dim())[::-1])))


def split(call: Call, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis, given = call.get("axis", 0), call.numbers("split", sizes)
    if given is None:
        given = [-(-x.shape[axis] // call.get("num_outputs", call.outputs))]
        return tuple(x.split(given[0], axis))
    return tuple(x.split(given, axis))


def split_to_sequence(call: Call, x: Tensor, sizes: Tensor | None = None) -> list[Tensor]:
    axis = call.get("axis", 0)
    if sizes is None:
        parts = x.split(1, axis)
        return list(parts) if call.get("keepdims", 1) else [each.squeeze(axis) for each in parts]
    return list(x.split(integers(sizes) if sizes.dim() else int(sizes), axis))


def concat(call: Call, *inputs: Tensor) -> Tensor:
    return torch.cat(inputs, call.get("axis", 0))


def slice_(call: Call, x: Tensor, *bounds: Tensor | None) -> Tensor:
    """The inputs behind `x` are starts, ends, axes and steps."""
    starts, ends, axes, steps = [*bounds, None, None, None, None][:4]
    first, last = call.numbers("starts", starts) or [], call.numbers("ends", ends) or []
    along = call.numbers("axes", axes) or list(range(len(first)))
    by = call.numbers("steps", steps) or [1] * len(first)
    for start, end, axis, step in zip(first, last, along, by, strict=True):
        if step > 0:
            places = range(x.shape[axis])[start:end:step]
            x = _strided(x, axis, places) if places else x.narrow(axis, places.start, 0)
        else:
            places = _backwards(x.shape[axis], start, end, step)
            x = x.index_select(axis, torch.tensor(list(places), device=x.device, dtype=torch.int64))
    return x


def _backwards(size: int, start: int, end: int, step: int) -> range:
    """The indices of a slice with a negative step, whose end may lie before the first number."""
    first = min(start + size if start < 0 else start, size - 1)
    last = max(end + size if end < 0 else end, -1)
    return range(first, last, step)


def _strided(x: Tensor, axis: int, places: range) -> Tensor:
    index = [slice(None)] * x.dim()
    index[axis] = slice(places.start, places.stop, places.step)
    return x[tuple(index)]


def gather(call: Call, x: Tensor, indices: Tensor) -> Tensor:
    axis = call.get("axis", 0) % x.dim()
    places = torch.remainder(indices, x.shape[axis]).to(x.device)
    chosen = x.index_select(axis, places.reshape(-1))
    return chosen.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])


def gather_elements(call: Call, x: Tensor, indices: Tensor) -> Tensor:
    axis = call.get("axis", 0) % x.dim()
    return torch.gather(x, axis, torch.remainder(indices, x.shape[axis]).to(x.device))


def tile(call: Call, x: Tensor, repeats: Tensor) -> Tensor:
    return x.repeat(integers(repeats))


def expand(call: Call, x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(integers(shape))))


def pad(
    call: Call, x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    """Pads may be negative, which cuts."""
    given = call.numbers("pads", pads) or []
    count = len(given) // 2
    along = [each % x.dim() for each in integers(axes)] if axes is not None else list(range(count))
    before, after = [0] * x.dim(), [0] * x.dim()
    for at, axis in enumerate(along):
        before[axis], after[axis] = given[at], given[count + at]
    pairs = pairs_of(before, after)
    while len(pairs) > 2 and pairs[-2:] == [0, 0]:
        del pairs[-2:]
    mode = call.get("mode", "constant")
    if mode == "constant":
        return F.pad(x, pairs, value=float(call.get("value", 0.0) if value is None else value))
    # PyTorch pads at most three axes this way, behind a batch and channels.
    names = {"edge": "replicate", "reflect": "reflect", "wrap": "circular"}
    while len(pairs) < 2 * (x.dim() - 2):
        pairs += [0, 0]
    return F.pad(x, pairs, mode=names[mode])


def depth_to_space(call: Call, x: Tensor) -> Tensor:
    block = call.get("blocksize")
    n, c, h, w = x.shape
    if call.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, block)
    parts = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, c // block**2, h * block, w * block)


def space_to_depth(call: Call, x: Tensor) -> Tensor:
    block = call.get("blocksize")
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, c * block**2, h // block, w // block)


OPERATORS: dict[str, Operator] = {
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "GatherElements": gather_elements,
    "Identity": lambda call, x: x,
    "Pad": pad,
    "Reshape": reshape,
    "SequenceAt": lambda call, sequence, index: sequence[int(index)],
    "Slice": slice_,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "SplitToSequence": split_to_sequence,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
