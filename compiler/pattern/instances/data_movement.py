"""The same for operators that move elements around: reshapes, slices, concatenations, reductions."""

from __future__ import annotations

import math

from vggc.pattern.instances.blanks import Blank, Misfit
from vggc.pattern.instances.operators import FILLS
from vggc.pattern.instances.random_draws import Shape


def _transpose(b: Blank) -> None:
    shape = b.primary()
    order = b.draw.order(len(shape))
    if len(shape) == 4 and b.draw.chance(0.5):
        order = b.draw.one_of(([0, 2, 3, 1], [0, 3, 1, 2]))
    b.set("perm", order)


def _reshape(b: Blank) -> None:
    shape = b.primary()
    total = math.prod(shape)
    kind = b.draw.one_of(("flat", "merge", "split", "same", "zero", "groups", "rows", "back"))
    if kind == "flat" or len(shape) < 2:
        wanted = [-1]
    elif kind == "merge":
        at = b.draw.whole(0, len(shape) - 2)
        wanted = [*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :]]
    elif kind == "split":
        divisor = b.draw.one_of([each for each in range(1, total + 1) if total % each == 0])
        wanted = [divisor, total // divisor]
    elif kind == "zero":
        wanted = [0, -1]
    elif kind == "groups":
        wanted = [0, b.draw.one_of([each for each in range(1, shape[1] + 1) if shape[1] % each == 0]), -1]
    elif kind == "rows":
        wanted = [-1, shape[-1]]
    elif kind == "back":
        wanted = _back(b, shape)
    else:
        wanted = list(shape)
    b.set("allowzero", 0)
    b.put_list(1, wanted)


def _back(b: Blank, shape: Shape) -> list[int]:
    """Another shape of the instance with as many elements, or with as many rows; the first dimension is left open."""
    same = [[-1, *each[1:]] for each in b.draw.usual if math.prod(each) == math.prod(shape) and each]
    rows = [[-1, *each[1:-1], shape[-1]] for each in b.draw.usual if each and math.prod(each[:-1]) == shape[0]]
    if not same and not rows:
        raise Misfit
    return b.draw.one_of(same + rows)


def _flatten(b: Blank) -> None:
    shape = b.primary()
    b.set("axis", b.draw.one_of((1, b.draw.whole(0, len(shape)))) if shape else 0)


def _axes(b: Blank, axes: list[int]) -> None:
    """Axes, an input or an attribute as the opset has it."""
    schema = b.sets.schema(("", b.op))
    if schema is not None and "axes" in schema.attributes:
        b.set("axes", axes)
    else:
        b.put_list(1, axes)


def _squeeze(b: Blank) -> None:
    if b.is_free(0):
        shape = list(b.draw.shape(max(1, b.draw.rank)))
        for at in b.draw.some(range(len(shape))):
            shape[at] = 1
        b.put(0, tuple(shape))
    shape_ = b.primary()
    ones = [at for at, size in enumerate(shape_) if size == 1]
    if not ones:
        raise Misfit
    _axes(b, b.draw.some(ones))


def _unsqueeze(b: Blank) -> None:
    shape = b.primary()
    count = b.draw.whole(1, 2)
    _axes(b, b.draw.some(range(len(shape) + count), least=count)[:count])


def _reduce(b: Blank) -> None:
    shape = b.primary(least=1)
    axes = b.draw.some(range(len(shape)))
    if len(shape) == 4 and b.draw.chance(0.4):
        axes = [2, 3]
    if b.draw.chance(0.3):
        axes = [each - len(shape) for each in axes]
    b.set("keepdims", int(b.draw.chance(0.6)))
    _axes(b, axes)


def _arg(b: Blank) -> None:
    shape = b.primary(least=1)
    b.set("axis", b.draw.whole(-len(shape), len(shape) - 1))
    b.set("keepdims", int(b.draw.chance(0.5)))


def _expand(b: Blank) -> None:
    shape = b.primary()
    b.put_list(1, list(b.draw.one_of((shape, tuple(b.draw.size() if each == 1 else each for each in shape)))))


def _tile(b: Blank) -> None:
    shape = b.primary()
    b.put_list(1, [b.draw.whole(1, 2) for _ in shape])


def _concat(b: Blank) -> None:
    known = next((shape for at in range(len(b)) if (shape := b.shape(at)) is not None), None)
    if known is None:
        known = b.draw.shape(max(1, b.draw.rank))
    if not known:
        raise Misfit
    axis = b.set("axis", b.draw.one_of((b.draw.whole(-len(known), len(known) - 1), min(1, len(known) - 1))))
    for at in range(len(b)):
        sizes = list(known)
        sizes[axis] = b.draw.size()
        if b.is_free(at):
            b.put(at, tuple(sizes))


def _split(b: Blank) -> None:
    outputs = max(b.outputs, 2 if b.draw.chance(0.8) else 1)
    if b.is_free(0):
        shape = list(b.draw.shape(max(1, b.draw.rank)))
        axis = int(b.given("axis", b.draw.whole(0, len(shape) - 1)))
        if not -len(shape) <= axis < len(shape):
            raise Misfit
        shape[axis] = outputs * b.draw.whole(1, 3) if len(b) < 2 else max(outputs, shape[axis])
        b.put(0, tuple(shape))
        b.set("axis", axis)
    found = b.primary(least=1)
    axis = int(b.set("axis", b.draw.whole(-len(found), len(found) - 1)) or 0)
    size = found[axis]
    if size < outputs:
        raise Misfit
    cuts = sorted(each + 1 for each in b.draw.order(size - 1)[: outputs - 1])
    sizes = [stop - start for start, stop in zip([0, *cuts], [*cuts, size], strict=True)]
    if b.sets.opset < 13:
        b.set("split", sizes)
    elif len(b) > 1:
        b.put_list(1, sizes)
    elif size % outputs:
        raise Misfit
    elif b.sets.opset >= 18:
        b.set("num_outputs", outputs)
    b.outputs = outputs


def _slice(b: Blank) -> None:
    shape = b.primary(least=1)
    axes = b.draw.some(range(len(shape))) if len(b) > 3 else list(range(b.draw.whole(1, len(shape))))
    starts = [b.draw.whole(0, shape[at] - 1) for at in axes]
    ends = [b.draw.whole(start + 1, shape[at] + 1) for start, at in zip(starts, axes, strict=True)]
    if b.draw.chance(0.2):
        ends = [1 << 62 for _ in axes]
    b.put_list(1, starts)
    b.put_list(2, ends)
    b.put_list(3, axes)
    b.put_list(4, [b.draw.one_of((1, 2), (0.7, 0.3)) for _ in axes])


def _pad(b: Blank) -> None:
    shape = b.primary(least=1)
    b.set("mode", b.draw.one_of(("constant", "reflect", "edge"), (0.7, 0.15, 0.15)))
    spatial = b.draw.chance(0.7) and len(shape) > 2
    half = [0 if spatial and axis < 2 else b.draw.whole(0, 2) for axis in range(len(shape))]
    other = [0 if spatial and axis < 2 else b.draw.whole(0, 2) for axis in range(len(shape))]
    b.put_list(1, [*half, *other])
    b.put(2, (), fill="equal", constant=True)
    if b.sets.opset < 11:
        b.set("pads", [*half, *other])


def _gather(b: Blank) -> None:
    shape = b.primary(least=1)
    axis = b.set("axis", b.draw.whole(0, len(shape) - 1)) or 0
    limit = shape[axis]
    indices = b.draw.one_of(((), (1,), (2,), (2, 2)))
    b.put(1, indices, "int64", f"below:{limit}", constant=b.draw.chance(0.7))


def _blocks(b: Blank) -> None:
    block = b.set("blocksize", 2)
    shape = list(b.draw.shape(4))
    if b.op == "DepthToSpace":
        shape[1] = block * block * b.draw.whole(1, 2)
        b.set("mode", b.draw.one_of(("DCR", "CRD")))
    else:
        shape[2:] = [block * b.draw.whole(1, 3), block * b.draw.whole(1, 3)]
    b.put(0, tuple(shape))


def _constant_of_shape(b: Blank) -> None:
    b.put_list(0, list(b.draw.shape()))


def _top_k(b: Blank) -> None:
    shape = b.primary(least=1)
    axis = b.set("axis", b.draw.whole(0, len(shape) - 1)) or 0
    b.put_list(1, [b.draw.whole(1, shape[axis])])
    b.outputs = 2


FILLS.update(
    {
        "Transpose": _transpose,
        "Reshape": _reshape,
        "Flatten": _flatten,
        "Squeeze": _squeeze,
        "Unsqueeze": _unsqueeze,
        "Expand": _expand,
        "Tile": _tile,
        "Concat": _concat,
        "Split": _split,
        "Slice": _slice,
        "Pad": _pad,
        "Gather": _gather,
        "DepthToSpace": _blocks,
        "SpaceToDepth": _blocks,
        "ConstantOfShape": _constant_of_shape,
        "TopK": _top_k,
        "ArgMax": _arg,
        "ArgMin": _arg,
        **{
            f"Reduce{each}": _reduce
            for each in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")
        },
    }
)
