"""Operators that make values longer: Concat, Pad, Tile, Expand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vggc.analysis.channels.axes import STAYS, Axis, Layout
from vggc.analysis.channels.channel_cut import Slicing
from vggc.analysis.channels.sweep import Site, operator
from vggc.graph.arrays import Dimensions

_COMPUTED = "reaches {}, by an amount that is only known when it runs"
_UNKNOWN = "reaches {}, whose shape is not known before it runs"


@operator("Concat")
def concat(site: Site) -> None:
    """Along one axis one behind the other; along the others the operands shrink together."""
    shapes = [site.shape(index) for index in range(len(site.node.inputs))]
    if any(shape is None for shape in shapes):
        site.freeze_all("reaches {}, whose operands have no known rank")
        return
    known = [shape or [] for shape in shapes]
    at = int(site.node.attrs.get("axis", 1)) % len(known[0])
    carriers = dict(site.carriers())
    result: Layout = []
    for axis in range(len(known[0])):
        if axis == at:
            parts = [carriers[index][axis] if index in carriers else None for index in range(len(known))]
            result.append(_behind_one_another(site, parts, [each[axis] for each in known]))
            continue
        lying = [along for axes in carriers.values() if (along := axes[axis]) is not None]
        for index in range(len(known)) if lying else ():
            here = carriers[index][axis] if index in carriers else None
            if site.is_static(index):
                site.cut(index, axis, lying[0])
            elif here is not None:
                site.unite(lying[0], here)
            else:
                site.freeze(lying[0], f"meets `{site.node.inputs[index].name}` at {{}}, which cannot shrink")
        result.append(lying[0] if lying else None)
    site.set(result)


def _behind_one_another(site: Site, axes: list[Axis | None], sizes: Dimensions) -> Axis | None:
    if len(axes) == 1 or not any(axes):
        return axes[0]
    if not all(axis is not None or isinstance(size, int) for axis, size in zip(axes, sizes, strict=True)):
        for axis in axes:
            site.freeze(axis, "is joined at {} with channels of unknown number")
        return None
    for axis in axes:
        if axis is not None:
            site.cover(axis)
    return Axis(
        np.concatenate(
            [
                np.full(int(size or 0), STAYS) if axis is None else axis.atoms
                for axis, size in zip(axes, sizes, strict=True)
            ]
        )
    )


@operator("Pad")
def pad(site: Site) -> None:
    """Positions before and after, of a constant or of repeated values; fewer of them where the number is negative."""
    axes = site.axes(0)
    if axes is None or not any(axes):
        return
    amounts = site.integers("pads" if site.opset >= 2 else "paddings", 1)
    entries: Dimensions | None = site.entries(1) if amounts is None else list(amounts)
    listed = site.integers("axes", 3)
    if entries is None or (site.has(3) and listed is None):
        site.freeze_all(_COMPUTED)
        return
    where = [each % len(axes) for each in listed] if listed is not None else list(range(len(axes)))
    constant = site.node.attrs.get("mode", "constant") in ("constant", b"constant")
    result: Layout = list(axes)
    edges: list[_Edge] = []
    for entry, axis in enumerate(where):
        along = axes[axis]
        before, after = entries[entry], entries[entry + len(where)]
        if along is None or (before == 0 and after == 0):
            continue
        if not isinstance(before, int) or not isinstance(after, int) or not constant:
            site.freeze(along, _COMPUTED if constant else "reaches {}, which pads with copies of channels")
            result[axis] = None
            continue
        # A padded channel is an atom like any other: it can go with those it is added to.
        zeros = [site.sweep.atoms.new(each).atoms if each > 0 else np.zeros(0, np.int64) for each in (before, after)]
        inner = along.atoms[max(-before, 0) : along.size - max(-after, 0)]
        result[axis] = Axis(np.concatenate([zeros[0], inner, zeros[1]]))
        site.cover(Axis(inner))
        edges.append(_Edge(entry, Axis(zeros[0]), along.take(slice(max(-before, 0)))))
        edges.append(_Edge(entry + len(where), Axis(zeros[1]), along.take(slice(along.size - max(-after, 0), None))))
    site.renumber("pads" if site.opset >= 2 else "paddings", 1, lambda slicing: _new_pads(slicing, edges))
    site.set(result)


@dataclass(frozen=True, eq=False)
class _Edge:
    """One entry of a Pad's list: the atoms it adds at an end of an axis, or takes from it."""

    entry: int
    added: Axis
    taken: Axis


def _new_pads(slicing: Slicing, edges: Sequence[_Edge]) -> dict[int, int]:
    return {
        each.entry: slicing.length(each.added) - slicing.length(each.taken)
        for each in edges
        if slicing.shrinks(each.added) or slicing.shrinks(each.taken)
    }


@operator("Tile")
def tile(site: Site) -> None:
    """The whole value repeated along each axis."""
    axes, repeats = site.axes(0), site.entries(1)
    if axes is None or not any(axes):
        return
    result: Layout = []
    for index, axis in enumerate(axes):
        times = repeats[index] if repeats is not None else None
        if axis is not None and not isinstance(times, int):
            site.freeze(axis, _COMPUTED)
            result.append(None)
        else:
            result.append(axis if axis is None or times == 1 else Axis(np.tile(axis.atoms, int(times or 1))))
    site.set(result)


@operator("Expand", "ConstantOfShape")
def expand(site: Site) -> None:
    """Axes of size 1 repeated up to a shape. They are made up of nothing, so that they can be made shorter."""
    listing = 1 if site.node.op == "Expand" else 0
    shape, target = (site.shape(0) if listing else []), site.out_shape()
    entries = site.entries(listing)
    if shape is None or target is None or entries is None:
        site.freeze_all(_UNKNOWN)
        return
    dtype = site.sweep.graph.dtype(site.node.outputs[0])
    if dtype is None or dtype.kind != "f":
        # What computes with integers and truth values computes shapes and masks.
        site.freeze_all(_UNKNOWN)
        return
    axes = (site.axes(0) if listing else None) or [None] * len(shape)
    if listing and site.is_static(0):
        # A constant that is repeated for each sample, like the class token of a transformer, can be cut.
        axes = [site.new(each) if isinstance(each, int) else None for each in shape]
        for index, axis in enumerate(axes):
            site.cut(0, index, axis)
    front = len(target) - len(shape)
    result: Layout = []
    for index, size in enumerate(target):
        own = axes[index - front] if index >= front else None
        repeated = index < front or shape[index - front] == 1
        entry = index - (len(target) - len(entries))
        if own is None and repeated and isinstance(size, int) and size > 1 and entry >= 0 and entries[entry] == size:
            own = site.new(size)
        result.append(own)
    site.set(result)
    first = len(target) - len(entries)
    site.resize(listing, {index - first: each for index, each in enumerate(result) if index >= first})
