"""Which axes of a Reshape's input become which axes of its output."""

from __future__ import annotations

from dataclasses import dataclass

from vggc.analysis.shapes.multiples import product, quotient
from vggc.graph.arrays import Dimensions, Size


@dataclass(frozen=True)
class ReshapePiece:
    """Neighbouring axes that are merged, and the axes that the result is split into."""

    ins: range
    outs: range


def pieces(shape: Dimensions, target: Dimensions) -> list[ReshapePiece] | None:
    """The finest sequence of pieces that makes one shape of the other; None when too little is known of them.

    Leading and trailing dimensions that are equal are pieces of their own. Between them, where more than one dimension
    is unknown, all is one piece. Axes of size 1 belong to the piece before them, if there is one.
    """
    front = 0
    while front < min(len(shape), len(target)) and _equal(shape[front], target[front]):
        front += 1
    back = 0
    while back < min(len(shape), len(target)) - front and _equal(shape[-1 - back], target[-1 - back]):
        back += 1
    ends = len(shape) - back, len(target) - back
    found = [ReshapePiece(range(index, index + 1), range(index, index + 1)) for index in range(front)]
    if front < min(ends):
        middle = _factor(shape[front : ends[0]], target[front : ends[1]])
        if middle is None:
            return None
        found += [
            ReshapePiece(
                range(p.ins.start + front, p.ins.stop + front), range(p.outs.start + front, p.outs.stop + front)
            )
            for p in middle
        ]
    elif front < max(ends):
        # One side has nothing left: what the other side has left are axes of size 1, which go with a neighbour.
        if any(each != 1 for each in (*shape[front : ends[0]], *target[front : ends[1]])) or not front + back:
            return None
        if front:
            found[-1] = ReshapePiece(range(front - 1, ends[0]), range(front - 1, ends[1]))
        else:
            ends, back = (ends[0] + 1, ends[1] + 1), back - 1
            found = [ReshapePiece(range(ends[0]), range(ends[1]))]
    found += [
        ReshapePiece(range(ends[0] + i, ends[0] + i + 1), range(ends[1] + i, ends[1] + i + 1)) for i in range(back)
    ]
    return found


def _equal(one: Size, other: Size) -> bool:
    return one is not None and one == other and one != 0


def _factor(shape: Dimensions, target: Dimensions) -> list[ReshapePiece] | None:
    one, other = shape, target
    if not _are_equal_products(one, other):
        one, other = _with_one_unknown(shape, target)
    if not _are_equal_products(one, other):
        unknown = not all(isinstance(each, int) for each in (*shape, *target))
        return [ReshapePiece(range(len(shape)), range(len(target)))] if unknown else None
    if 0 in one:
        return None
    found: list[ReshapePiece] = []
    left = right = 0
    while left < len(one) and right < len(other):
        first, second = left, right
        here, there = one[left], other[right]
        left, right = left + 1, right + 1
        while here != there:
            # Up to where both sides next have the same product, the side that is no multiple of the other is behind.
            if quotient(here, there) is None:
                here, left = product([here, one[left]]), left + 1
            else:
                there, right = product([there, other[right]]), right + 1
        found.append(ReshapePiece(range(first, left), range(second, right)))
    # What is left over on either side are axes of size 1.
    last = found.pop()
    found.append(ReshapePiece(range(last.ins.start, len(one)), range(last.outs.start, len(other))))
    return found


def _are_equal_products(one: Dimensions, other: Dimensions) -> bool:
    return product(one) is not None and product(one) == product(other)


def _with_one_unknown(shape: Dimensions, target: Dimensions) -> tuple[Dimensions, Dimensions]:
    """Both shapes, with the one dimension of each that the other lacks under one name: they have as many elements."""
    common = {each for each in shape if isinstance(each, str)} & {each for each in target if isinstance(each, str)}
    sides: list[Dimensions] = [
        [each if isinstance(each, int) or each in common else "?" for each in side] for side in (shape, target)
    ]
    return (sides[0], sides[1]) if [side.count("?") for side in sides] == [1, 1] else (shape, target)
