"""Operators that only move elements: Reshape and its relatives.

A Reshape is a sequence of pieces, each of which merges some axes and splits the result. Merging an axis of channels
with others repeats each atom (a channel becomes a block of H*W columns, or comes back every C columns behind an NHWC
Transpose); splitting it undoes that.
"""

from __future__ import annotations

import math

import numpy as np

from vggc.analysis.channels.axes import Axis, Joint, Layout, Part
from vggc.analysis.channels.statics import Dimensions
from vggc.analysis.channels.sweep import Site, operator

_LARGEST = 1 << 26
"""Positions along one axis beyond which its atoms are not followed."""


@operator("Transpose")
def transpose(site: Site) -> None:
    """The axes in another order; by default in reverse."""
    layout = site.layout(0)
    if layout is not None:
        order = site.node.attrs.get("perm") or list(range(len(layout)))[::-1]
        site.set([layout[index] for index in order])


@operator("Flatten")
def flatten(site: Site) -> None:
    """Two axes: the product of the first `axis` ones, and of the others."""
    shape = site.shape(0)
    if shape is None or site.layout(0) is None:
        return
    at = int(site.node.attrs.get("axis", 1))
    at += len(shape) if at < 0 else 0
    _move(site, shape, [_product(shape[:at]), _product(shape[at:])])


@operator("Reshape")
def reshape(site: Site) -> None:
    """Any shape of as many elements; the shape may be computed."""
    if site.layout(0) is None:
        return
    shape, target = site.shape(0), site.out_shape()
    if shape is None or target is None:
        site.freeze_all("reaches {}, whose shape is not known before it runs")
        return
    layout = _move(site, shape, target)
    site.then(lambda cut: cut.resize(site.node, 1, layout))


def _product(shape: Dimensions) -> int | str | None:
    known = [each for each in shape if isinstance(each, int)]
    if len(known) == len(shape):
        return math.prod(known)
    return shape[0] if len(shape) == 1 else None


def _move(site: Site, shape: Dimensions, target: Dimensions) -> Layout:
    """Hand the atoms of input 0 on to the output of another shape; what its axes then hold."""
    result: Layout = [None] * len(target)
    pieces = _pieces(shape, target)
    if pieces is None:
        site.freeze_all("reaches {}, whose shape is not known before it runs")
        return result
    axes = site.axes(0) or []
    for ins, outs in pieces:
        merged = _merge(site, [axes[index] for index in ins], [shape[index] for index in ins])
        if merged is None:
            continue
        sizes = [each for index in outs if isinstance(each := target[index], int)]
        if len(sizes) != len(outs):
            site.freeze(merged, "reaches {}, whose shape is not known before it runs")
            continue
        for index, part in zip(outs, _split(site, merged, sizes, ins), strict=True):
            result[index] = part
    site.set(result)
    return result


def _merge(site: Site, axes: list[Axis | None], sizes: Dimensions) -> Axis | None:
    """The atoms along the product of axes."""
    lying = [index for index, axis in enumerate(axes) if axis is not None]
    if not lying:
        return None
    if len(axes) == 1:
        return axes[0]
    known = [each for each in sizes if isinstance(each, int)]
    if len(known) != len(sizes) or len(lying) > 1 or math.prod(known) > _LARGEST:
        for index in lying:
            site.freeze(axes[index], "is merged at {} with an axis it cannot be merged with")
        return None
    (at,) = lying
    axis = axes[at]
    assert axis is not None
    shape = [-1 if index == at else 1 for index in range(len(known))]
    return Axis(np.broadcast_to(axis.atoms.reshape(shape), known).reshape(-1))


def _split(site: Site, axis: Axis, sizes: list[int], ins: range) -> list[Axis | Part | None]:
    """An axis as several: where its atoms vary along one of them only they lie there, else all of them share it."""
    long = [index for index, size in enumerate(sizes) if size != 1]
    if len(long) <= 1:
        return [axis if index in long else None for index in range(len(sizes))]
    atoms = axis.atoms.reshape(sizes)
    for index in long:
        first = atoms[tuple(slice(None) if each == index else slice(1) for each in range(len(sizes)))]
        if (atoms == first).all():
            return [Axis(first.reshape(-1)) if each == index else None for each in range(len(sizes))]
    joint = Joint(atoms, (site.node.inputs[0], ins[0]))
    return [Part(joint, index) for index in range(len(sizes))]


def _pieces(shape: Dimensions, target: Dimensions) -> list[tuple[range, range]] | None:
    """Which axes become which: pairs of runs of axes whose sizes have the same product; None when that is not known."""
    one, other = _numbers(shape, target)
    if one is None or other is None or math.prod(one) != math.prod(other):
        return None
    if 0 in one:
        return None
    pieces = []
    left = right = 0
    while left < len(one) or right < len(other):
        first, second = left, right
        here = there = 1
        if left < len(one):
            here, left = one[left], left + 1
        if right < len(other):
            there, right = other[right], right + 1
        while here != there:
            if here < there:
                here, left = here * one[left], left + 1
            else:
                there, right = there * other[right], right + 1
        pieces.append((range(first, left), range(second, right)))
    return pieces


def _numbers(shape: Dimensions, target: Dimensions) -> tuple[list[int] | None, list[int] | None]:
    """Both shapes in numbers, each unknown dimension a prime of its own.

    A symbol is the same dimension wherever it stands. One that stands on one side only must be what the other side's
    one unmatched dimension is called there, since the number of elements is the same.
    """
    symbols: dict[str, int] = {}
    primes = iter((1_000_003, 1_000_033, 1_000_037, 1_000_039, 1_000_081, 1_000_099, 1_000_117, 1_000_121))
    common = {each for each in shape if isinstance(each, str)} & {each for each in target if isinstance(each, str)}
    for each in sorted(common):
        symbols[each] = next(primes)
    rest = next(primes)
    unknown = [
        sum(1 for each in dimensions if not isinstance(each, int) and each not in common)
        for dimensions in (shape, target)
    ]
    if unknown not in ([0, 0], [1, 1]) or len(common) > 5:
        return None, None

    def numbers(dimensions: Dimensions) -> list[int]:
        return [each if isinstance(each, int) else symbols.get(str(each), rest) for each in dimensions]

    return numbers(shape), numbers(target)
