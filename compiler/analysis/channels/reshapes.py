"""Operators that only move elements: Reshape, Flatten, Transpose, Squeeze, Unsqueeze.

A Reshape is a sequence of pieces, each of which merges some axes and splits the result. Merging an axis of channels
with others repeats each atom (a channel becomes a block of H*W columns, or comes back every C columns behind an NHWC
Transpose); splitting it undoes that. An axis of channels that is split in earnest (a channel shuffle, attention heads)
is a Joint until it is merged again or somebody needs to know which of its parts shrinks.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels import group_norms
from vggc.analysis.channels.axes import Axis, Joint, Layout, Part, View
from vggc.analysis.channels.channel_cut import Slicing
from vggc.analysis.channels.dimensions import ReshapePiece, pieces
from vggc.analysis.channels.sweep import Site, operator
from vggc.graph.arrays import Dimensions, Int64, Size

_UNKNOWN = "reaches {}, whose shape is not known before it runs"
_LARGEST = 1 << 26
"""Positions along one axis beyond which its atoms are not followed."""


@operator("Transpose")
def transpose(site: Site) -> None:
    """The axes in another order; by default in reverse."""
    layout = site.layout(0)
    if layout is not None:
        order = site.node.attrs.get("perm") or list(range(len(layout)))[::-1]
        view = site.view(0)
        site.set([layout[index] for index in order], view=view and View(view.joint, [view.axes[i] for i in order]))


@operator("Squeeze", "Unsqueeze")
def squeeze(site: Site) -> None:
    """Axes of size 1 less or more, by attribute or as the second input."""
    axes, shape = site.axes(0), site.shape(0)
    if axes is None or shape is None:
        return
    listed = site.integers("axes", 1)
    if listed is None and (site.has(1) or site.node.op == "Unsqueeze"):
        site.freeze_all("reaches {}, whose axes are computed at run time")
        return
    if site.node.op == "Squeeze":
        gone = (
            {each % len(axes) for each in listed} if listed is not None else {i for i, n in enumerate(shape) if n == 1}
        )
        site.set([axis for index, axis in enumerate(axes) if index not in gone])
        return
    rank = len(axes) + len(listed or ())
    new = {each % rank for each in listed or ()}
    rest = iter(axes)
    site.set([None if index in new else next(rest) for index in range(rank)])


@operator("Flatten")
def flatten(site: Site) -> None:
    """Two axes: the product of the first `axis` ones, and of the others."""
    shape = site.shape(0)
    if shape is None:
        return
    at = int(site.node.attrs.get("axis", 1))
    at += len(shape) if at < 0 else 0
    sides = [_product(shape[:at]), _product(shape[at:])]
    # A product with unknown dimensions is unknown, but a dimension by itself keeps its name.
    target: Dimensions = [shape[0] if at == 1 else sides[0], shape[-1] if at == len(shape) - 1 else sides[1]]
    site.set(_move(site, shape, target))


def _product(shape: Dimensions) -> int | None:
    known = [each for each in shape if isinstance(each, int)]
    return math.prod(known) if len(known) == len(shape) else None


@operator("Reshape")
def reshape(site: Site) -> None:
    """Any shape of as many elements; the shape may be computed."""
    if group_norms.end(site):
        return
    layout = site.layout(0)
    if layout is None:
        return
    shape, target = site.shape(0), site.out_shape()
    if shape is None or target is None:
        site.freeze_all(_UNKNOWN)
        return
    if group_norms.begin(site) or _merge_joint(site, shape, target):
        return
    result = _move(site, shape, target)
    site.set(result, view=_view(site, result, shape, target))
    site.resize(1, dict(enumerate(result)), inferred=True)


def _move(site: Site, shape: Dimensions, target: Dimensions) -> Layout:
    """The atoms of input 0 in another shape."""
    result: Layout = [None] * len(target)
    found = pieces(shape, target)
    if found is None:
        site.freeze_all(_UNKNOWN)
        return result
    axes = site.axes(0) or []
    for piece in found:
        lying = [axes[index] for index in piece.ins]
        before, after = ([side[index] for index in part] for side, part in ((shape, piece.ins), (target, piece.outs)))
        known = [each for each in after if isinstance(each, int)]
        if all(isinstance(each, int) for each in (*before, *after)):
            merged = _merge(site, lying, before)
            parts: Layout = [None] * len(after) if merged is None else _split(site, merged, known, piece)
        elif len(before) == len(after) == 1:
            parts = list(lying)
        else:
            parts = [*[None] * (len(after) - 1), _last(site, lying, before[-1], after[-1])]
        for index, part in zip(piece.outs, parts, strict=True):
            result[index] = part
    return result


def _last(site: Site, axes: list[Axis | None], size: Size, length: Size) -> Axis | None:
    """The last axis of a piece of unknown sizes, which keeps to itself: it is split, (batch, heads * d) to
    (batch * heads, d), or merged the other way round, or as long as before."""
    along = axes[-1]
    for axis in axes[:-1]:
        site.freeze(axis, _UNKNOWN)
    if along is not None and isinstance(size, int) and isinstance(length, int) and length > 0:
        if size == length:
            return along
        if size % length == 0:
            return site.sweep.atoms.tie(along.atoms.reshape(-1, length))
        if length % size == 0:
            return Axis(np.tile(along.atoms, length // size))
    site.freeze(along, _UNKNOWN)
    return None


def _merge(site: Site, axes: list[Axis | None], sizes: Dimensions) -> Axis | None:
    """The atoms along the product of axes."""
    lying = [index for index, axis in enumerate(axes) if axis is not None]
    if not lying or len(axes) == 1:
        return axes[0] if axes else None
    known = [each for each in sizes if isinstance(each, int)]
    if len(known) != len(sizes) or len(lying) > 1 or math.prod(known) > _LARGEST:
        for index in lying:
            site.freeze(axes[index], "is merged at {} with an axis it cannot be merged with")
        return None
    (at,) = lying
    axis = axes[at]
    if axis is None or axis.size == math.prod(known):
        return axis
    shape = [-1 if index == at else 1 for index in range(len(known))]
    return Axis(np.broadcast_to(axis.atoms.reshape(shape), known).reshape(-1))


def _split(site: Site, axis: Axis, sizes: list[int], piece: ReshapePiece) -> Layout:
    """An axis as several: where its atoms vary along one of them only they lie there, else all of them share it."""
    long = [index for index, size in enumerate(sizes) if size != 1]
    if len(long) <= 1:
        return [axis if index in long else None for index in range(len(sizes))]
    atoms = axis.atoms.reshape(sizes)
    for index in long:
        first = atoms[tuple(slice(None) if each == index else slice(1) for each in range(len(sizes)))]
        if (atoms == first).all():
            return [Axis(first.reshape(-1)) if each == index else None for each in range(len(sizes))]
    joint = Joint(atoms, site.node.inputs[0], piece.ins[0] if len(piece.ins) == 1 else None)
    return [Part(joint, index) for index in range(len(sizes))]


def _view(site: Site, layout: Layout, shape: Dimensions, target: Dimensions) -> View | None:
    """How a value with one split axis looks at the value it was split from: which axes of that lie along its own."""
    joints = {id(each.joint): each.joint for each in layout if isinstance(each, Part)}
    if len(joints) != 1:
        return None
    (joint,) = joints.values()
    axes: list[tuple[int, ...] | int] = []
    for piece in pieces(shape, target) or ():
        split = isinstance(layout[piece.outs[0]], Part) if piece.outs else False
        if split:
            axes += list(range(len(piece.outs)))
        elif len(piece.outs) == 1:
            axes.append(tuple(piece.ins))
        else:
            return None
    return View(joint, axes) if joint.axis_of_origin is not None else None


def _merge_joint(site: Site, shape: Dimensions, target: Dimensions) -> bool:
    """Merge a split axis again, its parts in whatever order, when that makes the value it was split from with the
    channels permuted. Then any of them may go: what stays can be gathered from that value."""
    view = site.view(0)
    if view is None or view.joint.shrinks is not None or view.joint.axis_of_origin is None:
        return False
    joint, at = view.joint, view.joint.axis_of_origin
    origin = site.sweep.statics.shape(joint.origin) or []
    order: list[int] = []
    parts: list[int] = []
    for each in view.axes:
        if isinstance(each, int):
            if not parts:
                order.append(at)
            parts.append(each)
        else:
            order += each
    if order != list(range(len(origin))) or not _same_shape(origin, target):
        return False
    permutation = np.arange(joint.atoms.size).reshape(joint.atoms.shape).transpose(parts).reshape(-1)
    layout = list(site.sweep.layouts.get(id(joint.origin), []))
    layout[at] = Axis(joint.atoms.reshape(-1)[permutation])
    site.set(layout)
    site.resize(1, dict(enumerate(layout)), inferred=True)
    site.then(lambda slicing: _gather(slicing, site.node, joint, at, permutation))
    return True


def _gather(slicing: Slicing, node: gs.Node, joint: Joint, at: int, permutation: Int64) -> None:
    """Replace the way from the split to the merge by a Gather, unless what stays can still be split and merged."""
    channels = Axis(joint.atoms.reshape(-1))
    if not slicing.shrinks(channels) or slicing.parts(joint) is not None:
        return
    kept = slicing.positions(channels)
    indices = np.searchsorted(kept, permutation[np.isin(permutation, kept)])
    output = node.outputs[0]
    slicing.graph.remove(node)
    constant = slicing.graph.constant(indices, hint="channels")
    slicing.graph.add("Gather", [joint.origin, constant], {"axis": at}, output=output, replaces=[node])


def _same_shape(one: Dimensions, other: Dimensions) -> bool:
    """Whether two shapes of as many elements are equal; one unknown dimension follows from the others."""
    if len(one) != len(other):
        return False
    unequal = [(a, b) for a, b in zip(one, other, strict=True) if a != b or a is None]
    return not unequal or (len(unequal) == 1 and not any(isinstance(each, int) for each in unequal[0]))
